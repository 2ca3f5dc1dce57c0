"""GET /v1/models, /v1/models/{id} and /v1/health: what can be asked for here and what of it is loaded. Folders are scanned in a thread."""

from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mlx_harmony.cache_records import CacheState
from mlx_harmony.engine.protocols import ModelState
from mlx_harmony.errors import InvalidRequest, SettingsError
from mlx_harmony.models.filtering import Filter, matching
from mlx_harmony.models.info import ModelInfo, row_of
from mlx_harmony.routing.listing import alias_object, profile_info, profile_object
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
    """Every model, or those that the query names as a Filter has it; OpenAI's fields first, ours after."""
    service: Service = request.app.state.service
    wanted = _filter(request)
    infos = await service.infos(wanted)
    models = await run_in_threadpool(_objects, service, infos)
    named = await run_in_threadpool(lambda: [*_aliases(service, wanted), *_profiles(service, wanted)])
    return JSONResponse({"object": "list", "data": [*models, *named]})


@router.get("/models/{model_id:path}", include_in_schema=False)
async def read_model(request: Request, model_id: str) -> Response:
    """One model, a profile, or an alias with the latest ways that requests to it went; its id may hold slashes."""
    service: Service = request.app.state.service
    if profile := await run_in_threadpool(_profiles, service, Filter(), model_id):
        return JSONResponse(profile[0])
    entry = await run_in_threadpool(service.find_model, model_id)
    if entry.source == "alias":
        (alias,) = await run_in_threadpool(_aliases, service, Filter(), entry.id)
        return JSONResponse(alias | {"routes": [route._asdict() for route in service.routing.routes(entry.id)]})
    infos = tuple(info for info in await service.infos() if info.entry.id == entry.id)
    (found,) = await run_in_threadpool(_objects, service, infos or (ModelInfo(entry=entry),))
    return JSONResponse(found)


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


def _filter(request: Request) -> Filter:
    """What the query asks for. Raises InvalidRequest for a value that is none."""
    asked = {name: value for name in Filter.__struct_fields__ if (value := request.query_params.get(name)) is not None}
    try:
        return msgspec.convert(asked, Filter, strict=False)
    except msgspec.ValidationError as error:
        hint = f"Known: {', '.join(Filter.__struct_fields__)}."
        raise InvalidRequest(f"The models cannot be filtered so: {error}.", hint=hint) from error


def _objects(service: Service, infos: tuple[ModelInfo, ...]) -> list[dict[str, Any]]:
    states = {state.id: state for state in service.model_states()}
    return [model_object(row_of(info, service.needs_of), states.get(info.entry.id)) for info in infos]


def _aliases(service: Service, wanted: Filter, name: str = "") -> list[dict[str, Any]]:
    """The aliases that are meant, or the one of that name, as models of OpenAI's; none where their file cannot be read."""
    try:
        rows = {row.entry.id: row for row in service.routing.rows() if name in ("", row.entry.id)}
    except SettingsError:
        return []
    found = matching((ModelInfo(entry=row.entry) for row in rows.values()), wanted)
    return [model_object(alias_object(rows[info.entry.id]), None) for info in found]


def _profiles(service: Service, wanted: Filter, name: str = "") -> list[dict[str, Any]]:
    """The profiles that are meant, or the one of that name, as models of OpenAI's."""
    rows = {row.name: row for row in service.routing.profile_rows() if name in ("", row.name)}
    found = matching(map(profile_info, rows.values()), wanted)
    return [model_object(profile_object(rows[info.entry.id]), None) for info in found]


def model_object(row: dict[str, Any], state: ModelState | None) -> dict[str, Any]:
    """A model of /v1/models: what `mlx-harmony models --json` says of it, and how it stands in this program.

    A loaded model's own word for its format and context counts before what its files promise.
    """
    card = state.card if state is not None else None
    openai = {"object": "model", "created": int(row["modified_at"]), "owned_by": "mlx-harmony" if row["source"] == "bundled" else "local"}
    own = {"format": card.format, "context_length": card.context_length} if card else {}
    return {"id": row["id"], **openai, **row, **own, "loaded": state is not None and state.phase in LOADED}


def _figures(state: CacheState) -> dict[str, float]:
    return {name: getattr(state, name) for name in CACHE_FIGURES}
