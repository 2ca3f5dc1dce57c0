"""Models without Harmony: their own chat templates, thinking tags and tool parsers, with the same events."""
