"""A request that asks for a profile: what the profile says, where the request does not say otherwise itself. Pure; reads no file."""

import time
from collections.abc import Collection
from itertools import takewhile
from typing import Any

import msgspec

from mlx_harmony.conversation.history import framed
from mlx_harmony.conversation.plan import loop_detection
from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.kv_ranges import combined
from mlx_harmony.prompting.records import ChatSetup
from mlx_harmony.records import ChatPrompt, GenerationRequest, Sampling

_OF_PROMPT = ("effort", "identity", "knowledge_cutoff", "start_date", "channels", "roles")
_OF_REQUEST = ("max_tokens", "stop", "end_tokens", "analysis_budget", "speculation", "draft_model", "num_draft_tokens")


def with_profile(request: GenerationRequest, options: TurnOptions, said: Collection[str]) -> GenerationRequest:
    """The request over a profile's options. `said` are the fields that it brings itself, by the names of the records.

    Instructions of its own, system or developer messages at its beginning, take the place of the profile's.
    """
    setup = options.setup or ChatSetup()
    rest: dict[str, Any] = {name: getattr(options, name) for name in _OF_REQUEST if name not in said}
    if "loop_detection" not in said:
        rest["loop_detection"] = loop_detection(options)
    own = {name: getattr(request.sampling, name) for name in Sampling.__struct_fields__ if name in said}
    return msgspec.structs.replace(
        request,
        prompt=_prompt(request.prompt, options, said) if isinstance(request.prompt, ChatPrompt) else request.prompt,
        sampling=msgspec.structs.replace(options.sampling, **own),
        kv=combined(options.kv, request.kv),
        max_context_tokens=setup.max_context_tokens,
        context_margin=setup.max_context_tokens_margin,
        prompt_budget=setup.prompt_token_budget,
        **rest,
    )


def _prompt(prompt: ChatPrompt, options: TurnOptions, said: Collection[str]) -> ChatPrompt:
    lead = tuple(takewhile(lambda message: message.role in ("system", "developer"), prompt.messages))
    if lead:
        options = msgspec.structs.replace(options, instructions="")
    whole = framed(prompt.messages[len(lead) :], options, time.time())
    own = {name: getattr(prompt, name) for name in _OF_PROMPT if name in said}
    return msgspec.structs.replace(whole, messages=(*lead, *whole.messages), tools=prompt.tools, **own)
