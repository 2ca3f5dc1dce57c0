"""The setup of a chat from the prompt config that a conversation file carries, taken as far as it makes sense. Pure; reads no file."""

import json
from pathlib import Path
from typing import Any

import msgspec
from pydantic import ValidationError

from mlx_harmony.conversation.interchange.values import section, text_of
from mlx_harmony.prompting.config import PromptConfig
from mlx_harmony.prompting.loading import LoadedConfig
from mlx_harmony.prompting.records import ChatSetup
from mlx_harmony.prompting.resolve import resolve


def setup_of(metadata: dict[str, Any], unused: list[str]) -> ChatSetup | None:
    """Examples, placeholders, dates and context as the chat had them; None where the file says nothing of them.

    Fields whose values cannot be used are added to `unused`.
    """
    fields = _usable(section(metadata, "last_prompt_config", "prompt_config"), unused)
    paths = (text_of(metadata.get(name)) for name in ("last_prompt_config_path", "prompt_config_path", "prompt_config"))
    limit = metadata.get("max_context_tokens")
    choices = {"max_context_tokens": limit} if type(limit) is int and limit > 0 else {}
    try:
        setup = resolve(None, LoadedConfig(PromptConfig.model_validate(fields), Path()), choices, {}).setup
    except ValueError:
        unused.append("its prompt config")
        return None
    said = msgspec.structs.replace(setup, prompt_config="")
    return None if said == ChatSetup() else msgspec.structs.replace(said, prompt_config=next(filter(None, paths), ""))


def _usable(config: dict[str, Any], unused: list[str]) -> dict[str, Any]:
    """The fields of the config that can be used, half characters mended."""
    mended = json.loads(text_of(json.dumps(config, ensure_ascii=False)) or "{}")
    fields: dict[str, Any] = {}
    for name, value in mended.items():
        if name not in PromptConfig.model_fields or value is None:
            continue
        try:
            PromptConfig.model_validate({name: value})
        except ValidationError:
            unused.append(name)
        else:
            fields[name] = value
    return fields
