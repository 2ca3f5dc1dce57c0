"""The outermost ASGI layer over page, API and WebSockets: asks the policy, limits and times the body.

What is behind it, it does not know.
"""

import asyncio
from html import escape

from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlx_harmony.api.errors import http_envelope
from mlx_harmony.api.headers import SecuredSend
from mlx_harmony.api.policy import Head, Policy, Refusal

DROPPED = frozenset({b"forwarded", b"x-gradio-server", b"x-original-url", b"x-rewrite-url", b"accept-encoding"})
"""Headers by which a proxy speaks for a client, besides `x-forwarded-*`: there is no proxy, so nobody may set them.

`accept-encoding` too: HTML must come uncompressed to have its scripts hashed, and on one machine compression saves nothing.
"""

FOLLOWED_A_LINK = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>MLX Harmony</title><p>{message}</p><p><a href="/">Open MLX Harmony</a></p></html>"""
"""For a person who followed a link on another site: from this page the same link is one of our own."""


class Gate:
    """Wraps an ASGI app. HTTP and WebSocket connections pass when the policy lets them; anything else but the lifespan does not."""

    def __init__(self, app: ASGIApp, policy: Policy, page_head: str = "") -> None:
        self._app = app
        self._policy = policy
        self._page_head = page_head

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._policy.refusal(head_of(scope))
        secured = SecuredSend(send, scope["path"], self._page_head)
        if scope["type"] == "websocket":
            await self._websocket(refusal, scope, receive, send)
        elif refusal is not None:
            await refuse(refusal, scope, receive, secured)
        else:
            await Passage(self._policy, scope, receive, secured).through(self._app)

    async def _websocket(self, refusal: Refusal | None, scope: Scope, receive: Receive, send: Send) -> None:
        if refusal is None:
            await self._app(trusted(scope), receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": refusal.message[:100]})


class Passage:
    """One HTTP request on its way through: counts and times its body until all of it is in, then stays out of the way."""

    def __init__(self, policy: Policy, scope: Scope, receive: Receive, send: Send) -> None:
        self._policy = policy
        self._scope = scope
        self._receive = receive
        self._send = send
        self._most = policy.most_bytes(scope["path"])
        self._left = self._most
        self._ends_at = asyncio.get_running_loop().time() + policy.limit_s(scope["path"])
        self._complete = False
        self._answered = False
        self._refused = False

    async def through(self, app: ASGIApp) -> None:
        length = head_of(self._scope).first(b"content-length")
        if length and (not length.isdigit() or int(length[:20]) > self._left):
            await self._refuse(too_large(self._most))
            return
        try:
            await app(trusted(self._scope), self.receive, self.send)
        except ClientDisconnect:
            # Hung up, or was refused, before all of the body was in: there is nobody to tell.
            return

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()
        try:
            pause_s = min(self._policy.body_pause_s, self._ends_at - asyncio.get_running_loop().time())
            message = await asyncio.wait_for(self._receive(), pause_s)
        except TimeoutError:
            return await self._refuse(Refusal(408, "The request's body took too long to arrive."))
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            return await self._refuse(too_large(self._most))
        self._complete = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if not self._refused:
            self._answered = True
            await self._send(message)

    async def _refuse(self, refusal: Refusal) -> Message:
        """Answer in the app's place; the app is told that the client is gone, and what it then says is not sent."""
        self._refused = True
        if not self._answered:
            await refuse(refusal, self._scope, self._receive, self._send)
        return {"type": "http.disconnect"}


def head_of(scope: Scope) -> Head:
    """What the policy looks at. The port and address are the socket's own, never the client's word."""
    address, port = scope.get("server") or ("", 0)
    scheme = scope["scheme"].replace("ws", "http")
    return Head(scheme, scope.get("method", "GET"), scope["path"], port or 0, address, scope["headers"])


def trusted(scope: Scope) -> Scope:
    """The scope without the headers that must not reach the app."""
    kept = [(key, value) for key, value in scope["headers"] if key not in DROPPED and not key.startswith(b"x-forwarded-")]
    return {**scope, "headers": kept}


async def refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Send the refusal in OpenAI's envelope. The connection ends with it: what is left of the body is not read."""
    headers = {"connection": "close", "cache-control": "no-store"}
    if refusal.challenge:
        headers["www-authenticate"] = refusal.challenge
    response: Response = JSONResponse(http_envelope(refusal.status, refusal.message), status_code=refusal.status, headers=headers)
    if refusal.status == 403 and head_of(scope).first(b"sec-fetch-dest") == b"document":
        response = HTMLResponse(FOLLOWED_A_LINK.format(message=escape(refusal.message)), status_code=403, headers=headers)
    await response(scope, receive, send)


def too_large(most_bytes: int) -> Refusal:
    return Refusal(413, f"The request's body is larger than {most_bytes // 2**20} MB.")
