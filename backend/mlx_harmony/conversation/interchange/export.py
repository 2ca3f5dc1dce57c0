"""Chats as conversation files of version 2, for MLX Harmony and for the earlier releases. Pure; knows no storage.

What version 2 has no field for lies beside it under the key `mlx_harmony`: earlier releases pass over it, this one reads it back.
"""

import datetime
from collections.abc import Iterable
from typing import Any

import msgspec

from mlx_harmony.conversation.attachments import told
from mlx_harmony.conversation.records import Chat, ChatMessage, TurnOptions, WholeChat
from mlx_harmony.prompting.records import ChatSetup
from mlx_harmony.ranges import SAMPLING_FIELDS
from mlx_harmony.records import DEFAULT_CUTOFF, Sampling

SCHEMA_VERSION = 2
OWN = "mlx_harmony"
TYPED = "typed"
_IN_FIELDS = {"id", "chat_id", "parent_id", "role", "content", "created_at", "reasoning", "name", "versions"}


def as_json(chats: Iterable[WholeChat]) -> bytes:
    """The file, chats in the order given; the first one is the active one."""
    exported = {whole.chat.summary.id: _chat(whole) for whole in chats}
    order = list(exported)
    document = {
        "schema_version": SCHEMA_VERSION,
        "chat_order": order,
        "active_chat_id": order[0] if order else None,
        "chats": exported,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


def _chat(whole: WholeChat) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    last: dict[str, Any] = {}
    for message, position in zip(whole.chat.messages, whole.positions, strict=True):
        exported = _message(message, position)
        made = message.provenance
        numbers = hyperparameters(made.sampling, made.max_tokens) if made else last
        if numbers != last:
            exported["hyperparameters"] = last = numbers
        messages.append(exported)
    return {"chat_id": whole.chat.summary.id, "metadata": _metadata(whole.chat), "messages": messages}


def _metadata(chat: Chat) -> dict[str, Any]:
    options, summary = chat.options, chat.summary
    setup = options.setup or ChatSetup()
    models = [message.provenance.model for message in chat.messages if message.provenance]
    numbers = hyperparameters(options.sampling, options.max_tokens)
    config = _prompt_config(options)
    return {
        "chat_id": summary.id,
        "model_path": models[0] if models else options.model,
        "last_model_path": options.model or (models[-1] if models else None),
        "prompt_config_path": setup.prompt_config or None,
        "last_prompt_config_path": setup.prompt_config or None,
        "prompt_config": config,
        "last_prompt_config": config,
        "tools": [tool.name or tool.kind for tool in options.tools],
        "hyperparameters": numbers,
        "last_hyperparameters": numbers,
        "max_context_tokens": options.max_context_tokens or setup.max_context_tokens,
        "created_at": _iso(summary.created_at),
        "updated_at": _iso(summary.updated_at),
        OWN: {
            "title": summary.title,
            "options": msgspec.to_builtins(options, str_keys=True),
            "created_at": summary.created_at,
            "updated_at": summary.updated_at,
        },
    }


def _message(message: ChatMessage, position: int) -> dict[str, Any]:
    exported: dict[str, Any] = {
        "id": message.id,
        "parent_id": message.parent_id,
        "cache_key": message.id,
        "role": message.role,
        "content": told(message.content, message.attachments),
        "timestamp": {"unix": message.created_at, "iso": _iso(message.created_at)},
    }
    if message.reasoning:
        exported["analysis"] = message.reasoning
    if message.role == "tool":
        exported |= {"name": message.name, "recipient": "assistant", "channel": "commentary"}
    elif message.name is not None:
        exported["name"] = message.name
    return exported | {OWN: {"position": position} | _own(message)}


def _own(message: ChatMessage) -> dict[str, Any]:
    """What this release knows of a message and version 2 does not, less what is as it is by default."""
    plain = ChatMessage(id="", chat_id="", role="user", content="", created_at=0.0)
    names = [name for name in ChatMessage.__struct_fields__ if name not in _IN_FIELDS and getattr(message, name) != getattr(plain, name)]
    own = {name: msgspec.to_builtins(getattr(message, name), str_keys=True) for name in names}
    # The content of version 2 is all that the model was told; this is the part of it that was typed.
    return own | {TYPED: message.content} if message.attachments else own


def hyperparameters(sampling: Sampling, max_tokens: int | None) -> dict[str, Any]:
    """The numbers of an answer under the names that people know; what is left to the model is left out."""
    numbers = {field.name: getattr(sampling, field.name) for field in SAMPLING_FIELDS} | {"max_tokens": max_tokens}
    return {name: value for name, value in numbers.items() if value is not None}


def _prompt_config(options: TurnOptions) -> dict[str, Any]:
    config = {
        "reasoning_effort": options.effort,
        "system_model_identity": options.identity,
        "developer_instructions": options.instructions or None,
        "end_token_strings": list(options.stop) or None,
        **_setup(options.setup or ChatSetup()),
    }
    return {name: value for name, value in config.items() if value is not None}


def _setup(setup: ChatSetup) -> dict[str, Any]:
    """What version 2 has fields for of how a chat was set up, less what is as it is by default."""
    examples = [[{"role": each.role, "content": each.content} for each in dialogue] for dialogue in setup.examples]
    return {
        "assistant_greeting": setup.greeting or None,
        "knowledge_cutoff": None if setup.knowledge_cutoff == DEFAULT_CUTOFF else setup.knowledge_cutoff,
        "conversation_start_date": setup.start_date,
        "example_dialogues": examples or None,
        "placeholders": setup.placeholders or None,
    }


def _iso(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()
