"""Aliases and profiles as programs get them, in the terminal and over HTTP alike. Pure."""

from typing import Any

import msgspec

from mlx_harmony.models.info import ModelInfo, row_of
from mlx_harmony.prompting.records import ProfileRow
from mlx_harmony.records import ModelEntry
from mlx_harmony.routing.records import AliasRow


def alias_object(row: AliasRow) -> dict[str, Any]:
    """An alias with the fields of a model, and under `alias` its own: plain values. Its `source` is `alias`."""
    alias: dict[str, Any] = msgspec.to_builtins(row.alias)
    own = {name: value for name, value in alias.items() if name not in ("name", "problem")}
    own["rules"] = [{name: value for name, value in rule.items() if value is not None} for rule in own["rules"]]
    told = row_of(ModelInfo(entry=row.entry), lambda _entry: None)
    return told | {"alias": own | {"missing": list(row.missing), "answered": row.answered}}


def profile_info(row: ProfileRow) -> ModelInfo:
    """A profile in the form of a model, so that one rule finds both."""
    entry = ModelEntry(id=row.name, path="", bytes=0, architecture="", format="raw", source="profile", problem=row.problem)
    return ModelInfo(entry=entry)


def profile_object(row: ProfileRow) -> dict[str, Any]:
    """A profile with the fields of a model, and under `profile` its own as its file has them. Its `source` is `profile`."""
    own = {"model": row.model, "prompt_config": row.prompt_config, "max_context_tokens": row.max_context_tokens}
    return row_of(profile_info(row), lambda _entry: None) | {"profile": own}
