"""/files/caches: what a model keeps of what it read, as a file to download and as one to take in again. Bodies pass through the disk.

Knows nothing of what is in such a file.
"""

import asyncio
import os
import re
import shutil
from pathlib import Path
from typing import BinaryIO

from fastapi import APIRouter
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from mlx_harmony.api.errors import HttpRefusal
from mlx_harmony.api.files_route import BODY_TYPE, check_type
from mlx_harmony.api.passing import Passing
from mlx_harmony.errors import StorageError
from mlx_harmony.service import Service

SUFFIX = ".kvcache"
AT_ONCE = 4 * 1024 * 1024

router = APIRouter(redirect_slashes=False)


@router.post("/save", include_in_schema=False)
async def save(request: Request, model: str, entry: str) -> Response:
    """Write an entry, with all that it goes on from, into a file that then can be fetched once: its id, name, tokens and bytes."""
    service: Service = request.app.state.service
    passing: Passing = request.app.state.passing
    path = await asyncio.to_thread(passing.place)
    saved = await service.caches.save(model, entry, path)
    name = file_name(model, saved.tokens)
    file_id = passing.offer(path, name)
    asyncio.get_running_loop().call_later(passing.patience_s, passing.forget, file_id)
    return JSONResponse({"id": file_id, "name": name, "tokens": saved.tokens, "bytes": saved.bytes})


@router.get("/saved/{file_id}", include_in_schema=False)
async def fetch(request: Request, file_id: str) -> Response:
    """A file that was saved; it is gone once it was fetched whole."""
    passing: Passing = request.app.state.passing
    found = passing.take(file_id)
    if found is None:
        raise HttpRefusal(404, "That file is no longer here.", hint="Save the entry again.")
    done = BackgroundTask(found.path.unlink, missing_ok=True)
    return FileResponse(found.path, filename=found.name, media_type=BODY_TYPE, background=done, headers={"cache-control": "no-store"})


@router.post("/load", include_in_schema=False)
async def load(request: Request, model: str) -> Response:
    """Take in a file that was saved, the body itself, for that model. What cannot be used is refused with the reason."""
    check_type(request)
    service: Service = request.app.state.service
    passing: Passing = request.app.state.passing
    path = await asyncio.to_thread(passing.place)
    try:
        await _receive(request, path)
        state = await service.caches.load(model, path)
    finally:
        path.unlink(missing_ok=True)
    return JSONResponse({"entries": len(state.entries)})


async def _receive(request: Request, path: Path) -> None:
    """The body into the file, a piece at a time. Raises StorageError where the disk has no room for it."""
    length = request.headers.get("content-length", "")
    try:
        if length.isdigit() and int(length) > shutil.disk_usage(path.parent).free:
            raise StorageError("The disk has no room for this file.", hint="Free some space on the disk of the app's home.")
        with await asyncio.to_thread(_opened, path) as file:
            waiting = bytearray()
            async for piece in request.stream():
                waiting += piece
                if len(waiting) >= AT_ONCE:
                    await asyncio.to_thread(file.write, bytes(waiting))
                    waiting.clear()
            await asyncio.to_thread(file.write, waiting)
    except OSError as error:
        hint = "Free some space on the disk of the app's home."
        raise StorageError(f"The file could not be taken in: {error.strerror}.", hint=hint) from error


def file_name(model: str, tokens: int) -> str:
    """What a saved cache is called on the person's disk: whose it is and how much it spares."""
    plain = re.sub(r"[^\w.-]+", "-", model.rsplit("/", 1)[-1]).strip("-.")[:60] or "model"
    return f"{plain}-{tokens}-tokens{SUFFIX}"


def _opened(path: Path) -> BinaryIO:
    """A new file that only this user reads."""
    return open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600))
