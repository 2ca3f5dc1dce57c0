"""Aliases: names that stand for several models, and who of them answers a request. Loads no model itself; knows no chat and no page."""
