"""The hub: looking for models, and getting them into the Hugging Face cache."""
