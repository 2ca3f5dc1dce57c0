"""`mlx-harmony bench`: measures a loaded model, a running server, and mlx-lm beside them. It imports no mlx: the processes it starts do."""
