"""Pure adapter from the engine's events to OpenAI's chat completion, whole or in chunks. No HTTP, no waiting.

Channels map so: final and the spoken part of commentary are `content`, analysis is `reasoning`, calls are `tool_calls`.
Several messages of one turn share a field, a blank line between them.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from mlx_harmony.events import Event, Finished, MessageStarted, Routed, TextDelta, TokenLogprob, ToolCallDelta
from mlx_harmony.records import Record, Speculated, Timings, Usage

FINISH_REASONS = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "cancelled": "length"}
"""OpenAI has no word for an answer cut off from outside; `length` is its word for one that is not complete."""


IMPOSSIBLE = -9999.0

TextField = Literal["content", "reasoning"]


class Reply(Record):
    """What every body and chunk of one answer repeats. `model` is the one that answers; `created` in seconds since the epoch."""

    id: str
    created: int
    model: str
    include_usage: bool = False
    logprobs: bool = False


class Piece(Record):
    """A piece of text of the answer, with the field it belongs to."""

    field: TextField
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


class Fields:
    """Follows a turn's messages and says which field, and which call, each piece belongs to."""

    def __init__(self) -> None:
        self._calls: dict[str, int] = {}
        self._last: dict[TextField, int] = {}

    def call_index(self, call: ToolCallDelta) -> int:
        """The place of this call among the turn's calls, from 0."""
        return self._calls.setdefault(call.call_id, len(self._calls))

    def piece(self, delta: TextDelta) -> Piece:
        field: TextField = "reasoning" if delta.channel == "analysis" else "content"
        another = self._last.get(field, delta.index) != delta.index
        self._last[field] = delta.index
        return Piece(field=field, text="\n\n" + delta.text if another else delta.text, logprobs=delta.logprobs)


class WholeAnswer:
    """Gathers one turn's events into a chat.completion body."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._fields = Fields()
        self._text: dict[TextField, list[str]] = {"content": [], "reasoning": []}
        self._logprobs: dict[TextField, list[dict[str, Any]]] = {"content": [], "reasoning": []}
        self._calls: list[dict[str, Any]] = []

    def add(self, event: Event) -> None:
        match event:
            case TextDelta():
                piece = self._fields.piece(event)
                self._text[piece.field].append(piece.text)
                self._logprobs[piece.field] += [logprob_entry(each) for each in piece.logprobs]
            case ToolCallDelta():
                self._add_call(event, self._fields.call_index(event))
            case Routed(model=model):
                self._reply = msgspec.structs.replace(self._reply, model=model)
            case _:
                pass

    def _add_call(self, call: ToolCallDelta, index: int) -> None:
        if index == len(self._calls):
            self._calls.append({"id": call.call_id, "type": "function", "function": {"name": "", "arguments": ""}})
        function = self._calls[index]["function"]
        function["name"] += call.name
        function["arguments"] += call.arguments

    def body(self, end: Finished) -> dict[str, Any]:
        """The whole answer; `end` brings its figures."""
        content, reasoning = "".join(self._text["content"]), "".join(self._text["reasoning"])
        message: dict[str, Any] = {"role": "assistant", "content": content if content or not self._calls else None, "refusal": None}
        if reasoning:
            message["reasoning"] = reasoning
        if self._calls:
            message["tool_calls"] = self._calls
        logprobs = logprobs_object(self._logprobs) if self._reply.logprobs else None
        choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": FINISH_REASONS[end.reason]}
        return {
            **_head(self._reply, "chat.completion"),
            "choices": [choice],
            "usage": usage_object(end.usage),
            **figures_beside(end),
        }


class ChunkedAnswer:
    """Turns each event into the chunks that tell it; the first chunk carries the role. A plain piece of text is encoded already."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._fields = Fields()
        self._begun = False
        self._around: dict[TextField, tuple[bytes, bytes]] = {}

    def chunks(self, event: Event) -> list[dict[str, Any] | msgspec.Raw]:
        match event:
            case Routed(model=model):
                self._reply = msgspec.structs.replace(self._reply, model=model)
                self._around.clear()
                return []
            case MessageStarted():
                return self._opening()
            case TextDelta():
                return [*self._opening(), self._text_chunk(self._fields.piece(event))]
            case ToolCallDelta():
                called = _call_piece(event, self._fields.call_index(event))
                return [*self._opening(), self._chunk({"tool_calls": [called]})]
            case Finished():
                return [*self._opening(), *self._closing(event)]
            case _:
                return []

    def _opening(self) -> list[dict[str, Any] | msgspec.Raw]:
        if self._begun:
            return []
        self._begun = True
        return [self._chunk({"role": "assistant", "content": ""})]

    def _text_chunk(self, piece: Piece) -> dict[str, Any] | msgspec.Raw:
        if self._reply.logprobs:
            told = {piece.field: [logprob_entry(each) for each in piece.logprobs]}
            return self._chunk({piece.field: piece.text}, logprobs=logprobs_object(told))
        before, after = self._around.get(piece.field) or self._encoded_around(piece.field)
        return msgspec.Raw(before + msgspec.json.encode(piece.text) + after)

    def _encoded_around(self, field: TextField) -> tuple[bytes, bytes]:
        """What every plain chunk of a field has before and after its text, encoded once: there is a chunk for each token."""
        mark = b'"delta":{"%b":' % field.encode()
        # No string of the chunk holds the mark: its quotes would be escaped there.
        before, _, after = msgspec.json.encode(self._chunk({field: ""})).partition(mark)
        self._around[field] = (before + mark, after.removeprefix(b'""'))
        return self._around[field]

    def _closing(self, end: Finished) -> list[dict[str, Any] | msgspec.Raw]:
        last = self._chunk({}, finish_reason=FINISH_REASONS[end.reason])
        if not self._reply.include_usage:
            return [{**last, **figures_beside(end)}]
        figures = {**_head(self._reply, "chat.completion.chunk"), "choices": [], "usage": usage_object(end.usage)}
        return [last, {**figures, **figures_beside(end)}]

    def _chunk(self, delta: dict[str, Any], *, finish_reason: str | None = None, logprobs: dict[str, Any] | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        chunk = {**_head(self._reply, "chat.completion.chunk"), "choices": [choice]}
        return {**chunk, "usage": None} if self._reply.include_usage else chunk


def usage_object(usage: Usage) -> dict[str, Any]:
    """OpenAI's usage, token counts."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def figures_beside(end: Finished) -> dict[str, Any]:
    """What we tell beside OpenAI's fields: texts where there is something to say, guesses where there were any."""
    guessed = end.speculation or Speculated()
    said = {"repaired": end.repaired, "note": end.note, "draft_model": guessed.draft_model, "draft_note": guessed.note}
    drafted = {"draft_n": guessed.drafted, "draft_n_accepted": guessed.accepted} if guessed.drafted else {}
    return {"timings": timings_object(end.timings) | drafted, **{name: text for name, text in said.items() if text}}


def timings_object(timings: Timings) -> dict[str, Any]:
    """Our figures beside OpenAI's, named as llama.cpp names them; milliseconds."""
    return {
        "prompt_n": timings.prompt_n,
        "cached_n": timings.cached_n,
        "prompt_ms": timings.prompt_ms,
        "predicted_n": timings.predicted_n,
        "predicted_ms": timings.predicted_ms,
        "predicted_per_second": timings.predicted_per_second,
        "kv_length": timings.kv_length,
        "kv_bytes": timings.kv_bytes,
    }


def logprob_entry(told: TokenLogprob) -> dict[str, Any]:
    """One token as OpenAI lists it, with its alternatives."""
    return {
        **_token(told.token, told.logprob),
        "top_logprobs": [_token(token, logprob) for token, _, logprob in told.top],
    }


def logprobs_object(entries: Mapping[TextField, list[dict[str, Any]]]) -> dict[str, Any]:
    """OpenAI's logprobs of a choice; the thinking's stand under a name of their own."""
    told: dict[str, Any] = {"content": entries.get("content", []), "refusal": None}
    return {**told, "reasoning": entries["reasoning"]} if entries.get("reasoning") else told


def _token(token: str, logprob: float) -> dict[str, Any]:
    # JSON has no minus infinity, which a filter gives to a token it ruled out; OpenAI writes this number for it.
    return {"token": token, "logprob": max(logprob, IMPOSSIBLE), "bytes": list(token.encode())}


def _call_piece(call: ToolCallDelta, index: int) -> dict[str, Any]:
    if call.name:
        function = {"name": call.name, "arguments": call.arguments}
        return {"index": index, "id": call.call_id, "type": "function", "function": function}
    return {"index": index, "function": {"arguments": call.arguments}}


def _head(reply: Reply, kind: str) -> dict[str, Any]:
    return {"id": reply.id, "object": kind, "created": reply.created, "model": reply.model, "system_fingerprint": None}
