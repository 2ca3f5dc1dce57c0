"""Requests to the hub: what is sent, how redirects are followed, how much of an answer is read. Knows nothing of models.

Nothing is sent but what the request needs: our name, and the person's token to the hub itself. A redirect stays with the hub or leads over
https to a public address, and the token does not go with it.
"""

import asyncio
import ipaddress
import json
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from importlib.metadata import version
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from mlx_harmony.errors import HarmonyError, SettingsError, Unavailable
from mlx_harmony.models.hub.refusals import Asked, refusal, unreachable
from mlx_harmony.records import Record

if TYPE_CHECKING:
    import httpx

MOST_REDIRECTS = 5
LARGEST_ANSWER_BYTES = 32 * 1024 * 1024
REDIRECTS = (301, 302, 303, 307, 308)
PASSING = (408, 425, 429, 500, 502, 503, 504)
"""What a later try may not meet again."""


class Patience(Record):
    """How long to wait for a connection and for the next bytes, and how often and after how long to try again without any coming."""

    connect_s: float = 15.0
    silence_s: float = 30.0
    attempts: int = 6
    first_pause_s: float = 1.0


class Dropped(Exception):
    """The same request may succeed later, `wait_s` from now at the earliest: no connection, a broken one, or a hub that is out of order.

    `error` is what to tell a person who does not want to wait.
    """

    def __init__(self, error: HarmonyError, wait_s: float = 0.0) -> None:
        super().__init__(error.message)
        self.error = error
        self.wait_s = wait_s


class Web:
    """Connections to one hub; use it with `async with`. `transport` is what carries them, None for the network."""

    def __init__(self, endpoint: str, token: str, patience: Patience, transport: "httpx.AsyncBaseTransport | None" = None) -> None:
        self._endpoint = endpoint
        self._token = token
        self._patience = patience
        self._transport = transport
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> "Web":
        import httpx

        patience = self._patience
        timeout = httpx.Timeout(patience.silence_s, connect=patience.connect_s)
        headers = {"user-agent": f"mlx-harmony/{version('mlx-harmony')}", "accept-encoding": "identity"}
        try:
            trusted = await asyncio.to_thread(_trusted)
            self._client = httpx.AsyncClient(
                headers=headers, timeout=timeout, follow_redirects=False, verify=trusted, transport=self._transport
            )
        except (ImportError, ValueError, OSError) as error:
            hint = "Look at HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE."
            raise SettingsError(f"No connection can be made as the environment asks for it: {error}", hint=hint) from error
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._client is not None
        await self._client.aclose()

    async def json(self, path: str, asked: Asked, params: Mapping[str, Any] | None = None) -> Any:
        """The JSON at a path of the hub. Raises the errors of `refusals`."""
        try:
            return json.loads(await self.read(path, asked, params))
        except (ValueError, RecursionError) as error:
            raise Unavailable("The hub's answer cannot be read.", hint="Try again later; if HF_ENDPOINT is set, check it.") from error

    async def read(self, path: str, asked: Asked, params: Mapping[str, Any] | None = None) -> bytes:
        """The bytes at a path of the hub, up to 32 MB. Raises the errors of `refusals`."""
        found = bytearray()
        try:
            async with self.open(path, asked, params=params) as response:
                async for piece in response.aiter_bytes():
                    found += piece
                    if len(found) > LARGEST_ANSWER_BYTES:
                        raise Unavailable("The hub's answer is too large to be read.", hint="Choose another model.")
        except Dropped as error:
            raise error.error from error
        return bytes(found)

    @asynccontextmanager
    async def open(
        self, path: str, asked: Asked, headers: Mapping[str, str] | None = None, params: Mapping[str, Any] | None = None
    ) -> AsyncIterator["httpx.Response"]:
        """A successful answer whose body is still to be read. Raises Dropped and the errors of `refusals`."""
        import httpx

        assert self._client is not None
        url = httpx.URL(self._endpoint + path, params=params)
        try:
            for _ in range(MOST_REDIRECTS + 1):
                async with self._client.stream("GET", url, headers=self._headers(url, headers)) as response:
                    if response.status_code not in REDIRECTS:
                        if not response.is_success:
                            raise _failure(response, asked)
                        yield response
                        return
                    url = url.join(response.headers.get("location", ""))
                    await self._check(url)
            raise refusal(508, {}, asked)
        except httpx.InvalidURL as error:
            raise _astray("an address that is none") from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise Dropped(unreachable(_reason(error))) from error

    def _headers(self, url: "httpx.URL", headers: Mapping[str, str] | None) -> dict[str, str]:
        own = _origin(str(url)) == _origin(self._endpoint)
        return {**(headers or {}), **({"authorization": f"Bearer {self._token}"} if self._token and own else {})}

    async def _check(self, url: "httpx.URL") -> None:
        """Whether a redirect may be followed. Raises HarmonyError."""
        if _origin(str(url)) == _origin(self._endpoint):
            return
        if url.scheme != "https" or not url.host or url.userinfo:
            raise _astray("an address without https")
        if not all(ipaddress.ip_address(address.partition("%")[0]).is_global for address in await _addresses(url)):
            raise _astray("an address of a private network")


@lru_cache(maxsize=1)
def _trusted() -> ssl.SSLContext:
    """Whose certificates are trusted: those that come with httpx, or SSL_CERT_FILE's. Read once, for that takes a while."""
    import httpx

    return httpx.create_ssl_context()


def _failure(response: "httpx.Response", asked: Asked) -> Exception:
    error = refusal(response.status_code, response.headers, asked)
    if response.status_code not in PASSING:
        return error
    wait = response.headers.get("retry-after", "")
    return Dropped(error, float(wait) if wait.isascii() and wait.isdigit() and len(wait) < 6 else 0.0)


async def _addresses(url: "httpx.URL") -> list[str]:
    """Where a URL leads; not known from here where a proxy resolves its name. Raises Dropped."""
    through_proxy = {"https", "all"} & getproxies().keys() and not proxy_bypass(url.host)
    flags = socket.AI_NUMERICHOST if through_proxy else 0
    try:
        found = await asyncio.get_running_loop().getaddrinfo(url.host, url.port or 443, type=socket.SOCK_STREAM, flags=flags)
    except OSError as error:
        if through_proxy:
            return []
        raise Dropped(unreachable(f"the name {url.host} is not known")) from error
    return [str(row[4][0]) for row in found]


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _astray(where: str) -> HarmonyError:
    return Unavailable(f"The hub sent this download to {where}, so it was stopped.", hint="Check HF_ENDPOINT, or try again later.")


def _reason(error: "httpx.RequestError") -> str:
    import httpx

    match error:
        case httpx.ConnectTimeout() | httpx.ConnectError():
            return "no connection"
        case httpx.TimeoutException():
            return "it said nothing for too long"
        case httpx.ProxyError():
            return "the proxy refused"
    return "the connection broke"
