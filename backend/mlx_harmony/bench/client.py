"""A streaming client of chat completions that costs next to nothing: the servers it measures share the machine with it.

It speaks just enough HTTP for a server on this machine. Knows nothing of which server it talks to.
"""

import asyncio
import contextlib
import json
import time
from typing import Any

import msgspec

from mlx_harmony.bench.sides import Unmeasured
from mlx_harmony.records import Record

READ_BYTES = 64 * 1024
SILENCE_S = 600.0
DATA = b"data: "
PATH = "/v1/chat/completions"


class Streamed(Record):
    """One answer as a client saw it: when it asked, when each piece came (perf_counter), the usage it was told, and the text."""

    asked_at: float
    stamps: tuple[float, ...]
    prompt_tokens: int
    cached_tokens: int
    tokens: int
    text: str

    @property
    def first_token_s(self) -> float:
        return self.stamps[0] - self.asked_at

    @property
    def decode_per_second(self) -> float:
        """Tokens a second between the first piece and the last one."""
        wrote = self.stamps[-1] - self.stamps[0]
        return (self.tokens - 1) / wrote if wrote > 0 else 0.0


async def streamed(port: int, body: dict[str, Any]) -> Streamed:
    """One streamed answer of the server on this machine's port. Raises Unmeasured where it refuses or breaks off."""
    asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
    asked_at = time.perf_counter()
    reader, writer = await _opened(port)
    try:
        writer.write(_request(port, json.dumps(asked).encode()))
        await _accepted(reader)
        lines = Lines(asked_at)
        while not lines.over:
            data = await asyncio.wait_for(reader.read(READ_BYTES), SILENCE_S)
            if not data:
                raise Unmeasured("The server broke off in the middle of an answer.")
            lines.feed(data, time.perf_counter())
        return lines.answer()
    except (ConnectionError, asyncio.IncompleteReadError, TimeoutError) as error:
        raise Unmeasured(f"The server gave no whole answer: {error or type(error).__name__}.") from error
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


class Lines:
    """Gathers what server-sent events say. Pieces that arrive together share their moment."""

    def __init__(self, asked_at: float) -> None:
        self.over = False
        self._asked_at = asked_at
        self._rest = b""
        self._stamps: list[float] = []
        self._text: list[str] = []
        self._usage: dict[str, Any] = {}

    def feed(self, data: bytes, now: float) -> None:
        """Take what came now; framing lines and comments are passed over."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(DATA):
                self._take(line[len(DATA) :].strip(), now)

    def answer(self) -> Streamed:
        """Raises Unmeasured where the server told no usage, or wrote nothing."""
        if not self._usage or not self._stamps:
            raise Unmeasured("The server ended its answer without a text or without its usage.")
        return Streamed(
            asked_at=self._asked_at,
            stamps=tuple(self._stamps),
            prompt_tokens=self._usage["prompt_tokens"],
            cached_tokens=(self._usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0),
            tokens=self._usage["completion_tokens"],
            text="".join(self._text),
        )

    def _take(self, payload: bytes, now: float) -> None:
        if payload == b"[DONE]":
            self.over = True
            return
        told = msgspec.json.decode(payload)
        if "error" in told:
            raise Unmeasured(f"The server failed: {_message(told)}")
        self._usage = told.get("usage") or self._usage
        for choice in told.get("choices", ()):
            delta = choice.get("delta") or {}
            self._stamps.append(now)
            self._text.append((delta.get("reasoning") or "") + (delta.get("content") or ""))


async def _opened(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        return await asyncio.open_connection("127.0.0.1", port)
    except OSError as error:
        raise Unmeasured(f"Nothing answers on port {port}: {error.strerror or error}.") from error


def _request(port: int, body: bytes) -> bytes:
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def _accepted(reader: asyncio.StreamReader) -> None:
    """Read the head of the answer. Raises Unmeasured for any status but 200, with what the server says of it."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SILENCE_S)
    status = head.split(b" ", 2)[1]
    if status == b"200":
        return
    body = await asyncio.wait_for(reader.read(READ_BYTES), SILENCE_S)
    try:
        said = _message(msgspec.json.decode(body))
    except msgspec.DecodeError:
        said = body.decode("utf-8", "replace").strip()
    raise Unmeasured(f"The server answered {status.decode()}: {said[:300]}")


def _message(told: dict[str, Any]) -> str:
    error = told.get("error", told)
    return str(error.get("message", error) if isinstance(error, dict) else error)
