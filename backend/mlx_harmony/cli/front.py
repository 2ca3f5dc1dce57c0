"""What answers while the page is still being built, and how an ASGI app is started and stopped. It knows no route but `/`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from importlib.metadata import entry_points
from typing import Any

from mlx_harmony.errors import HarmonyError
from mlx_harmony.service import Service

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

UI_GROUP = "mlx_harmony.ui"
WAITING = b"""<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="1">
<title>MLX Harmony</title><p role="status">MLX Harmony is starting.</p></html>"""


class Front:
    """The API from the first moment; the whole app, page included, once `open` is given it."""

    def __init__(self, api: App, *, starting: bool) -> None:
        self._app = api
        self._starting = starting

    def open(self, app: App) -> None:
        self._app = app
        self._starting = False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if self._starting and scope["type"] == "http" and scope["path"] == "/" and scope["method"] == "GET":
            await send({"type": "http.response.start", "status": 503, "headers": WAITING_HEADERS})
            await send({"type": "http.response.body", "body": WAITING})
            return
        await self._app(scope, receive, send)


WAITING_HEADERS = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-length", str(len(WAITING)).encode()),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
    (b"retry-after", b"1"),
]


def build_page(service: Service) -> App:
    """The API with every installed page mounted on it. Slow the first time (it imports the page's toolkit): call it in a thread."""
    from mlx_harmony.api.app import create_app

    app: App = create_app(service)
    for guest in entry_points(group=UI_GROUP):
        try:
            app = guest.load()(app, service)
        except Exception as error:
            raise HarmonyError(
                f"The page {guest.name!r} could not be started: {error}", hint="Start without it: mlx-harmony serve --no-ui"
            ) from error
    return app


@contextlib.asynccontextmanager
async def running(app: App) -> AsyncIterator[None]:
    """Runs the app's ASGI lifespan around the body. An app without one simply has nothing to start."""
    to_app: asyncio.Queue[Message] = asyncio.Queue()
    answers: asyncio.Queue[Message] = asyncio.Queue()
    life = asyncio.create_task(_live(app, to_app, answers))
    try:
        await _ask("startup", to_app, answers, life)
        yield
        await _ask("shutdown", to_app, answers, life)
    finally:
        life.cancel()
        await asyncio.wait([life])


async def _live(app: App, to_app: "asyncio.Queue[Message]", answers: "asyncio.Queue[Message]") -> None:
    await app({"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}, to_app.get, answers.put)


async def _ask(step: str, to_app: "asyncio.Queue[Message]", answers: "asyncio.Queue[Message]", life: "asyncio.Task[None]") -> None:
    await to_app.put({"type": f"lifespan.{step}"})
    answer = asyncio.create_task(answers.get())
    await asyncio.wait([answer, life], return_when=asyncio.FIRST_COMPLETED)
    if not answer.done():
        answer.cancel()
        life.result()
    elif answer.result()["type"] == f"lifespan.{step}.failed":
        raise HarmonyError(f"The server could not finish its {step}: {answer.result().get('message', '')}")
