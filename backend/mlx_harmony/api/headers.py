"""The security headers of every answer, and the page's content security policy, which knows its inline scripts by their hash.

Only HTML is held back until it is whole, for its scripts are hashed; everything else passes as it is sent.
"""

import base64
import hashlib
import re
from collections.abc import Iterable

from starlette.types import Message, Send

API_CSP = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

PAGE_RULES = (
    "default-src 'self'",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "media-src 'self' data: blob:",
    "font-src 'self' data:",
    "connect-src 'self'",
    "worker-src 'self' blob:",
    "frame-src 'none'",
    "object-src 'none'",
    "base-uri 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
)

SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), usb=(), payment=()"),
)

INLINE_SCRIPT = re.compile(rb"<script\b(?![^>]*\ssrc\s*=)[^>]*>(.*?)</script\s*>", re.DOTALL | re.IGNORECASE)


def page_csp(scripts: Iterable[bytes]) -> str:
    """The page's policy: its own origin only, and of inline scripts only these. An `onerror=` or a script that slipped in never runs.

    'unsafe-eval' stays: Gradio compiles the templates and handlers of its HTML components in the browser.
    """
    hashes = sorted({base64.b64encode(hashlib.sha256(script).digest()).decode() for script in scripts})
    allowed = " ".join(["script-src 'self' 'unsafe-eval'", *(f"'sha256-{each}'" for each in hashes)])
    return "; ".join([PAGE_RULES[0], allowed, *PAGE_RULES[1:]])


def inline_scripts(html: bytes) -> list[bytes]:
    """The text of every script that stands in the document itself."""
    return INLINE_SCRIPT.findall(html)


class SecuredSend:
    """`send` that adds the security headers, replacing any of the same name that the app set.

    `head` is HTML that the page's own code adds to the document later; its scripts may run too.
    """

    def __init__(self, send: Send, path: str, head: str = "") -> None:
        self._send = send
        self._api = path == "/health" or path.startswith(("/v1/", "/files/"))
        self._head = head
        self._held: Message | None = None
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._start(message)
        elif self._held is not None and message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                scripts = [*inline_scripts(bytes(self._body)), *inline_scripts(self._head.encode())]
                await self._send(secured(self._held, page_csp(scripts)))
                await self._send({**message, "body": bytes(self._body)})
        else:
            await self._send(message)

    async def _start(self, message: Message) -> None:
        kind = dict(message.get("headers", [])).get(b"content-type", b"")
        if kind.startswith(b"text/html") and not self._api:
            self._held = message
        else:
            await self._send(secured(message, API_CSP if self._api else page_csp([])))


def secured(start: Message, csp: str) -> Message:
    """The start of an answer with our headers in place of the app's."""
    ours = [*SECURITY_HEADERS, (b"content-security-policy", csp.encode())]
    names = {key for key, _ in ours}
    return {**start, "headers": [*((key, value) for key, value in start.get("headers", []) if key.lower() not in names), *ours]}
