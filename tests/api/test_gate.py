"""The gate over a real server: limits, headers, and every route and mount with credential × origin × host."""

import asyncio
import hashlib
import itertools
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, WebSocket
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Message

from mlx_harmony.api.app import create_app
from mlx_harmony.api.gate import Gate
from mlx_harmony.api.policy import Policy
from mlx_harmony.errors import SettingsError
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from tests.api.serving import Options, Serving, raw, serving
from tests.fixtures.provider import ScriptedProvider

KEY = "sesame"
HASHES = (hashlib.sha256(KEY.encode()).hexdigest(),)
CHAT = b'{"messages": [{"role": "user", "content": "hi"}]}'


def with_guests(app: FastAPI, service: Service) -> FastAPI:
    """What a page does: mounts an app on `/`, after the routes, with HTTP and a WebSocket of its own."""
    guest = FastAPI(openapi_url=None)

    @guest.get("/")
    async def page(request: Request) -> JSONResponse:
        return JSONResponse(dict(request.headers.items()))

    @guest.post("/gradio_api/upload")
    async def upload(request: Request) -> JSONResponse:
        return JSONResponse(len(await request.body()))

    @guest.get("/breaks")
    async def breaks() -> None:
        raise RuntimeError("secret of the inside")

    @guest.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    app.mount("/", guest)
    return app


GUESTS = Options(build=with_guests)


def addresses(routes: list[BaseRoute], prefix: str = "") -> list[tuple[str, str]]:
    """Method and path of every route below these, mounts and included routers opened, parameters filled in."""
    found: list[tuple[str, str]] = []
    for route in routes:
        if isinstance(route, Mount):
            found += addresses(list(route.routes or ()), prefix + route.path)
        elif isinstance(route, Route):
            path = prefix + route.path.replace("{model_id:path}", "starter")
            found += [(method, path) for method in sorted(route.methods or {"GET"})]
        elif hasattr(route, "original_router"):
            found += addresses(list(route.original_router.routes), prefix)
    return found


async def test_every_route_and_mount_stands_behind_credential_origin_and_host(tmp_path: Path) -> None:
    apps: list[FastAPI] = []

    def build(app: FastAPI, service: Service) -> FastAPI:
        apps.append(with_guests(app, service))
        return apps[0]

    async with serving(tmp_path, Options(build=build, key_hashes=HASHES)) as server, httpx.AsyncClient(base_url=server.url) as client:
        walked = [*addresses(apps[0].routes), ("GET", "/nothing"), ("GET", "/gradio_api/nothing"), ("PUT", "/v1/nothing")]
        assert {"/health", "/v1/chat/completions", "/v1/models", "/v1/models/starter", "/v1/health", "/"} <= {path for _, path in walked}
        hosts = {f"127.0.0.1:{server.port}": True, f"localhost:{server.port}": True, "evil.example": False}
        origins = {None: True, server.url: True, "http://evil.example": False, "null": False}
        keys = {f"Bearer {KEY}": True, "Bearer wrong": False, None: False}
        for method, path in walked:
            for (host, host_ok), (origin, origin_ok), (key, key_ok) in itertools.product(hosts.items(), origins.items(), keys.items()):
                headers = {"host": host, "origin": origin, "authorization": key}
                answer = await client.request(method, path, headers={name: value for name, value in headers.items() if value})
                refused = answer.status_code in (401, 403, 421)
                assert refused == (not (host_ok and origin_ok and key_ok)), (method, path, headers, answer.status_code)


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_over_the_limit_is_413_and_the_next_request_works(tmp_path: Path, framing: str) -> None:
    async with serving(tmp_path, Options(build=with_guests, limits={"most_body_bytes": 1000})) as server:
        head = f"POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n".encode()
        if framing == "length":
            sent = head + b"Content-Length: 1001\r\n\r\n"
        else:
            sent = head + b"Transfer-Encoding: chunked\r\n\r\n" + (b"190\r\n" + b"a" * 400 + b"\r\n") * 3
        assert (await raw(server.port, sent)).startswith(b"HTTP/1.1 413 ")
        async with httpx.AsyncClient(base_url=server.url) as client:
            assert (await client.post("/gradio_api/upload", content=b"a" * 1000)).json() == 1000


async def test_a_body_over_the_api_s_own_limit_is_413(server: Serving) -> None:
    async with httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.post("/v1/chat/completions", content=b" " * (8 * 2**20 + 1), headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")


@pytest.mark.parametrize("length", [b"-1", b"abc", b"1e3", b"9" * 30])
async def test_a_nonsense_length_is_a_4xx(server: Serving, length: bytes) -> None:
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: ".encode()
    assert (await raw(server.port, head + length + b"\r\n\r\n"))[:10] in (b"HTTP/1.1 4", b"HTTP/1.0 4")


@pytest.mark.parametrize("limits", [{"body_pause_s": 0.2}, {"body_limit_s": 0.2}])
async def test_a_body_that_does_not_arrive_is_408(tmp_path: Path, limits: dict[str, float]) -> None:
    async with serving(tmp_path, Options(build=with_guests, limits=limits)) as server:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\n"
        answer = await raw(server.port, head.encode() + b"Content-Length: 100\r\n\r\n{")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"request_timeout"' in answer


async def test_a_body_in_drips_is_408_although_each_drip_is_in_time(tmp_path: Path) -> None:
    async with serving(tmp_path, Options(limits={"body_pause_s": 0.5, "body_limit_s": 0.4})) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\n"
        writer.write(head.encode() + b"Content-Length: 100\r\n\r\n")
        reading = asyncio.create_task(reader.readline())
        for _ in range(20):
            if not reading.done():
                writer.write(b" ")
                await asyncio.sleep(0.1)
        assert (await reading).startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_a_long_answer_is_not_cut_by_the_body_s_limits(tmp_path: Path) -> None:
    async with serving(tmp_path, Options(pause_s=0.1, limits={"body_pause_s": 0.2, "body_limit_s": 0.3})) as server:
        async with httpx.AsyncClient(base_url=server.url) as client:
            answer = await client.post("/v1/chat/completions", content=CHAT, headers={"content-type": "application/json"})
        assert answer.status_code == 200


async def test_headers_over_the_limit_are_431(server: Serving) -> None:
    async with httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.get("/health", headers={"x-long": "a" * 40_000})
        assert (answer.status_code, answer.json()["error"]["code"]) == (431, "headers_too_large")


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/v1/nothing", "/", "/breaks"])
async def test_every_answer_carries_the_security_headers(tmp_path: Path, path: str) -> None:
    async with serving(tmp_path, GUESTS) as server, httpx.AsyncClient(base_url=server.url) as client:
        for headers in ({}, {"host": "evil.example"}):
            answer = await client.get(path, headers=headers)
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
            assert "access-control-allow-origin" not in answer.headers


async def test_the_page_s_policy_lets_nothing_be_fetched_from_elsewhere(tmp_path: Path) -> None:
    async with serving(tmp_path, GUESTS) as server, httpx.AsyncClient(base_url=server.url) as client:
        rules = dict(rule.split(" ", 1) for rule in (await client.get("/")).headers["content-security-policy"].split("; "))
    local = {"'self'", "'none'", "'unsafe-inline'", "'unsafe-eval'", "data:", "blob:"}
    assert all(set(sources.split()) <= local for sources in rules.values())
    assert {"default-src", "script-src", "img-src", "connect-src", "frame-ancestors", "object-src", "base-uri", "form-action"} <= set(rules)


async def test_a_bug_tells_nothing_of_the_inside(tmp_path: Path) -> None:
    async with serving(tmp_path, GUESTS) as server, httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.get("/breaks")
        assert answer.status_code == 500
        assert "secret" not in answer.text


async def test_headers_by_which_a_proxy_speaks_do_not_reach_the_page(tmp_path: Path) -> None:
    async with serving(tmp_path, GUESTS) as server, httpx.AsyncClient(base_url=server.url) as client:
        forged = dict.fromkeys(("x-forwarded-host", "x-forwarded-proto", "forwarded", "x-gradio-server"), "evil.example")
        assert not set(forged) & set((await client.get("/", headers={**forged, "x-kept": "yes"})).json())


async def test_a_key_is_never_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level("DEBUG")
    async with serving(tmp_path, Options(key_hashes=HASHES)) as server, httpx.AsyncClient(base_url=server.url) as client:
        for key in (KEY, "another-secret"):
            await client.get("/v1/models", headers={"authorization": f"Bearer {key}"})
            await client.get("/v1/models", headers={"x-api-key": key})
    printed = caplog.text + "".join(capfd.readouterr())
    assert KEY not in printed
    assert "another-secret" not in printed


async def test_an_address_that_others_reach_without_a_key_builds_no_app(tmp_path: Path) -> None:
    service = await Service.open(Settings(home=str(tmp_path), host="0.0.0.0"), ScriptedProvider())
    try:
        with pytest.raises(SettingsError):
            create_app(service)
    finally:
        await service.close()


def socket_scope(**headers: str) -> dict[str, Any]:
    every = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "websocket", "scheme": "ws", "path": "/socket", "server": ("127.0.0.1", 7860), "headers": every}


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"host": "127.0.0.1:7860"}, True),
        ({"host": "127.0.0.1:7860", "origin": "http://127.0.0.1:7860"}, True),
        ({"host": "127.0.0.1:7860", "origin": "http://evil.example"}, False),
        ({"host": "127.0.0.1:7860", "origin": "null"}, False),
        ({"host": "evil.example", "origin": "http://evil.example"}, False),
        ({"host": "127.0.0.1:7860", "sec-fetch-site": "cross-site"}, False),
    ],
)
async def test_a_websocket_passes_by_the_same_rules(headers: dict[str, str], passes: bool) -> None:
    reached: list[str] = []
    sent: list[Message] = []

    async def app(scope: object, receive: object, send: object) -> None:
        reached.append("app")

    async def send(message: Message) -> None:
        sent.append(message)

    await Gate(app, Policy.of(Settings(home="/nowhere")))(socket_scope(**headers), asyncio.Queue[Message]().get, send)
    assert reached == (["app"] if passes else [])
    assert [message["type"] for message in sent] == ([] if passes else ["websocket.close"])


async def test_each_piece_passes_the_gate_as_it_is_sent() -> None:
    sent: list[bytes] = []
    seen: list[int] = []

    async def app(scope: object, receive: object, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"one", b"two"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            seen.append(len(sent))
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            sent.append(message["body"])

    scope = {**socket_scope(host="127.0.0.1:7860"), "type": "http", "scheme": "http", "method": "GET"}
    await Gate(app, Policy.of(Settings(home="/nowhere")))(scope, asyncio.Queue[Message]().get, send)
    assert seen == [1, 2]
