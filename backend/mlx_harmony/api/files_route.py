"""/files/chats and /files/attachments: the files that the page takes in and gives out. Knows nothing of what is in them."""

import re
from urllib.parse import quote

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mlx_harmony.api.errors import HttpRefusal
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.service import Service

BODY_TYPE = "application/octet-stream"

router = APIRouter(redirect_slashes=False)


@router.post("/chats", include_in_schema=False)
async def import_chats(request: Request) -> Response:
    """The chats of a conversation file beside those that are here: the ids of the new ones, and what was mended or left out."""
    service: Service = request.app.state.service
    report = await service.import_chats(await _read(request))
    return JSONResponse(msgspec.to_builtins(report))


@router.get("/chats", include_in_schema=False)
async def export_chats(request: Request, chat: str = "", kind: str = "json") -> Response:
    """One chat, as JSON or Markdown, or with none named all of them as JSON; the file's name says which."""
    service: Service = request.app.state.service
    name = file_name((await service.read_chat(chat)).summary.title) if chat else "chats"
    if kind == "markdown" and chat:
        return _given(f"{name}.md", "text/markdown", (await service.export_markdown(chat)).encode())
    if kind != "json":
        raise InvalidRequest("kind must be json, or markdown for one chat.", param="kind")
    return _given(f"{name}.json", "application/json", await service.export_json(chat or None))


@router.post("/attachments", include_in_schema=False)
async def attach(request: Request, name: str = "", pasted: bool = False) -> Response:
    """A text that waits for the message it will come with; `name` is the file's own. Answers its id."""
    service: Service = request.app.state.service
    attachment = await service.attach(name, await _read(request), pasted=pasted)
    return JSONResponse({"id": attachment.id, "name": attachment.name})


async def _read(request: Request) -> bytes:
    """The body; how large it may be is the gate's to say. Raises HttpRefusal (415) for one that is not sent as a file."""
    check_type(request)
    return await request.body()


def check_type(request: Request) -> None:
    """Raises HttpRefusal (415) for a body that is not sent as a file."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != BODY_TYPE:
        raise HttpRefusal(415, "The body must be the file itself.", hint=f"Send the header Content-Type: {BODY_TYPE}.")


def _given(name: str, media_type: str, data: bytes) -> Response:
    """A file for the browser to keep."""
    headers = {"content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}", "cache-control": "no-store"}
    return Response(data, media_type=media_type, headers=headers)


def file_name(title: str) -> str:
    """A title as the name of a file on any system."""
    return re.sub(r"[^\w-]+", "-", title).strip("-_")[:60] or "chat"
