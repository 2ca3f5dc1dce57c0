"""What answers while the page is still being built, and how an ASGI app is started and stopped. It knows no routes."""

import asyncio
import contextlib
import threading
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
# A refresh by <meta> does not load an address anew that ends in #chat=…; a script does.
WAITING = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>MLX Harmony</title>
<noscript><meta http-equiv="refresh" content="1"></noscript><script>setTimeout(() => location.reload(), 700)</script>
<p role="status">MLX Harmony is starting.</p></html>"""
WAITING_HEADERS = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-length", str(len(WAITING)).encode()),
    (b"cache-control", b"no-store"),
    (b"retry-after", b"1"),
]


class Front:
    """Passes everything on to one app, which `open` exchanges for another while the server runs."""

    def __init__(self, app: App) -> None:
        self._app = app

    def open(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def build_api(service: Service, *, page_follows: bool) -> App:
    """The API alone; where a page follows, every other address asks for a moment's patience."""
    from mlx_harmony.api.app import create_app

    app = create_app(service)
    if page_follows:
        app.mount("", _waiting)
    return app


def build_page(service: Service) -> App:
    """The API with every installed page mounted on it. Slow the first time (it imports the page's toolkit): call it in a thread."""
    from mlx_harmony.api.app import create_app

    app: App = create_app(service)
    for guest in entry_points(group=UI_GROUP):
        try:
            app = guest.load()(app, service)
        except Exception as error:
            hint = "Start without it: mlx-harmony serve --no-ui"
            raise HarmonyError(f"The page {guest.name!r} could not be started: {error}", hint=hint) from error
    return app


class Building:
    """The page being built in a thread that a stop need not wait for; `page` becomes the app, or raises HarmonyError."""

    NAME = "page"

    def __init__(self, service: Service) -> None:
        self._loop = asyncio.get_running_loop()
        self.page: asyncio.Future[App] = self._loop.create_future()
        threading.Thread(target=self._build, args=(service,), name=self.NAME, daemon=True).start()

    @classmethod
    def under_way(cls) -> bool:
        """Whether one is still being built, also where nobody waits for it any more."""
        return any(thread.name == cls.NAME for thread in threading.enumerate())

    def _build(self, service: Service) -> None:
        built: App | HarmonyError = HarmonyError("The page could not be built.", hint="Start without it: mlx-harmony serve --no-ui")
        try:
            built = build_page(service)
        except HarmonyError as error:
            built = error
        finally:
            # Where the program has stopped meanwhile, its loop is closed and nobody waits.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._settle, built)

    def _settle(self, built: "App | HarmonyError") -> None:
        if self.page.cancelled():
            return
        if isinstance(built, HarmonyError):
            self.page.set_exception(built)
        else:
            self.page.set_result(built)


async def _waiting(scope: Message, _receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1013})
        return
    await send({"type": "http.response.start", "status": 503, "headers": WAITING_HEADERS})
    await send({"type": "http.response.body", "body": WAITING})


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
