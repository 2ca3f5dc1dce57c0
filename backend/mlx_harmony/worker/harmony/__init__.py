"""The Harmony format: conversations into tokens through openai-harmony, a model's tokens back into events."""
