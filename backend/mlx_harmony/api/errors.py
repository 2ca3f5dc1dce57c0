"""The table from the error tree to HTTP: status, OpenAI's error type and code. Knows nothing of routes or of what raised."""

from typing import Any, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from mlx_harmony.errors import HarmonyError, RequestError


class Answer(NamedTuple):
    """How one code of the tree is told over HTTP. `retry_after_s` 0: no Retry-After header."""

    status: int
    type: str
    code: str
    retry_after_s: int = 0


INVALID = "invalid_request_error"
SERVER = "server_error"

ANSWERS: dict[str, Answer] = {
    "internal": Answer(500, SERVER, "internal_error"),
    "request": Answer(400, INVALID, "invalid_request"),
    "invalid_request": Answer(400, INVALID, "invalid_request"),
    "context_too_long": Answer(400, INVALID, "context_length_exceeded"),
    "model_not_found": Answer(404, INVALID, "model_not_found"),
    "chat_not_found": Answer(404, INVALID, "chat_not_found"),
    "chat_changed": Answer(409, INVALID, "chat_changed"),
    "tool_not_found": Answer(400, INVALID, "tool_not_found"),
    "hub_refused": Answer(403, "permission_error", "hub_refused"),
    "unavailable": Answer(503, SERVER, "unavailable", 2),
    "queue_full": Answer(429, "rate_limit_error", "queue_full", 2),
    "model_loading": Answer(503, SERVER, "model_loading", 5),
    "engine_crashed": Answer(503, SERVER, "engine_crashed", 2),
    "shutting_down": Answer(503, SERVER, "shutting_down", 10),
    "model": Answer(500, SERVER, "model_error"),
    "load_failed": Answer(500, SERVER, "load_failed"),
    "unsupported_architecture": Answer(400, INVALID, "unsupported_architecture"),
    "adapter_mismatch": Answer(400, INVALID, "adapter_mismatch"),
    "out_of_memory": Answer(500, SERVER, "out_of_memory"),
    "generation_failed": Answer(500, SERVER, "generation_failed"),
    "storage": Answer(500, SERVER, "storage"),
    "conversion": Answer(500, SERVER, "conversion"),
    "tool": Answer(500, SERVER, "tool_error"),
    "tool_timeout": Answer(504, SERVER, "tool_timeout"),
    "tool_refused": Answer(403, "permission_error", "tool_refused"),
    "sandbox_unavailable": Answer(503, SERVER, "sandbox_unavailable"),
    "settings": Answer(500, SERVER, "settings"),
}
"""One row per code of `mlx_harmony.errors.ERRORS`; a test holds the two equal."""

HTTP_CODES: dict[int, tuple[str, str]] = {
    400: (INVALID, "invalid_request"),
    401: ("authentication_error", "invalid_api_key"),
    403: ("permission_error", "forbidden"),
    404: (INVALID, "unknown_url"),
    405: (INVALID, "method_not_allowed"),
    408: (INVALID, "request_timeout"),
    413: (INVALID, "request_too_large"),
    415: (INVALID, "unsupported_media_type"),
    421: ("permission_error", "host_not_allowed"),
    431: (INVALID, "headers_too_large"),
}
"""Errors below the tree, by status: what the gate and the router refuse."""


class HttpRefusal(RequestError):
    """A request refused before it reached the service, with a status of its own (415, 413)."""

    code = "request"

    def __init__(self, status: int, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


def envelope(message: str, *, type_: str, code: str, param: str | None = None) -> dict[str, Any]:
    """OpenAI's error object."""
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


def http_envelope(status: int, message: str) -> dict[str, Any]:
    """The envelope of a refusal that has a status and no class of the tree."""
    type_, code = HTTP_CODES.get(status, (SERVER if status >= 500 else INVALID, "http_error"))
    return envelope(message, type_=type_, code=code)


def error_envelope(error: HarmonyError) -> dict[str, Any]:
    """The envelope of an error of the tree; the hint follows the message, for OpenAI's shape has no place of its own for it."""
    text = f"{error.message} {error.hint}".strip()
    if isinstance(error, HttpRefusal):
        return http_envelope(error.status, text)
    answer = ANSWERS[error.code]
    return envelope(text, type_=answer.type, code=answer.code, param=error.param)


def error_response(error: HarmonyError) -> JSONResponse:
    """The whole answer for an error that came before the first byte."""
    answer = ANSWERS[error.code]
    headers = {"retry-after": str(answer.retry_after_s)} if answer.retry_after_s else None
    status = error.status if isinstance(error, HttpRefusal) else answer.status
    return JSONResponse(error_envelope(error), status_code=status, headers=headers)


async def on_harmony_error(request: Request, error: Exception) -> JSONResponse:
    """Handler for the tree, raised by a route before it answered."""
    assert isinstance(error, HarmonyError)
    return error_response(error)


async def on_http_exception(request: Request, error: Exception) -> JSONResponse:
    """Handler for what the router refuses: unknown addresses and methods."""
    assert isinstance(error, HTTPException)
    messages = {404: "There is nothing at this address.", 405: f"{request.method} is not possible at this address."}
    text = messages.get(error.status_code, str(error.detail))
    return JSONResponse(http_envelope(error.status_code, text), status_code=error.status_code, headers=error.headers)


async def on_unexpected(request: Request, error: Exception) -> JSONResponse:
    """Handler for a bug: the log holds the traceback, the client learns nothing of the inside."""
    return error_response(HarmonyError("Something went wrong inside MLX Harmony.", hint="The log has the details; try again."))
