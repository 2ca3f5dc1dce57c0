"""The running server: one socket, the API at once, the page as soon as it is built, and a clean end.

It owns the order of starting and stopping. It knows no route of the API and nothing of the page beyond its entry point.
"""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import sys
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from mlx_harmony.cli.errors import DONE
from mlx_harmony.cli.front import App, Building, Front, build_api, running
from mlx_harmony.cli.presence import present
from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.errors import ModelNotFound, SettingsError
from mlx_harmony.records import Record
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings

GRACE_S = 2
DRAIN_S = 3
"""On a stop answers have GRACE_S to end by themselves; then they are ended, and by DRAIN_S the last connection is closed."""
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (where to look, not where to listen)


class ServeOptions(Record):
    """What to start beside the API."""

    with_page: bool = True
    open_browser: bool = True


def serve_until_stopped(settings: Settings, options: ServeOptions, terminal: Terminal) -> int:
    """Binds, starts, serves, and ends cleanly on SIGINT or SIGTERM. Raises SettingsError where the address cannot be had."""
    listener = bind(settings.host, settings.port)
    settings = msgspec.structs.replace(settings, port=listener.getsockname()[1])
    with listener, contextlib.redirect_stdout(sys.stderr):
        work_in_private_folder(settings)
        asyncio.run(_serve(settings, options, terminal, listener))
    if Building.under_way():
        # All is closed. The interpreter's own end may crash over a thread in the middle of its imports.
        sys.stderr.flush()
        os._exit(DONE)
    return DONE


def bind(host: str, port: int) -> socket.socket:
    """A listening socket for `host` and `port`; SettingsError, with what to do, where that is not possible."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only then; without it a streamed piece may wait 40 ms for the last one's ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise _cannot_bind(host, port, error) from error
    return listener


def _cannot_bind(host: str, port: int, error: OSError) -> SettingsError:
    match error.errno:
        case errno.EADDRINUSE:
            return SettingsError(
                f"Port {port} is already in use on {host}.",
                hint=f"MLX Harmony may be running already. Stop it, or choose another port: mlx-harmony serve --port {port % 65535 + 1}",
                param="port",
            )
        case errno.EACCES:
            return SettingsError(f"This user may not listen on port {port}.", hint="Choose a port above 1023.", param="port")
        case _:
            return SettingsError(f"Cannot listen on {host}: {error.strerror or error}.", hint="Check --host.", param="host")


def address(settings: Settings) -> str:
    """Where a browser on this machine finds the server."""
    host = ANY_ADDRESS.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def work_in_private_folder(settings: Settings) -> None:
    """Enter an empty folder of the app's own: Gradio may serve files of the working folder, so there must be none."""
    folder = Path(settings.home) / "empty"
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        os.chdir(folder)
    except OSError as error:
        hint = "Set MLX_HARMONY_HOME to a folder that this user may write."
        raise SettingsError(f"Cannot use {folder}: {error.strerror or error}.", hint=hint) from error


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: those end the process by the signal, before the models' processes are closed."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answering = asyncio.Event()
        self.stopping = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.answering.set()

    def stop(self) -> None:
        """Stop taking connections and drain; asked a second time, stop at once."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self.stopping.set()
        self.force_exit = self.should_exit
        self.should_exit = True


def _server_for(front: Front) -> _Server:
    config = uvicorn.Config(
        front,
        lifespan="off",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_S,
    )
    return _Server(config)


async def _serve(settings: Settings, options: ServeOptions, terminal: Terminal, listener: socket.socket) -> None:
    service = await Service.open(settings)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(service.close)
        for notice in (*service.notices(), *_missing_model(service)):
            terminal.warn(notice)
        api = build_api(service, page_follows=options.with_page)
        await stack.enter_async_context(running(api))
        front = Front(api)
        server = _server_for(front)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, server.stop)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        draining = asyncio.create_task(_drain(server, serving, service))
        try:
            await server.answering.wait()
            if options.with_page and (page := await _page(server, service)) is not None:
                await stack.enter_async_context(running(page))
                front.open(page)
            if not server.should_exit:
                stack.enter_context(present(settings.home, address(settings)))
                _announce(settings, options, terminal)
                await service.jobs.go_on()
            await serving
        finally:
            server.stop()
            await asyncio.wait([serving, draining])
        draining.result()


async def _drain(server: _Server, serving: "asyncio.Task[None]", service: Service) -> None:
    """Once asked to stop: leave the answers a moment, then end them while whoever waits for one is still connected and hears why."""
    await server.stopping.wait()
    await asyncio.wait([serving], timeout=GRACE_S)
    await service.end_answers()


async def _page(server: _Server, service: Service) -> App | None:
    """The page, once it is built; None where a stop came first. Raises HarmonyError where it cannot be built."""
    building = Building(service)
    stopping = asyncio.create_task(server.stopping.wait())
    either: set[asyncio.Future[Any]] = {building.page, stopping}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    return None if building.page.cancel() else building.page.result()


def _missing_model(service: Service) -> Iterator[str]:
    """A word on a default model that is not there. Raises ModelNotFound where it was asked for just now, by a flag."""
    try:
        service.find_model(None)
    except ModelNotFound as error:
        if service.settings.source("model") == "flag":
            raise
        yield f"{error.message} {error.hint}"


def _announce(settings: Settings, options: ServeOptions, terminal: Terminal) -> None:
    terminal.line(f"MLX Harmony is ready at {address(settings)}")
    has_screen = sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if options.open_browser and has_screen:
        asyncio.get_running_loop().run_in_executor(None, webbrowser.open, address(settings))
