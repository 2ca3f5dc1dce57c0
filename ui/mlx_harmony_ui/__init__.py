"""The page: Gradio over the backend's service. Importing it closes every door that Gradio opens by environment."""

from mlx_harmony_ui.environment import seal

seal()
