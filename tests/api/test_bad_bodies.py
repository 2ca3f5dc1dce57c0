"""No body brings an answer of 500 or more, and none spoils the next request."""

import httpx
import pytest

from tests.api.bad_bodies import BAD_BODIES, OK
from tests.api.serving import Serving

JSON = {"content-type": "application/json"}
URL = "/v1/chat/completions"


async def test_every_bad_body_gets_a_4xx_in_the_envelope_and_the_next_request_works(server: Serving) -> None:
    assert len(BAD_BODIES) >= 500
    wrong: list[tuple[int, bytes]] = []
    async with httpx.AsyncClient(base_url=server.url) as client:
        for body in BAD_BODIES:
            answer = await client.post(URL, content=body, headers=JSON)
            error = answer.json().get("error", {})
            if not 400 <= answer.status_code < 500 or not error.get("message") or set(error) != {"message", "type", "param", "code"}:
                wrong.append((answer.status_code, body[:200]))
            if answer.status_code < 500:
                continue
            assert (await client.post(URL, json=OK)).status_code == 200
        assert wrong == []
        assert (await client.post(URL, json=OK)).status_code == 200
    assert len(server.engine.requests) == 1


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("application/json; charset=latin-1", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/jsonx", 415),
        ("", 415),
    ],
)
async def test_only_json_is_read(server: Serving, kind: str, status: int) -> None:
    async with httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.post(URL, content=b'{"messages": [{"role": "user", "content": "hi"}]}', headers={"content-type": kind})
        assert answer.status_code == status


async def test_a_compressed_body_is_refused(server: Serving) -> None:
    async with httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.post(URL, content=b"\x1f\x8b", headers={**JSON, "content-encoding": "gzip"})
        assert answer.status_code == 415


@pytest.mark.parametrize(
    ("extra", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, "messages[0].role"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "python"}, {"type": "shell"}]}, "tools[1].type"),
        ({"stream_options": {"include_usage": 3}}, "stream_options.include_usage"),
        ({"stop": ["a", 5]}, "stop[1]"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"n": 2}, "n"),
        ({"messages": 5}, "messages"),
    ],
)
async def test_the_refusal_names_the_field(server: Serving, extra: dict[str, object], param: str) -> None:
    async with httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.post(URL, json={**OK, **extra})
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == param
        assert answer.json()["error"]["type"] == "invalid_request_error"
        assert param in answer.json()["error"]["message"]


async def test_unknown_fields_and_nulls_are_let_pass(server: Serving) -> None:
    nulls = dict.fromkeys(("temperature", "tools", "stop", "stream_options", "seed", "max_tokens", "logit_bias", "tool_choice", "n"))
    async with httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.post(URL, json={**OK, **nulls, "user": "me", "metadata": {"a": "b"}, "store": False, "new_field": [1]})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/models", 405),
        ("POST", "/health", 405),
        ("GET", "/v1/nothing", 404),
        ("POST", "/v1/chat/completions/", 404),
        ("GET", "/v2/models", 404),
        ("GET", "/docs", 404),
        ("GET", "/redoc", 404),
        ("GET", "/openapi.json", 404),
    ],
)
async def test_unknown_addresses_and_methods_get_the_envelope(server: Serving, method: str, path: str, status: int) -> None:
    async with httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.request(method, path)
        assert answer.status_code == status
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
