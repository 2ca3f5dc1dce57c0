"""What made an answer, in forms that make it again: options for the chat, and its request for curl, Python and the terminal. Pure."""

import json
import shlex
from collections.abc import Iterator
from pprint import pformat
from typing import Any, NamedTuple

import msgspec

from mlx_harmony.conversation.comparing import same_weights
from mlx_harmony.conversation.history import prompt_of
from mlx_harmony.conversation.records import ChatMessage, CopyKind, Provenance, TurnOptions
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.kv_ranges import KV_FIELDS
from mlx_harmony.prompting.records import ChatSetup
from mlx_harmony.ranges import MAX_TOKENS, SAMPLING_FIELDS
from mlx_harmony.records import CHANNELS, DEFAULT_CUTOFF, ChatPrompt, Message, Tool

KEY_VARIABLE = "MLX_HARMONY_API_KEY"

_OPENAI_NAMES = (
    *("model", "messages", "temperature", "top_p", "seed", "max_tokens", "stop", "tools", "reasoning_effort"),
    *("presence_penalty", "frequency_penalty", "logit_bias"),
)
_WIDTH = 100


class Server(NamedTuple):
    """Where requests go: the address without a path, and whether it asks for a key."""

    address: str
    wants_key: bool


def options_again(answer: ChatMessage) -> TurnOptions:
    """The options that made this answer, the seed it was drawn with included. Raises InvalidRequest where that is not known."""
    made = _made(answer)
    return TurnOptions(
        model=made.model,
        sampling=msgspec.structs.replace(made.sampling, seed=made.seed) if answer.usage else made.sampling,
        max_tokens=made.max_tokens,
        max_context_tokens=made.max_context_tokens,
        stop=made.stop,
        end_tokens=made.end_tokens,
        channels=made.channels,
        analysis_budget=made.analysis_budget,
        loop_detection=made.loop_detection,
        speculation=made.speculation,
        draft_model=made.draft_model,
        num_draft_tokens=made.num_draft_tokens,
        effort=made.effort,
        identity=made.identity,
        instructions=made.instructions,
        tools=made.tools,
        kv=made.kv,
        exact_seed=True,
    )


def weights_changed(answer: ChatMessage, fingerprint: str) -> bool:
    """Whether other weights than those of this fingerprint made the answer. Raises InvalidRequest where what made it is not known."""
    made = _made(answer).fingerprint
    return bool(made and fingerprint) and not same_weights(made, fingerprint)


def copied(kind: CopyKind, path: tuple[ChatMessage, ...], created_at: float, server: Server, setup: ChatSetup | None = None) -> str:
    """The request that made the last message of the path, ready to run. Raises InvalidRequest where it was not made by a model."""
    options = msgspec.structs.replace(options_again(path[-1]), setup=setup)
    body = request_body(prompt_of(_seen(path), options, created_at), options)
    match kind:
        case "curl":
            return _curl(body, server)
        case "python":
            return _python(body, server)
        case "cli":
            return f"mlx-harmony generate --request - <<'JSON'\n{_json(body)}\nJSON\n"


def request_body(prompt: ChatPrompt, options: TurnOptions) -> dict[str, Any]:
    """The chat completion request that asks for the same; what is as it is by default is left out."""
    body: dict[str, Any] = {"model": options.model, "messages": [_message(message) for message in prompt.messages]}
    for field in SAMPLING_FIELDS:
        value = getattr(options.sampling, field.name)
        if value != field.default:
            body[field.name] = value
    more = {
        MAX_TOKENS.name: options.max_tokens,
        "stop": list(options.stop),
        "end_tokens": list(options.end_tokens),
        "logit_bias": {str(token): bias for token, bias in options.sampling.logit_bias.items()},
        "tools": [_tool(tool) for tool in prompt.tools],
        "system_model_identity": prompt.identity,
    }
    body |= {name: value for name, value in more.items() if value}
    body |= {field.name: value for field in KV_FIELDS if (value := getattr(options.kv, field.name)) is not None}
    if options.sampling.xtc_special_tokens is not None:
        body["xtc_special_tokens"] = list(options.sampling.xtc_special_tokens)
    if prompt.knowledge_cutoff != DEFAULT_CUTOFF:
        body["knowledge_cutoff"] = prompt.knowledge_cutoff
    if options.analysis_budget is not None:
        body["reasoning_budget"] = options.analysis_budget
    if options.loop_detection not in (None, "cheap"):
        body["loop_detection"] = options.loop_detection
    if options.speculation != "auto":
        body["speculation"] = options.speculation
    if options.draft_model is not None:
        body["draft_model"] = options.draft_model or None
    if options.num_draft_tokens is not None:
        body["num_draft_tokens"] = options.num_draft_tokens
    if options.channels != CHANNELS:
        body["channels"] = list(options.channels)
    return body | {"reasoning_effort": prompt.effort, "conversation_start_date": prompt.start_date}


def _seen(path: tuple[ChatMessage, ...]) -> tuple[ChatMessage, ...]:
    """What the model saw of what came before its answer."""
    *before, answer = path
    ids = [message.id for message in before]
    return tuple(before[ids.index(answer.seen_from) :] if answer.seen_from in ids else before)


def _made(answer: ChatMessage) -> Provenance:
    if answer.role != "assistant" or answer.provenance is None:
        raise InvalidRequest("What made this message is not known.", hint="Choose an answer of a model.", param="message_id")
    return answer.provenance


def _message(message: Message) -> dict[str, Any]:
    body: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.reasoning:
        body["reasoning"] = message.reasoning
    if message.tool_calls:
        body["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}} for call in message.tool_calls
        ]
    named = {"tool_call_id": message.tool_call_id, "name": message.name}
    return body | {name: value for name, value in named.items() if value is not None}


def _tool(tool: Tool) -> dict[str, Any]:
    if tool.kind != "function":
        return {"type": tool.kind}
    return {"type": "function", "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters}}


def _json(body: dict[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False, indent=2)


def _curl(body: dict[str, Any], server: Server) -> str:
    """The body comes by a here-document: no text in it can end that, and none is too long for a command line."""
    key = f' \\\n  -H "Authorization: Bearer ${KEY_VARIABLE}"' if server.wants_key else ""
    address = shlex.quote(f"{server.address}/v1/chat/completions")
    return f"curl -sS {address} \\\n  -H 'Content-Type: application/json'{key} \\\n  --data-binary @- <<'JSON'\n{_json(body)}\nJSON\n"


def _python(body: dict[str, Any], server: Server) -> str:
    return "\n".join(_python_lines(body, server)) + "\n"


def _python_lines(body: dict[str, Any], server: Server) -> Iterator[str]:
    if server.wants_key:
        yield from ("import os", "")
    yield from ("from openai import OpenAI", "")
    key = f'os.environ["{KEY_VARIABLE}"]' if server.wants_key else '"no key needed"'
    yield f"client = OpenAI(base_url={server.address + '/v1'!r}, api_key={key})"
    yield "answer = client.chat.completions.create("
    own = {name: value for name, value in body.items() if name not in _OPENAI_NAMES}
    for name, value in {**{name: body[name] for name in body if name not in own}, "extra_body": own}.items():
        lines = pformat(value, width=_WIDTH, sort_dicts=False).splitlines()
        yield f"    {name}={lines[0]}" + ("," if len(lines) == 1 else "")
        yield from (f"    {line}" for line in lines[1:-1])
        if len(lines) > 1:
            yield f"    {lines[-1]},"
    yield from (")", "print(answer.choices[0].message.content)")
