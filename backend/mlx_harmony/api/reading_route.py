"""POST /files/caches/read: a model reads a prompt once and keeps it in a file of the app's home; how far it is comes as lines of JSON.

Whoever hangs up cancels. Knows nothing of how a prompt is read.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from mlx_harmony.api.body import read_json
from mlx_harmony.api.chat_request import body_as
from mlx_harmony.api.schemas import ReadBody
from mlx_harmony.api.telling import Told
from mlx_harmony.conversation.single import single_request
from mlx_harmony.events import Event, Loading, Prefill, Queued
from mlx_harmony.reading import PromptRead
from mlx_harmony.service import Service

router = APIRouter(redirect_slashes=False)


@router.post("/read", include_in_schema=False)
async def read(request: Request) -> Response:
    """Read the prompt as a new chat would begin with it, and save it under that name."""
    body, service = body_as(ReadBody, await read_json(request)), _service(request)
    options = msgspec.structs.replace(service.default_options(), model=body.model)
    if body.system:
        options = msgspec.structs.replace(options, instructions=body.system)
    return Told(_lines(service.caches.read(body.model, single_request(body.prompt, options), body.name, replace=body.replace)))


async def _lines(steps: AsyncGenerator[Event | PromptRead, None]) -> AsyncGenerator[dict[str, Any], None]:
    async with aclosing(steps):
        async for step in steps:
            if (line := line_of(step)) is not None:
                yield line


def line_of(step: Event | PromptRead) -> dict[str, Any] | None:
    """One step in words of its own; None where there is nothing to tell of it."""
    match step:
        case Queued(position=position):
            return {"step": "waiting", "position": position}
        case Loading(stage=stage, fraction=fraction):
            return {"step": "loading", "stage": stage, "fraction": fraction}
        case Prefill(done=done, total=total):
            return {"step": "reading", "done": done, "total": total}
        case PromptRead():
            told: dict[str, Any] = msgspec.to_builtins(step)
            saved: dict[str, Any] = told.pop("saved")
            return {"step": "done", **saved, **told, "tokens_per_second": step.tokens_per_second}
        case _:
            return None


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service
