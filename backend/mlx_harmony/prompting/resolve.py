"""Profile, prompt config and explicit choices become one set of values, the strongest first: choice, profile, prompt config, default.

Pure: files are read before. 0 and false are values; only what nobody said is left to the next.
"""

from collections.abc import Mapping
from functools import reduce
from typing import Any

from mlx_harmony.kv_ranges import combined
from mlx_harmony.prompting.config import PromptConfig
from mlx_harmony.prompting.loading import LoadedConfig
from mlx_harmony.prompting.profiles import Profile
from mlx_harmony.prompting.records import ChatSetup, Chosen
from mlx_harmony.records import KvOptions, Message, Sampling

_NAMES = {
    "system_model_identity": "identity",
    "reasoning_effort": "effort",
    "developer_instructions": "instructions",
    "assistant_greeting": "greeting",
    "conversation_start_date": "start_date",
    "log_timing_stats": "show_timings",
}
"""What a field of a prompt config is called everywhere else; the others keep their names."""

_SAMPLING = frozenset(Sampling.__struct_fields__)
_SETUP = frozenset(ChatSetup.__struct_fields__)
_KV = frozenset(KvOptions.__struct_fields__)
_ACTING = _NAMES.keys() | _SAMPLING | _SETUP | _KV | {"max_tokens", "models_dir"}


def resolve(profile: Profile | None, config: LoadedConfig | None, choices: Mapping[str, Any], defaults: Mapping[str, Any]) -> Chosen:
    """All of it together. `config` given beside a profile takes the place of the profile's own.

    `choices` and `defaults` hold values by name: those of Chosen, of Sampling and of ChatSetup; a choice of None is none.
    """
    loaded = config or (profile.config if profile else None)
    levels: list[Mapping[str, Any]] = [defaults]
    if loaded:
        levels.append(config_values(loaded.config) | {"prompt_config": str(loaded.path)})
    if profile:
        levels.append({"profile": profile.name, "model": profile.model} | _own_of(profile))
    levels.append({name: value for name, value in choices.items() if value is not None})
    values = {name: value for level in levels for name, value in level.items() if name not in _KV}
    kv = reduce(combined, (KvOptions(**{name: level[name] for name in _KV & level.keys()}) for level in levels))
    sampling = Sampling(**{name: values.pop(name) for name in _SAMPLING & values.keys()})
    setup = ChatSetup(**{name: values.pop(name) for name in _SETUP & values.keys()})
    return Chosen(sampling=sampling, kv=kv, setup=setup, notices=loaded.notices if loaded else (), **values)


def config_values(config: PromptConfig) -> dict[str, Any]:
    """What a prompt config says, or the rules between its fields say for it, under the names that act."""
    values: dict[str, Any] = {_NAMES.get(name, name): getattr(config, name) for name in config.model_fields_set & _ACTING}
    if config.deterministic_time_enabled:
        values["clock"] = config.deterministic_time_iso
    if config.end_token_strings is not None:
        values["stop"] = tuple(config.end_token_strings)
    if config.xtc_special_tokens is not None:
        values["xtc_special_tokens"] = tuple(config.xtc_special_tokens)
    if config.example_dialogues is not None:
        values["examples"] = tuple(
            tuple(Message(role=each.role, content=each.content) for each in dialogue) for dialogue in config.example_dialogues
        )
    return values | (_performance(config, values) if config.performance_mode else {})


def _own_of(profile: Profile) -> dict[str, Any]:
    """What a profile sets itself beside its model."""
    kv = {name: getattr(profile.kv, name) for name in _KV}
    own = kv | {"max_context_tokens": profile.max_context_tokens, "draft_model": profile.draft_model}
    return {name: value for name, value in own.items() if value is not None}


def _performance(config: PromptConfig, values: Mapping[str, Any]) -> dict[str, Any]:
    """Performance mode's caps: never more than the fields they cap."""
    caps = {
        "max_tokens": config.perf_max_tokens,
        "max_context_tokens": config.perf_max_context_tokens,
        "prompt_token_budget": config.perf_prompt_token_budget,
        "max_kv_size": config.perf_max_kv_size,
    }
    return {name: min(cap, values.get(name, cap)) for name, cap in caps.items() if cap is not None}
