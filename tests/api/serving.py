"""A real uvicorn server on a free port over a Service whose model is scripted. For the tests of the API and of the page's gate."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import uvicorn
from fastapi import FastAPI
from openai import AsyncOpenAI

from mlx_harmony.api.app import create_app
from mlx_harmony.api.line import Pace
from mlx_harmony.api.policy import Policy
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from tests.fixtures.provider import ScriptedProvider
from tests.fixtures.scripted import Script, ScriptedEngine, echo

Build = Callable[[FastAPI, Service], FastAPI]


class Serving(msgspec.Struct):
    """A running server: where it is and what stands behind it."""

    port: int
    service: Service
    engine: ScriptedEngine
    client: AsyncOpenAI

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Options(msgspec.Struct, kw_only=True):
    """How a server of the tests differs from the usual one."""

    script: Script = echo
    pause_s: float = 0.0
    real: bool = False
    key_hashes: tuple[str, ...] = ()
    models_dirs: tuple[str, ...] = ()
    limits: dict[str, float] = {}
    pace: Pace = Pace()
    build: Build | None = None


@contextlib.asynccontextmanager
async def serving(home: Path, options: Options | None = None) -> AsyncIterator[Serving]:
    """Serve until the body ends."""
    options = options or Options()
    scripted = ScriptedProvider(options.script, options.pause_s)
    # Named, or asyncio leaves Nagle's algorithm on and each answer takes 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        settings = Settings(home=str(home), port=port, api_key_hashes=options.key_hashes, models_dirs=options.models_dirs)
        service = await Service.open(settings, None if options.real else scripted)
        policy = msgspec.structs.replace(Policy.of(settings), **options.limits)
        app = create_app(service, policy=policy, pace=options.pace)
        if options.build:
            app = options.build(app, service)
        try:
            client = AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="unused", max_retries=0)
            async with running(app, listener), client:
                yield Serving(port, service, scripted.engine, client)
        finally:
            await service.close()


@contextlib.asynccontextmanager
async def running(app: FastAPI, listener: socket.socket) -> AsyncIterator[None]:
    config = uvicorn.Config(app, log_level="error", access_log=False, proxy_headers=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        await task


async def raw(port: int, request: bytes, *, until_closed: bool = True) -> bytes:
    """Send bytes as they are and return all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        await writer.drain()
    try:
        return await asyncio.wait_for(reader.read() if until_closed else reader.readuntil(b"\r\n\r\n"), 10)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def eventually(condition: Callable[[], bool], within_s: float = 2.0) -> bool:
    """Whether the condition comes true in time."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + within_s
    while loop.time() < ends_at:
        if condition():
            return True
        await asyncio.sleep(0.01)
    return condition()
