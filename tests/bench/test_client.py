"""The streaming client: what it times and counts, and how it says that a server refused or broke off."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from mlx_harmony.bench.client import Lines, streamed
from mlx_harmony.bench.servers import free_port
from mlx_harmony.bench.sides import Unmeasured

USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
OK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = {"messages": []}


def event(told: object) -> bytes:
    return b"data: " + json.dumps(told).encode() + b"\n\n"


def piece(text: str, field: str = "content") -> bytes:
    return event({"choices": [{"index": 0, "delta": {field: text}}]})


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@contextlib.asynccontextmanager
async def answering(*parts: bytes) -> AsyncIterator[int]:
    """A server that says these bytes to whoever asks, and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        assert json.loads(await reader.readexactly(length))["stream_options"] == {"include_usage": True}
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.02)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        ended.set()

    ended = asyncio.Event()
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await ended.wait()


async def test_pieces_are_timed_and_usage_is_read() -> None:
    last = event({"choices": [], "usage": USAGE}) + b"data: [DONE]\n\n"
    async with answering(
        OK, chunk(b": waiting\n\n"), chunk(piece("Hel", "reasoning")), chunk(piece("lo")), chunk(piece("!")), chunk(last)
    ) as port:
        answer = await streamed(port, BODY)
    assert answer.text == "Hello!"
    assert (answer.prompt_tokens, answer.cached_tokens, answer.tokens, len(answer.stamps)) == (9, 4, 3, 3)
    assert answer.first_token_s >= 0.02
    assert 0 < answer.decode_per_second < 60


def test_a_line_that_comes_in_two_parts_counts_once() -> None:
    lines, data = Lines(0.0), piece("a") + event({"choices": [], "usage": USAGE}) + b"data: [DONE]\n\n"
    for at in range(0, len(data), 7):
        lines.feed(data[at : at + 7], float(at))
    assert lines.over
    assert lines.answer().text == "a"
    assert len(lines.answer().stamps) == 1


async def test_the_end_is_found_where_it_comes_in_two_parts_and_not_in_what_the_model_says() -> None:
    last = chunk(event({"choices": [], "usage": USAGE}) + b"data: [DONE]\n\n")
    said = '\ndata: [DONE]\n\n "error"'
    async with answering(OK + chunk(piece(said)), chunk(piece("!")), last[:-9], last[-9:]) as port:
        answer = await streamed(port, BODY)
    assert answer.text == said + "!"
    assert len(answer.stamps) == 2


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n", b'{"error": {"message": "top_k is too large"}}'], "400: top_k is too large"),
        ([b"HTTP/1.0 404 Not Found\r\n\r\n", b'{"error": "no such model"}'], "404: no such model"),
        ([b"HTTP/1.0 500 Oops\r\n\r\n", b"plain words"], "500: plain words"),
        ([OK, chunk(piece("a"))], "broke off"),
        ([OK, chunk(event({"error": {"message": "the model's process died"}}))], "failed: the model's process died"),
        ([OK, chunk(piece("a") + b"data: [DONE]\n\n")], "without its usage"),
        ([b""], "no whole answer"),
    ],
)
async def test_what_goes_wrong_is_said_in_words(parts: list[bytes], said: str) -> None:
    async with answering(*parts) as port:
        with pytest.raises(Unmeasured, match=said):
            await streamed(port, BODY)


async def test_nobody_at_the_port_is_said() -> None:
    port = free_port()
    with pytest.raises(Unmeasured, match=f"Nothing answers on port {port}"):
        await streamed(port, BODY)
