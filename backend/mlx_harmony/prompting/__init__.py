"""Prompt configs, placeholders and profiles: files that people keep, read into frozen records. Knows no chat, no model and no page."""
