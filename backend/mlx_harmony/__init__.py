"""MLX Harmony: chat with local models on MLX."""
