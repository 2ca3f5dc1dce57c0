"""Speculation: guessing the next tokens of an answer and checking all of them in one pass of the model."""
