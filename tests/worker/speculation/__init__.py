"""Guessing ahead, a model's caches with it."""
