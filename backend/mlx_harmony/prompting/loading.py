"""A prompt config file becomes a checked config and the notices on it. Knows no chat."""

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from pydantic import ValidationError

from mlx_harmony.errors import InvalidRequest, SettingsError
from mlx_harmony.kv_ranges import check_kv
from mlx_harmony.prompting.config import DETERMINISTIC_TIME, PromptConfig
from mlx_harmony.prompting.effects import NO_EFFECT, REMOVED
from mlx_harmony.prompting.reading import faults_of, read_object, unknown_places, without
from mlx_harmony.records import KvOptions

SCHEMA_KEY = "$schema"
_PERFORMANCE = ("perf_max_tokens", "perf_max_context_tokens", "perf_max_kv_size", "perf_prompt_token_budget")


class LoadedConfig(NamedTuple):
    """A config, its file, and what to tell of it. `config.model_fields_set` is what the file really says."""

    config: PromptConfig
    path: Path
    notices: tuple[str, ...] = ()


def load_prompt_config(path: Path) -> LoadedConfig:
    """The config in a file. Raises SettingsError with file, JSON path and what is allowed; an unknown key is only a notice."""
    data = read_object(path)
    data.pop(SCHEMA_KEY, None)
    notices = [f"$.{name} was removed: {REMOVED[name]}." for name in REMOVED if data.pop(name, None) is not None]
    config, unknown = _checked(path, data)
    notices += unknown
    notices += [f"$.{name} has no effect in this release: {why}." for name, why in NO_EFFECT.items() if name in config.model_fields_set]
    config, settled = _settled(config)
    _check_kv(path, config)
    return LoadedConfig(config, path, tuple(f"{path.name}: {notice}" for notice in (*notices, *settled)))


def _checked(path: Path, data: dict[str, Any]) -> tuple[PromptConfig, list[str]]:
    try:
        return PromptConfig.model_validate(data), []
    except ValidationError as error:
        faults = list(faults_of(error, PromptConfig, data))
        wrong = [str(fault) for fault in faults if not fault.unknown]
        if wrong:
            hint = "Mend it, or take it out for its default; docs/guides/prompt-configs.md lists every field."
            raise SettingsError(f"{path}: {' '.join(wrong)}", hint=hint, param="prompt_config") from error
        return PromptConfig.model_validate(without(data, unknown_places(error))), [str(fault) for fault in faults]


def _check_kv(path: Path, config: PromptConfig) -> None:
    """Refuse numbers of KV that do not go together, by file and JSON path."""
    kv = KvOptions(**{name: getattr(config, name) for name in KvOptions.__struct_fields__})
    if config.performance_mode and config.perf_max_kv_size:
        kv = msgspec.structs.replace(kv, max_kv_size=config.perf_max_kv_size)
    try:
        check_kv(kv)
    except InvalidRequest as error:
        raise SettingsError(f"{path}: $.{error.param}: {error.message}", hint=error.hint, param="prompt_config") from error


def _settled(config: PromptConfig) -> tuple[PromptConfig, list[str]]:
    """The config after the rules by which one field depends on another, and what to tell of that."""
    changes: dict[str, Any] = {}
    notices = []
    given = config.model_fields_set
    if config.deterministic_time_enabled:
        if config.deterministic_time_iso is None:
            changes["deterministic_time_iso"] = DETERMINISTIC_TIME
            notices.append(f"$.deterministic_time_iso is missing; {DETERMINISTIC_TIME} is used.")
        changes |= {name: value for name, value in (("seed", 0), ("reseed_each_turn", False)) if name not in given}
    elif "deterministic_time_iso" in given:
        notices.append("$.deterministic_time_iso only counts with deterministic_time_enabled.")
    notices += _idle_margin(config, changes)
    if not config.performance_mode:
        notices += [f"$.{name} only counts with performance_mode." for name in _PERFORMANCE if name in given]
    return config.model_copy(update=changes), notices


def _idle_margin(config: PromptConfig, changes: dict[str, Any]) -> list[str]:
    limit, margin = config.max_context_tokens, config.max_context_tokens_margin or 0
    if limit is None or margin < limit:
        return []
    changes["max_context_tokens_margin"] = 0
    return [f"$.max_context_tokens_margin ({margin}) is ignored: it leaves nothing of max_context_tokens ({limit})."]
