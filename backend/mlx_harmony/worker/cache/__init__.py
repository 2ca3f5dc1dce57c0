"""What was read before: the index of kept prompts, their keys and values in memory, and the way to the disk and back."""
