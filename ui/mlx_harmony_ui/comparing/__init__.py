"""Comparing as shown: the settings of each side and the two answers as they grow. Pure; knows neither Gradio nor templates."""
