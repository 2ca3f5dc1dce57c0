"""Who may come in: the pure decisions of the gate. A request's head goes in, nothing or a refusal comes out.

Knows nothing of ASGI's messages, of routes or of bodies. Everything that is not allowed here is refused.
"""

import base64
import binascii
import hashlib
import hmac
import re
import socket
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from mlx_harmony.errors import SettingsError
from mlx_harmony.records import Record
from mlx_harmony.settings import Settings, is_loopback

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SAME_SITE = frozenset({b"same-origin", b"none"})
MOST_DECODINGS = 8

FETCHES_ELSEWHERE = re.compile(r"/proxy=|/file[=/][\s/]*[a-z][a-z0-9+.-]*:")
"""Gradio addresses that make the server fetch another one: `/gradio_api/file=http://…` and `/proxy=…`."""

CLOSED = re.compile(
    r"^(/gradio_api)?/(vibe-|undo-vibe|monitoring|profiling|run-history|runs(/|$)|dev/|deep_link|mcp|process_recording|login|logout|token)"
)
"""Gradio addresses that the page has no use for."""


TO_DISK = frozenset({"/files/caches/load"})
"""Addresses whose bodies are never held in memory."""


class Refusal(NamedTuple):
    """Why a request is turned away. `challenge` goes into WWW-Authenticate."""

    status: int
    message: str
    challenge: str = ""


class Head(NamedTuple):
    """What the decisions need of a request. `headers` with lower-case names, as they came and as often as they came."""

    scheme: str
    method: str
    path: str
    port: int
    address: str
    headers: list[tuple[bytes, bytes]]

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]

    def first(self, name: bytes) -> bytes:
        return next(iter(self.all(name)), b"")


class Policy(Record):
    """What this server lets in. `names` are the Host names it answers to; `wildcard`: also to the address that was reached.

    A body has `most_body_bytes` and `body_limit_s`; what goes straight to the disk has `most_file_bytes` and `file_limit_s`.
    """

    names: frozenset[str]
    wildcard: bool = False
    key_hashes: tuple[str, ...] = ()
    most_body_bytes: int = 64 * 1024 * 1024
    most_file_bytes: int = 64 * 1024**3
    most_header_bytes: int = 32 * 1024
    most_headers: int = 100
    body_pause_s: float = 20.0
    body_limit_s: float = 300.0
    file_limit_s: float = 3600.0

    @classmethod
    def of(cls, settings: Settings) -> "Policy":
        """The policy for these settings. Raises SettingsError for an address that others can reach and no key to keep them out."""
        host = settings.host.strip("[]").lower()
        if not is_loopback(host) and not settings.api_key_hashes:
            raise SettingsError(
                f"Listening on {settings.host or 'every address'} lets other machines in, and no API key is set.",
                hint="Set MLX_HARMONY_API_KEY to a key of your own, or listen on 127.0.0.1.",
                param="host",
            )
        wildcard = host in ("", "0.0.0.0", "::")  # noqa: S104  (a comparison, not a bind)
        own = machine_names() if wildcard else {f"[{host}]" if ":" in host else host}
        return cls(names=LOOPBACK_NAMES | own, wildcard=wildcard, key_hashes=settings.api_key_hashes)

    def most_bytes(self, path: str) -> int:
        """How large a body may be that is sent to that address."""
        return self.most_file_bytes if path in TO_DISK else self.most_body_bytes

    def limit_s(self, path: str) -> float:
        """How long it may take to arrive."""
        return self.file_limit_s if path in TO_DISK else self.body_limit_s

    def refusal(self, head: Head) -> Refusal | None:
        """Why this request may not come in; None: it may."""
        if head.method not in METHODS:
            return Refusal(405, f"{head.method[:20]} is not possible here.")
        if len(head.headers) > self.most_headers or sum(len(key) + len(value) for key, value in head.headers) > self.most_header_bytes:
            return Refusal(431, "The request's headers are too large.")
        return self._host(head) or self._origin(head) or self._key(head) or _path(head)

    def _host(self, head: Head) -> Refusal | None:
        hosts = head.all(b"host")
        if len(hosts) == 1 and self._is_ours(hosts[0].decode("latin-1").lower(), head):
            return None
        return Refusal(421, "This server does not answer to that Host name. Open it by the address it printed when it started.")

    def _is_ours(self, netloc: str, head: Head) -> bool:
        names = self.names | {_bracketed(head.address)} if self.wildcard else self.names
        usual = 443 if head.scheme == "https" else 80
        return any(netloc == f"{name}:{head.port}" or (head.port == usual and netloc == name) for name in names)

    def _origin(self, head: Head) -> Refusal | None:
        origins = {value.decode("latin-1").lower() for value in head.all(b"origin")}
        sites = set(head.all(b"sec-fetch-site"))
        foreign = any(not self._is_our_origin(origin, head) for origin in origins)
        if not foreign and sites <= SAME_SITE:
            return None
        return Refusal(403, "Requests that come from other web sites are refused.")

    def _is_our_origin(self, origin: str, head: Head) -> bool:
        scheme, mark, netloc = origin.partition("://")
        return bool(mark) and scheme == head.scheme and self._is_ours(netloc, head)

    def _key(self, head: Head) -> Refusal | None:
        if not self.key_hashes or any(self._knows(key) for key in presented_keys(head)):
            return None
        challenge = 'Bearer realm="MLX Harmony"' if head.path.startswith("/v1/") else 'Basic realm="MLX Harmony", charset="UTF-8"'
        message = "A valid API key is needed: send it as Authorization: Bearer KEY or x-api-key: KEY; in a browser, as the password."
        return Refusal(401, message, challenge)

    def _knows(self, key: bytes) -> bool:
        # Every hash is compared, in constant time: how long it takes says nothing about which one was close.
        hashed = hashlib.sha256(key).hexdigest()
        matches = [hmac.compare_digest(hashed, known.lower()) for known in self.key_hashes]
        return True in matches


def presented_keys(head: Head) -> list[bytes]:
    """The keys a request shows: x-api-key, Bearer, and Basic's password, which is what a browser can send for a page."""
    keys = head.all(b"x-api-key")
    for value in head.all(b"authorization"):
        kind, _, credentials = value.partition(b" ")
        match kind.lower():
            case b"bearer":
                keys.append(credentials.strip())
            case b"basic":
                keys.append(_basic_password(credentials))
            case _:
                pass
    return [key for key in keys if key]


def machine_names() -> set[str]:
    """What this machine is called on its network."""
    name = socket.gethostname().lower()
    return {name, f"{name}.local"}


def plain_path(path: str) -> str | None:
    """The path with every layer of percent-encoding and every doubled slash taken off, lower case; None where that never ends."""
    for _ in range(MOST_DECODINGS):
        decoded = unquote_to_bytes(path).decode("utf-8", "replace")
        if decoded == path:
            slashes = re.sub(r"[/\\]+", "/", path)
            return "".join(each for each in slashes.lower() if each.isprintable())
        path = decoded
    return None


def _path(head: Head) -> Refusal | None:
    plain = plain_path(head.path)
    if plain is None or not head.path.startswith("/") or "/../" in f"{plain}/":
        return Refusal(400, "The address is malformed.")
    if FETCHES_ELSEWHERE.search(plain):
        return Refusal(403, "This server does not fetch other addresses.")
    if CLOSED.match(plain):
        return Refusal(404, "There is nothing at this address.")
    return None


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _basic_password(credentials: bytes) -> bytes:
    try:
        return base64.b64decode(credentials, validate=True).partition(b":")[2]
    except binascii.Error:
        return b""
