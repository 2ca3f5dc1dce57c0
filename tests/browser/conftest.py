"""Chromium and the apps it visits: the real one in a process of its own, and one with a scripted model in a thread."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, ViewportSize, sync_playwright

from mlx_harmony.api.app import create_app
from mlx_harmony.cli.front import running
from mlx_harmony.cli.server import bind
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from mlx_harmony_ui.app import mount
from tests.browser.scripts import script
from tests.browser.visit import Visit, launch
from tests.fixtures.provider import ScriptedProvider
from tests.fixtures.server import Running, serving

WIDE = ViewportSize(width=1440, height=900)
OFFLINE = {"HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of the page."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def real_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`mlx-harmony serve` with the Starter."""
    with serving(tmp_path_factory.mktemp("real") / "home", environment=OFFLINE) as server:
        yield server


class ScriptedApp:
    """The whole app, gate and page included, in a thread; its model says what `scripts` has it say."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.address = ""
        self.provider = ScriptedProvider(script, 0.02)
        self.service: Service | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._server: uvicorn.Server | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def start(self) -> "ScriptedApp":
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What the service itself is asked to do, beside the page."""
        assert self._loop
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def stop(self) -> None:
        if self._server:
            self._server.should_exit = True
        self._thread.join(20)

    async def _serve(self) -> None:
        with bind("127.0.0.1", 0) as listener:
            port = listener.getsockname()[1]
            service = await Service.open(Settings(home=str(self.home), port=port), self.provider)
            self.service, self._loop = service, asyncio.get_running_loop()
            app = mount(create_app(service), service)
            config = uvicorn.Config(app, lifespan="off", log_level="error", timeout_graceful_shutdown=1)
            self._server = uvicorn.Server(config)
            self.address = f"http://127.0.0.1:{port}"
            async with running(app):
                self._ready.set()
                await self._server.serve(sockets=[listener])
            await service.close()


@pytest.fixture(scope="package")
def scripted_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedApp]:
    app = ScriptedApp(tmp_path_factory.mktemp("scripted") / "home").start()
    yield app
    app.stop()


@pytest.fixture
def visit(chromium: Browser, scripted_app: ScriptedApp) -> Iterator[Visit]:
    """A fresh visitor of the scripted app; at the end the console must be clean and nothing may have left this machine."""
    with Visit.to(chromium, scripted_app.address, WIDE) as visitor:
        yield visitor
        visitor.assert_quiet()


@pytest.fixture
def real_visit(chromium: Browser, real_app: Running) -> Iterator[Visit]:
    """A fresh visitor of the real app, under the same watch."""
    with Visit.to(chromium, real_app.address, WIDE) as visitor:
        yield visitor
        visitor.assert_quiet()
