"""An answer that comes as lines of JSON, each as it happens. Whoever hangs up ends the work. Knows nothing of what is told."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mlx_harmony.api.answers import unless_gone
from mlx_harmony.api.errors import error_response
from mlx_harmony.errors import HarmonyError

LINES = [(b"content-type", b"application/x-ndjson"), (b"cache-control", b"no-store")]


class Told(Response):
    """The steps as lines. What goes wrong before the first has its own status, afterwards it is the last line."""

    def __init__(self, steps: AsyncGenerator[dict[str, Any], None]) -> None:
        super().__init__()
        self._steps = steps
        self._open = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answer() -> None:
            try:
                async with aclosing(self._steps) as steps:
                    async for step in steps:
                        await self._tell(send, step)
            except HarmonyError as error:
                if not self._open:
                    await error_response(error)(scope, receive, send)
                    return
                told = {"code": error.code, "message": error.message, "hint": error.hint, "param": error.param}
                await self._tell(send, {"step": "failed", **told})
            await send({"type": "http.response.body", "body": b""})

        await unless_gone(receive, answer())

    async def _tell(self, send: Send, line: dict[str, Any]) -> None:
        if not self._open:
            await send({"type": "http.response.start", "status": 200, "headers": LINES})
            self._open = True
        await send({"type": "http.response.body", "body": msgspec.json.encode(line) + b"\n", "more_body": True})
