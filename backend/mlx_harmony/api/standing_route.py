"""GET and POST /v1/caches: what models keep of what they read, and what came of it; looked at, pinned, dropped and cleared by programs.

Knows nothing of how it is kept; files of it go by `caches_route`.
"""

from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mlx_harmony.api.body import read_json
from mlx_harmony.api.chat_request import body_as
from mlx_harmony.api.schemas import CacheBody
from mlx_harmony.cache_records import CacheStanding
from mlx_harmony.service import Service

router = APIRouter()


@router.get("/caches", include_in_schema=False)
async def read_caches(request: Request) -> Response:
    """Every model that is loaded or keeps something on disk, with all that is known of its cache."""
    service: Service = request.app.state.service
    return JSONResponse({"object": "list", "data": [_object(each) for each in await service.caches.standing()]})


@router.post("/caches", include_in_schema=False)
async def change_cache(request: Request) -> Response:
    """Pin, unpin or drop an entry, or clear all of a model's, in memory and on disk; the model's entries as they are then."""
    body, service = body_as(CacheBody, await read_json(request)), request.app.state.service
    state = await service.caches.act(body.model, body.action, body.entry)
    return JSONResponse({"model": body.model, "entries": msgspec.to_builtins(state.entries)})


def _object(standing: CacheStanding) -> dict[str, Any]:
    keeper = standing.keeper
    told: dict[str, Any] = msgspec.to_builtins(standing.state)
    return {"model": keeper.model, "folder": keeper.folder, "loaded": keeper.awake, "hit_rate": standing.state.hit_rate} | told
