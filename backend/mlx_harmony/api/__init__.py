"""The HTTP door: the gate that says who may come in, and OpenAI's wire format over the service. Only this room imports FastAPI."""
