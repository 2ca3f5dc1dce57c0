"""How a chat begins: the options that files and choices come to, and the greeting. Pure; knows no storage and reads no file."""

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from mlx_harmony.conversation.history import expander_of
from mlx_harmony.conversation.plan import new_id
from mlx_harmony.conversation.records import UNTITLED, Chat, ChatMessage, ChatSummary, TurnOptions
from mlx_harmony.kv_ranges import combined
from mlx_harmony.prompting.records import Chosen
from mlx_harmony.records import KvOptions, Sampling

_SAMPLING = frozenset(Sampling.__struct_fields__)
_KV = frozenset(KvOptions.__struct_fields__)


def options_of(chosen: Chosen) -> TurnOptions:
    """A new chat's options. `setup` is None where neither profile nor prompt config was chosen."""
    return TurnOptions(
        model=chosen.model,
        sampling=chosen.sampling,
        max_tokens=chosen.max_tokens,
        stop=chosen.stop,
        effort=chosen.effort,
        identity=chosen.identity,
        instructions=chosen.instructions,
        kv=chosen.kv,
        speculation=chosen.speculation,
        draft_model=chosen.draft_model,
        num_draft_tokens=chosen.num_draft_tokens,
        setup=chosen.setup if chosen.setup.profile or chosen.setup.prompt_config else None,
    )


def overlaid(options: TurnOptions, choices: Mapping[str, Any]) -> TurnOptions:
    """The options with what was chosen just now, by name; a choice of None is none."""
    given = {name: value for name, value in choices.items() if value is not None}
    sampling = msgspec.structs.replace(options.sampling, **{name: given.pop(name) for name in _SAMPLING & given.keys()})
    kv = combined(options.kv, KvOptions(**{name: given.pop(name) for name in _KV & given.keys()}))
    return msgspec.structs.replace(options, sampling=sampling, kv=kv, **given)


def with_setup(options: TurnOptions, kept: TurnOptions) -> TurnOptions:
    """The options, with the setup that the chat has where they bring none."""
    return options if options.setup is not None else msgspec.structs.replace(options, setup=kept.setup)


def new_chat(options: TurnOptions) -> Chat:
    """A chat that begins now: empty, or with its setup's greeting as the first message of the assistant."""
    now = time.time()
    summary = ChatSummary(id=new_id(), title=UNTITLED, created_at=now, updated_at=now)
    greeting = options.setup.greeting if options.setup else ""
    if not greeting.strip():
        return Chat(summary=summary, messages=(), options=options)
    said = expander_of(options, now)(greeting)
    message = ChatMessage(id=new_id(), chat_id=summary.id, role="assistant", content=said, created_at=now)
    return Chat(summary=summary, messages=(message,), options=options)
