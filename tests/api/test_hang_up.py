"""A client that goes away frees its slot at once, in every phase; a server that works hard still answers /health."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from mlx_harmony.api.answers import comment
from mlx_harmony.api.line import Pace
from mlx_harmony.events import Event, Failed, Loading, Prefill, Queued
from mlx_harmony.records import GenerationRequest
from tests.api.serving import Options, Serving, eventually, serving
from tests.fixtures.scripted import say

BODY = b'{"messages": [{"role": "user", "content": "hi"}], "stream": %s}'


def long_answer(_: GenerationRequest) -> Sequence[Event]:
    return say("word " * 2000, pieces=2000)


def long_prefill(_: GenerationRequest) -> Sequence[Event]:
    return [Prefill(done=done, total=2000) for done in range(2000)]


def long_queue(_: GenerationRequest) -> Sequence[Event]:
    return [Queued(position=1)] * 2000


def request(server: Serving, streamed: bool) -> bytes:
    body = BODY % (b"true" if streamed else b"false")
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("script", [long_answer, long_prefill, long_queue])
async def test_a_client_that_hangs_up_frees_its_slot_within_two_seconds(tmp_path: Path, script: object, streamed: bool) -> None:
    async with serving(tmp_path, Options(script=script, pause_s=0.02)) as server:  # type: ignore[arg-type]
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request(server, streamed))
        assert await eventually(lambda: len(server.engine.requests) == 1)
        writer.close()
        assert await eventually(lambda: len(server.engine.cancelled) == 1, 2.0)


async def test_a_client_that_hangs_up_while_nothing_comes_is_noticed_too(tmp_path: Path) -> None:
    async with serving(tmp_path, Options(pause_s=60)) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request(server, True))
        assert await eventually(lambda: len(server.engine.requests) == 1)
        writer.close()
        assert await eventually(lambda: len(server.engine.cancelled) == 1, 2.0)


async def test_a_client_that_takes_nothing_counts_as_gone(tmp_path: Path) -> None:
    def flood(_: GenerationRequest) -> Sequence[Event]:
        return say("word " * 4_000_000, pieces=2000)

    async with serving(tmp_path, Options(script=flood, pace=Pace(stalled_s=0.3))) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(request(server, True))
        assert await eventually(lambda: len(server.engine.cancelled) == 1, 5.0)
        assert not reader.at_eof()
        writer.close()


async def test_many_hang_ups_leave_nothing_behind(tmp_path: Path) -> None:
    async with serving(tmp_path, Options(script=long_answer, pause_s=0.02)) as server:
        before = len(asyncio.all_tasks())
        for _ in range(100):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(request(server, True))
            await writer.drain()
            writer.close()
        assert await eventually(lambda: len(server.engine.requests) == len(server.engine.cancelled), 5.0)
        assert await eventually(lambda: len(asyncio.all_tasks()) <= before, 5.0)


async def test_health_answers_within_100_ms_while_answers_are_streamed(tmp_path: Path) -> None:
    async with serving(tmp_path, Options(script=long_answer, pause_s=0.005)) as server, httpx.AsyncClient(base_url=server.url) as client:
        writers = [(await asyncio.open_connection("127.0.0.1", server.port))[1] for _ in range(4)]
        for writer in writers:
            writer.write(request(server, True))
        assert await eventually(lambda: len(server.engine.requests) == 4)
        await client.get("/health")
        took = []
        for _ in range(5):
            started = time.perf_counter()
            answer = await client.get("/health")
            took.append(time.perf_counter() - started)
            assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        # The machine may be at something else meanwhile, but hardly five times.
        assert min(took) < 0.1
        for writer in writers:
            writer.close()


async def test_a_long_prefill_is_told_in_comments_that_clients_ignore(tmp_path: Path) -> None:
    def slow(_: GenerationRequest) -> Sequence[Event]:
        return [Loading(stage="weights", fraction=0.4), *[Prefill(done=done * 512, total=2048) for done in range(5)], *say("done")]

    options = Options(script=slow, pause_s=0.15, pace=Pace(patience_s=0.2, comment_s=0.1))
    async with serving(tmp_path, options) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request(server, True).replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nConnection: close\r\n"))
        answer = await reader.read()
        writer.close()
        assert b"\n: prefill " in answer or b"\n: waiting" in answer
        stream = await server.client.chat.completions.create(model="starter", messages=[{"role": "user", "content": "hi"}], stream=True)
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "done"


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (Queued(position=3), b": queued 3\n\n"),
        (Loading(stage="weights", fraction=0.456), b": loading 45%\n\n"),
        (Prefill(done=512, total=2048), b": prefill 512/2048\n\n"),
        (None, b": waiting\n\n"),
    ],
)
def test_each_kind_of_waiting_has_a_comment_of_its_own(event: Event | None, told: bytes) -> None:
    assert comment(event) == told


@pytest.mark.parametrize("streamed", [b"true", b"false"])
async def test_a_bug_before_the_first_byte_is_a_500_that_tells_nothing(tmp_path: Path, streamed: bytes) -> None:
    def stumbles(_: GenerationRequest) -> Sequence[Event]:
        raise RuntimeError("secret of the inside")

    async with serving(tmp_path, Options(script=stumbles)) as server, httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.post("/v1/chat/completions", content=BODY % streamed, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
        assert "secret" not in answer.text


async def test_an_error_after_the_comments_began_is_an_event(tmp_path: Path) -> None:
    def fails_late(_: GenerationRequest) -> Sequence[Event]:
        return [*[Prefill(done=done, total=9) for done in range(5)], Failed(code="out_of_memory", message="It does not fit.")]

    options = Options(script=fails_late, pause_s=0.1, pace=Pace(patience_s=0.1, comment_s=0.1))
    async with serving(tmp_path, options) as server, httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.post("/v1/chat/completions", content=BODY % b"true", headers={"content-type": "application/json"})
        assert answer.status_code == 200
        assert '"code":"out_of_memory"' in answer.text
        assert "[DONE]" not in answer.text
