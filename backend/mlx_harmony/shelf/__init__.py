"""What a model has read, kept on disk for its next start. No mlx in here: bytes, records and folders."""
