"""What answers before the page is built, and how an app is started and stopped."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlx_harmony.cli.front import App, Front, Message, Receive, Send, build_api, running
from mlx_harmony.errors import HarmonyError
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from tests.fixtures.provider import ScriptedProvider

HOST = "http://127.0.0.1:7860"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    opened = await Service.open(Settings(home=str(tmp_path)), provider=ScriptedProvider())
    yield opened
    await opened.close()


def client(app: App) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=HOST)  # type: ignore[arg-type]


async def test_the_api_answers_while_the_page_asks_for_patience(service: Service) -> None:
    async with client(build_api(service, page_follows=True)) as http:
        assert (await http.get("/health")).json() == {"status": "ok"}
        waiting = await http.get("/")
        assert waiting.status_code == 503
        assert waiting.headers["retry-after"] == "1"
        assert "is starting" in waiting.text
        assert "location.reload()" in waiting.text


async def test_the_waiting_page_stands_behind_the_gate(service: Service) -> None:
    async with client(build_api(service, page_follows=True)) as http:
        refused = await http.get("/", headers={"host": "evil.example"})
    assert refused.status_code == 421
    assert "is starting" not in refused.text


async def test_without_a_page_other_addresses_do_not_exist(service: Service) -> None:
    async with client(build_api(service, page_follows=False)) as http:
        assert (await http.get("/")).status_code == 404


async def test_a_websocket_is_asked_to_come_again_later(service: Service) -> None:
    from mlx_harmony.cli.front import _waiting

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await _waiting({"type": "websocket"}, asyncio.Queue[Any]().get, send)
    assert sent == [{"type": "websocket.close", "code": 1013}]


async def test_the_front_passes_on_to_what_was_opened_last() -> None:
    seen = []

    def named(name: str) -> App:
        async def app(_scope: Message, _receive: Receive, _send: Send) -> None:
            seen.append(name)

        return app

    async def send(_message: Message) -> None: ...

    front = Front(named("api"))
    await front({"type": "http"}, asyncio.Queue[Any]().get, send)
    front.open(named("page"))
    await front({"type": "http"}, asyncio.Queue[Any]().get, send)
    assert seen == ["api", "page"]


def lifespan_app(log: list[str], *, failing: str = "") -> App:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        assert scope["type"] == "lifespan"
        for step in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{step}"
            log.append(step)
            outcome = "failed" if step == failing else "complete"
            await send({"type": f"lifespan.{step}.{outcome}", "message": "no luck"})

    return app


async def test_an_app_is_started_before_and_stopped_after() -> None:
    log: list[str] = []
    async with running(lifespan_app(log)):
        log.append("body")
    assert log == ["startup", "body", "shutdown"]


async def test_a_failed_start_is_an_error_that_says_why() -> None:
    with pytest.raises(HarmonyError, match="startup: no luck"):
        async with running(lifespan_app([], failing="startup")):
            pytest.fail("the body must not run")


async def test_an_app_without_a_lifespan_has_nothing_to_start() -> None:
    async def app(_scope: Message, _receive: Receive, _send: Send) -> None:
        return

    ran = False
    async with running(app):
        ran = True
    assert ran
