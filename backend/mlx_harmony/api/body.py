"""Reading a JSON body strictly: what comes out holds no NaN, no infinity, no half surrogate and no bottomless nesting.

Knows nothing of what the body means.
"""

from typing import Any

import msgspec
from starlette.requests import Request

from mlx_harmony.api.errors import HttpRefusal
from mlx_harmony.errors import InvalidRequest

MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 64


async def read_json(request: Request) -> dict[str, Any]:
    """The body as an object; raises HttpRefusal (413, 415) or InvalidRequest."""
    _check_type(request)
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise HttpRefusal(413, f"The request body is larger than {MAX_BODY_BYTES // 2**20} MB.", hint="Send less at once.")
    return parse(bytes(raw))


def parse(raw: bytes) -> dict[str, Any]:
    """Bytes to an object, or InvalidRequest saying where they stop being one."""
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # msgspec reports half a surrogate pair as truncated input and NaN as an invalid character: both are simply not JSON.
        raise InvalidRequest(f"The body is not valid JSON: {error}.", hint="Send one JSON object in UTF-8.") from None
    except RecursionError:
        raise _too_deep() from None
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    _check_depth(body)
    return body


def _check_type(request: Request) -> None:
    kind, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    if kind.strip() != "application/json":
        raise HttpRefusal(415, "The body must be JSON.", hint="Send the header Content-Type: application/json.")
    charset = parameters.partition("charset=")[2].strip(' "')
    if charset not in ("", "utf-8", "utf8"):
        raise HttpRefusal(415, "The body must be in UTF-8.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HttpRefusal(415, "Compressed bodies are not read.", hint="Send the JSON as it is.")


def _check_depth(body: dict[str, Any]) -> None:
    # Level by level, not by recursion: the guard against deep nesting must not itself be deep.
    level: list[Any] = [body]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in (node.values() if isinstance(node, dict) else node) if isinstance(child, dict | list)]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> InvalidRequest:
    return InvalidRequest(f"The body is nested deeper than {MAX_DEPTH} levels.")
