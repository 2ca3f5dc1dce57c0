"""The page: Gradio tabs over the backend service."""
