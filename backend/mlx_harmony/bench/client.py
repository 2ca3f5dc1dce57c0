"""A streaming client of chat completions that costs next to nothing: the servers it measures share the machine with it.

It speaks just enough HTTP for a server on this machine, and reads what the pieces say only once the answer is over: while it is written
only their moments are taken. Knows nothing of which server it talks to.
"""

import asyncio
import json
import time
from typing import Any, cast

import msgspec

from mlx_harmony.bench.sides import Unmeasured
from mlx_harmony.records import Record

SILENCE_S = 600.0
DATA = b"data: "
HEAD_ENDS = b"\r\n\r\n"
OVER, FAILED = b"\ndata: [DONE]", b'"error"'
"""Neither can stand in a text of the answer: line breaks and quotes are escaped there."""
LONGEST_MARK = max(map(len, (HEAD_ENDS, OVER, FAILED)))
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
    ear = await _opened(port)
    try:
        ear.write(_request(port, json.dumps(asked).encode()))
        await _accepted(ear)
        lines = Lines(asked_at)
        while not lines.over:
            await ear.until(OVER, FAILED)
            if not ear.pieces:
                raise Unmeasured("The server broke off in the middle of an answer.")
            for now, data in ear.taken():
                lines.feed(data, now)
        return lines.answer()
    except (ConnectionError, TimeoutError) as error:
        raise Unmeasured(f"The server gave no whole answer: {error or type(error).__name__}.") from error
    finally:
        ear.close()


class Ear(asyncio.Protocol):
    """The client's end of a connection. `pieces`: what came and was not taken yet, each with its moment."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self.pieces: list[tuple[float, bytes]] = []
        self._marks: tuple[bytes, ...] = ()
        self._tail = b""
        self._ended = False
        self._lost: Exception | None = None
        self._woken: asyncio.Future[None] | None = None

    async def until(self, *marks: bytes) -> None:
        """Wait until one of these came, or the server has hung up. Raises TimeoutError after a long silence, ConnectionError."""
        self._marks, self._tail, silent_since = marks, b"", -1
        if not self._ended and not self._marked(b"".join(data for _, data in self.pieces)):
            self._woken = asyncio.get_running_loop().create_future()
            while not self._woken.done():
                if silent_since == len(self.pieces):
                    raise TimeoutError
                silent_since = len(self.pieces)
                await asyncio.wait({self._woken}, timeout=SILENCE_S)
        if self._lost is not None:
            raise self._lost

    def taken(self) -> list[tuple[float, bytes]]:
        """The pieces, each once."""
        pieces, self.pieces = self.pieces, []
        return pieces

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.pieces.append((time.perf_counter(), data))
        if self._marked(data):
            self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._ended, self._lost = True, error
        self._wake()

    def _marked(self, data: bytes) -> bool:
        """Whether a mark ends in this, which may have begun in what came before."""
        seen = self._tail + data
        self._tail = seen[-LONGEST_MARK:]
        return any(mark in seen for mark in self._marks)

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)


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


async def _opened(port: int) -> Ear:
    try:
        return (await asyncio.get_running_loop().create_connection(Ear, "127.0.0.1", port))[1]
    except OSError as error:
        raise Unmeasured(f"Nothing answers on port {port}: {error.strerror or error}.") from error


def _request(port: int, body: bytes) -> bytes:
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def _accepted(ear: Ear) -> None:
    """Read the head of the answer. Raises Unmeasured for any status but 200, with what the server says of it."""
    await ear.until(HEAD_ENDS)
    pieces = ear.taken()
    head, ended, rest = b"".join(data for _, data in pieces).partition(HEAD_ENDS)
    if not ended:
        raise ConnectionError("it hung up")
    status = head.split(b" ", 2)[1]
    if status == b"200":
        ear.pieces[:0] = [(pieces[-1][0], rest)] if rest else []
        return
    await ear.until()
    body = rest + b"".join(data for _, data in ear.taken())
    try:
        said = _message(msgspec.json.decode(body))
    except msgspec.DecodeError:
        said = body.decode("utf-8", "replace").strip()
    raise Unmeasured(f"The server answered {status.decode()}: {said[:300]}")


def _message(told: dict[str, Any]) -> str:
    error = told.get("error", told)
    return str(error.get("message", error) if isinstance(error, dict) else error)
