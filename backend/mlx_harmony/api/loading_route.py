"""POST /v1/models/load, unload, pin and use, and GET /v1/models/{id}/forecast: which models are in memory, and what one would need of it.

Knows neither how room is made nor what is forecast. Whoever hangs up while a model loads gives the load up.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from mlx_harmony.api.answers import unless_gone
from mlx_harmony.api.body import read_json
from mlx_harmony.api.chat_request import body_as
from mlx_harmony.api.errors import error_response
from mlx_harmony.api.schemas import LoadBody, PinBody, UnloadBody, UseBody
from mlx_harmony.api.telling import Told
from mlx_harmony.engine.protocols import ModelState
from mlx_harmony.errors import HarmonyError, InvalidRequest, LoadFailed
from mlx_harmony.routing.door import real
from mlx_harmony.service import Service

LONGEST_CONTEXT = 2**31 - 1
TOLD_EVERY_S = 0.2

router = APIRouter()


class WhileThere(Response):
    """An answer that takes a while; the work ends where the client hangs up."""

    def __init__(self, work: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        super().__init__()
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answer() -> None:
            try:
                response: Response = JSONResponse(await self._work())
            except HarmonyError as error:
                response = error_response(error)
            await response(scope, receive, send)

        await unless_gone(receive, answer())


@router.post("/models/load", include_in_schema=False)
async def load_model(request: Request) -> Response:
    """Load a model and answer once it is awake; with `force` also where the forecast says that it does not fit.

    With `stream` lines tell of it: `loading` with a fraction, at last `done` with how it stands, or `failed`.
    """
    body, service = body_as(LoadBody, await read_json(request)), _service(request)
    model_id = await _id(service, body.model)
    if body.stream:
        return Told(_steps(service, model_id, body.force))

    async def load() -> dict[str, Any]:
        await service.load(model_id, force=body.force)
        return _standing(service, model_id)

    return WhileThere(load)


@router.post("/models/unload", include_in_schema=False)
async def unload_model(request: Request) -> Response:
    """Take a model out of memory. One that is answering or loading is refused."""
    body, service = body_as(UnloadBody, await read_json(request)), _service(request)
    model_id = await _id(service, body.model)
    await service.unload(model_id)
    return JSONResponse(_standing(service, model_id))


@router.post("/models/pin", include_in_schema=False)
async def pin_model(request: Request) -> Response:
    """Keep a model in memory once it is loaded, or no longer; over restarts too."""
    body, service = body_as(PinBody, await read_json(request)), _service(request)
    model_id = await _id(service, body.model)
    await service.pin(model_id, body.pinned)
    return JSONResponse(_standing(service, model_id))


@router.post("/models/use", include_in_schema=False)
async def use_model(request: Request) -> Response:
    """Make a model the one that answers where none is named; over restarts too."""
    body, service = body_as(UseBody, await read_json(request)), _service(request)
    model_id = await _id(service, body.model)
    await service.change_settings(model=model_id)
    return JSONResponse(_standing(service, model_id) | {"default": True})


@router.get("/models/{model_id:path}/forecast", include_in_schema=False)
async def forecast(request: Request, model_id: str) -> Response:
    """What a model would need with its whole context, or with `context` tokens of it, and which others would go for it."""
    service = _service(request)
    context = _context(request.query_params.get("context"))
    entry = real(await run_in_threadpool(service.find_model, model_id))
    needs = None if entry.problem else await run_in_threadpool(service.needs_of, entry, None, context)
    if needs is None:
        why = entry.problem or "Its files do not tell what it is made of."
        raise LoadFailed(f"What {entry.id} needs is not known. {why}", hint="Repair its folder, or download it again.", param="model")
    going: tuple[str, ...] = ()
    refusal = ""
    try:
        plan = await service.room_for(entry)
        going, refusal = plan.going, f"It waits for {', '.join(plan.waits_for)}." if plan.waits_for else ""
    except HarmonyError as error:
        refusal = f"{error.message} {error.hint}"
    told = {"id": entry.id, **msgspec.to_builtins(needs), "total": needs.forecast.total, "would_unload": going, "refusal": refusal}
    return JSONResponse(told)


async def _steps(service: Service, model_id: str, force: bool) -> AsyncGenerator[dict[str, Any], None]:
    """How far a load is, from time to time. A refusal that comes at once comes before any line."""
    load = asyncio.ensure_future(service.load(model_id, force=force))
    try:
        while not (await asyncio.wait([load], timeout=TOLD_EVERY_S))[0]:
            yield {"step": "loading", "fraction": _state(service, model_id).fraction}
        load.result()
        yield {"step": "done", **_standing(service, model_id)}
    finally:
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def _id(service: Service, model: str) -> str:
    """The id of a model that is on this machine. Raises ModelNotFound."""
    return (await run_in_threadpool(service.find_model, model)).id


def _context(given: str | None) -> int | None:
    """The number of tokens that was asked for. Raises InvalidRequest."""
    if given is None:
        return None
    if not given.isascii() or not given.isdigit() or len(given) > 10 or not 0 < int(given) <= LONGEST_CONTEXT:
        raise InvalidRequest(f"context must be a whole number from 1 to {LONGEST_CONTEXT}.", param="context")
    return int(given)


def _standing(service: Service, model_id: str) -> dict[str, Any]:
    """How a model stands in this program. `unloads_at` in seconds since the epoch, null where no idle time runs."""
    state = _state(service, model_id)
    return {
        "id": model_id,
        "phase": state.phase,
        "pinned": model_id in service.settings.pinned_models,
        "memory_bytes": state.memory_bytes,
        "unloads_at": state.unloads_at,
        "context_length": state.card.context_length if state.card else None,
        "notes": state.card.notes if state.card else (),
    }


def _state(service: Service, model_id: str) -> ModelState:
    return next((state for state in service.model_states() if state.id == model_id), ModelState(id=model_id, phase="asleep"))
