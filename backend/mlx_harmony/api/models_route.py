"""GET /v1/models, /v1/models/{id} and /v1/health: what is on this machine and what of it is loaded. Folders are scanned in a thread."""

from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mlx_harmony.cache_records import CacheState
from mlx_harmony.engine.protocols import ModelState
from mlx_harmony.records import ModelEntry
from mlx_harmony.service import Service

router = APIRouter()

LOADED = ("awake", "busy")
CACHE_WITHIN_S = 0.05
CACHE_FIGURES = (
    "requests",
    "hits",
    "tokens_asked",
    "tokens_reused",
    "tokens_from_disk",
    "seconds_saved",
    "evictions",
    "memory_bytes",
    "memory_budget",
    "disk_bytes",
    "disk_budget",
)


@router.get("/models", include_in_schema=False)
async def list_models(request: Request) -> Response:
    """Every model, OpenAI's fields first, ours after."""
    service: Service = request.app.state.service
    states = {state.id: state for state in service.model_states()}
    entries = await run_in_threadpool(service.models)
    return JSONResponse({"object": "list", "data": [model_object(entry, states.get(entry.id)) for entry in entries]})


@router.get("/models/{model_id:path}", include_in_schema=False)
async def read_model(request: Request, model_id: str) -> Response:
    """One model; its id may hold slashes."""
    service: Service = request.app.state.service
    entry = await run_in_threadpool(service.find_model, model_id)
    states = {state.id: state for state in service.model_states()}
    return JSONResponse(model_object(entry, states.get(entry.id)))


@router.get("/health", include_in_schema=False)
async def read_health(request: Request) -> Response:
    """Which model is loaded, as releases 0.2 to 0.4 told it; and the figures of each loaded model's prompt cache."""
    service: Service = request.app.state.service
    loaded = [state for state in service.model_states() if state.phase in LOADED]
    first = loaded[0] if loaded else None
    paths = {entry.id: entry.path for entry in await run_in_threadpool(service.models)} if first else {}
    told = {
        "model_loaded": first is not None,
        "model_path": paths.get(first.id) if first else None,
        "prompt_config_path": service.prompt_config_path,
        "loaded_at_unix": first.loaded_at if first else None,
        "cache": {model: _figures(cache) for model, cache in (await service.caches.awake(CACHE_WITHIN_S)).items()},
    }
    return JSONResponse(told)


def model_object(entry: ModelEntry, state: ModelState | None) -> dict[str, Any]:
    """A row of /v1/models. `context_length` in tokens, `bytes` on disk; `problem` says why a model cannot be used."""
    loaded = state is not None and state.phase in LOADED
    card = state.card if state is not None else None
    return {
        "id": entry.id,
        "object": "model",
        "created": int(entry.modified_at),
        "owned_by": "mlx-harmony" if entry.source == "bundled" else "local",
        "format": card.format if card else entry.format,
        "architecture": entry.architecture,
        "context_length": card.context_length if card else entry.context_length,
        "bits": entry.bits,
        "bytes": entry.bytes,
        "loaded": loaded,
        "problem": entry.problem,
    }


def _figures(state: CacheState) -> dict[str, float]:
    return {name: getattr(state, name) for name in CACHE_FIGURES}
