"""Who may come in: each rule on its own, each with what it lets through and what it turns away."""

import base64
import hashlib

import msgspec
import pytest

from mlx_harmony.api.policy import Head, Policy, plain_path
from mlx_harmony.errors import SettingsError
from mlx_harmony.settings import Settings

KEY = b"sesame"
HASH = hashlib.sha256(KEY).hexdigest()
LOCAL = Policy.of(Settings(home="/nowhere", port=7860))
KEYED = Policy.of(Settings(home="/nowhere", api_key_hashes=("0" * 64, HASH)))


def head(path: str = "/v1/models", host: str | None = "127.0.0.1:7860", **headers: str) -> Head:
    every = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    if host is not None:
        every.append((b"host", host.encode("latin-1")))
    return Head("http", "GET", path, 7860, "127.0.0.1", every)


def status(policy: Policy, asked: Head) -> int:
    refusal = policy.refusal(asked)
    return refusal.status if refusal else 200


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "LocalHost:7860", "[::1]:7860"])
def test_the_names_of_this_machine_are_answered(host: str) -> None:
    assert status(LOCAL, head(host=host)) == 200


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example",
        "evil.example:7860",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.0.0.1:7861",
        "localhost:7860.evil.example",
        "localhost.evil.example:7860",
        "localhost.:7860",
        "127.0.0.1:7860@evil.example",
        "evil.example#127.0.0.1:7860",
        "127.0.0.1:7860, evil.example",
        " 127.0.0.1:7860",
        "0.0.0.0:7860",
        "2130706433:7860",
        "127.1:7860",
        "::1:7860",
        "[::ffff:127.0.0.1]:7860",
    ],
)
def test_any_other_host_is_refused(host: str | None) -> None:
    assert status(LOCAL, head(host=host)) == 421


def test_two_hosts_are_refused_even_when_both_are_ours() -> None:
    asked = head()
    assert status(LOCAL, asked._replace(headers=[*asked.headers, (b"host", b"127.0.0.1:7860")])) == 421


@pytest.mark.parametrize("origin", ["http://127.0.0.1:7860", "http://localhost:7860", "http://[::1]:7860"])
def test_our_own_origin_may_ask(origin: str) -> None:
    assert status(LOCAL, head(origin=origin)) == 200


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://evil.example",
        "https://127.0.0.1:7860",
        "http://127.0.0.1",
        "http://127.0.0.1:3000",
        "http://localhost:3000",
        "http://127.0.0.1:7860.evil.example",
        "http://127.0.0.1:7860/",
        "ws://127.0.0.1:7860",
        "file://",
        "chrome-extension://abc",
        "127.0.0.1:7860",
    ],
)
def test_any_other_origin_is_refused(origin: str) -> None:
    assert status(LOCAL, head(origin=origin)) == 403


@pytest.mark.parametrize(("site", "expected"), [("same-origin", 200), ("none", 200), ("cross-site", 403), ("same-site", 403), ("x", 403)])
def test_the_browser_says_where_a_request_comes_from(site: str, expected: int) -> None:
    assert status(LOCAL, head(sec_fetch_site=site)) == expected


def basic(password: bytes) -> str:
    return "Basic " + base64.b64encode(b"me:" + password).decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer sesame"},
        {"authorization": "bearer sesame"},
        {"x_api_key": "sesame"},
        {"authorization": basic(KEY)},
        {"authorization": "Bearer wrong", "x_api_key": "sesame"},
    ],
)
def test_a_known_key_opens(headers: dict[str, str]) -> None:
    assert status(KEYED, head(**headers)) == 200
    assert status(KEYED, head("/", **headers)) == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer Sesame"},
        {"authorization": "Bearer sesame2"},
        {"authorization": "sesame"},
        {"authorization": "Token sesame"},
        {"authorization": f"Bearer {HASH}"},
        {"authorization": "Bearer \xff\xfe"},
        {"authorization": basic(b"wrong")},
        {"authorization": "Basic !!!"},
        {"authorization": "Basic " + base64.b64encode(KEY).decode()},
        {"x_api_key": ""},
        {"x_api_key": "wrong"},
        {"cookie": "key=sesame"},
    ],
)
@pytest.mark.parametrize("path", ["/", "/health", "/v1/models", "/gradio_api/queue/join", "/nothing"])
def test_no_key_or_a_wrong_one_stays_out_everywhere(headers: dict[str, str], path: str) -> None:
    assert status(KEYED, head(path, **headers)) == 401


def test_a_browser_is_asked_for_the_key_on_the_page_and_a_client_on_the_api() -> None:
    page, api = KEYED.refusal(head("/")), KEYED.refusal(head("/v1/models"))
    assert page is not None
    assert page.challenge.startswith("Basic")
    assert api is not None
    assert api.challenge.startswith("Bearer")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "my-machine", "evil.example", "169.254.1.1", "2001:db8::1"])
def test_an_address_that_others_reach_needs_a_key(host: str) -> None:
    with pytest.raises(SettingsError, match="no API key") as caught:
        Policy.of(Settings(home="/nowhere", host=host))
    assert "127.0.0.1" in caught.value.hint
    Policy.of(Settings(home="/nowhere", host=host, api_key_hashes=(HASH,)))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.0.0.5"])
def test_this_machine_alone_needs_none(host: str) -> None:
    Policy.of(Settings(home="/nowhere", host=host))


def test_a_configured_name_is_answered_and_a_wildcard_answers_to_the_address_that_was_reached() -> None:
    named = Policy.of(Settings(home="/nowhere", host="192.168.1.5", api_key_hashes=(HASH,)))
    key = {"x_api_key": "sesame"}
    assert status(named, head(host="192.168.1.5:7860", **key)) == 200
    assert status(named, head(host="192.168.1.6:7860", **key)) == 421
    wildcard = Policy.of(Settings(home="/nowhere", host="0.0.0.0", api_key_hashes=(HASH,)))
    assert status(wildcard, head(host="10.0.0.7:7860", **key)._replace(address="10.0.0.7")) == 200
    assert status(wildcard, head(host="evil.example:7860", **key)._replace(address="10.0.0.7")) == 421
    assert status(LOCAL, head(host="10.0.0.7:7860")._replace(address="10.0.0.7")) == 421


def test_the_usual_port_may_be_left_out() -> None:
    assert status(LOCAL, head(host="localhost")._replace(port=80)) == 200
    assert status(LOCAL, head(host="localhost")._replace(port=443)) == 421


def test_too_many_or_too_long_headers_are_refused() -> None:
    assert status(LOCAL, head(x_long="a" * 40_000)) == 431
    asked = head()
    assert status(LOCAL, asked._replace(headers=[*asked.headers, *[(b"x", b"")] * 100])) == 431
    assert status(LOCAL, asked._replace(headers=[*asked.headers, *[(b"x", b"")] * 99])) == 200


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "FOO", "get", ""])
def test_strange_methods_are_refused(method: str) -> None:
    assert status(LOCAL, head()._replace(method=method)) == 405


FETCHES = [
    "/gradio_api/file=http://169.254.169.254/latest",
    "/gradio_api/file=https://evil.example/a.png",
    "/gradio_api/file=HTTP://evil.example",
    "/gradio_api/file=%68ttp://evil.example",
    "/gradio_api/file%3Dhttp://evil.example",
    "/gradio_api/file%3dhttps:%2F%2Fevil.example",
    "/gradio_api/file%253Dhttp%253A//evil.example",
    "/gradio_api/file=http:/evil.example",
    "/gradio_api/file=http:\\\\evil.example",
    "/gradio_api/file=/http://evil.example",
    "/gradio_api/file= http://evil.example",
    "/gradio_api/file=\thttp://evil.example",
    "/gradio_api/file=\x00http://evil.example",
    "/gradio_api//file=http://evil.example",
    "//gradio_api/file=http://evil.example",
    "/gradio_api/file=ftp://evil.example",
    "/gradio_api/file=file:///etc/passwd",
    "/gradio_api/file=data:text/html,x",
    "/gradio_api/file/http://evil.example",
    "/file=http://evil.example",
    "/gradio_api/proxy=http://evil.example",
    "/gradio_api/proxy=https://evil.example",
    "/proxy=http://evil.example",
    "/gradio_api/PROXY=http://evil.example",
    "/gradio_api/proxy%3Dhttp://evil.example",
    "/gradio_api/proxy=anything",
]


@pytest.mark.parametrize("path", FETCHES)
def test_no_address_makes_the_server_fetch_another(path: str) -> None:
    assert status(LOCAL, head(path)) == 403


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/gradio_api/file=/tmp/gradio/ab/picture.png", 200),
        ("/gradio_api/queue/join", 200),
        ("/assets/index.js", 200),
        ("/v1/models/mlx-community/some-model", 200),
        ("/gradio_api/vibe-edit", 404),
        ("/gradio_api/monitoring", 404),
        ("/monitoring/summary", 404),
        ("/gradio_api/run-history/records", 404),
        ("/gradio_api/runs", 404),
        ("/gradio_api/dev/reload", 404),
        ("/gradio_api/mcp/sse", 404),
        ("/gradio_api/%76ibe-code", 404),
        ("/v1/../etc/passwd", 400),
        ("/v1/%2e%2e/etc", 400),
        ("/static/..%5c..%5cetc", 400),
        ("http://127.0.0.1:7860/", 400),
        ("*", 400),
        ("/" + "%25" * 20 + "41", 200),
    ],
)
def test_the_path_decides_what_is_closed(path: str, expected: int) -> None:
    assert status(LOCAL, head(path)) == expected


def test_an_encoding_without_an_end_is_refused() -> None:
    nested = "/%" + "25" * 20 + "41"
    assert plain_path(nested) is None
    assert status(LOCAL, head(nested)) == 400


def test_a_policy_is_a_value() -> None:
    assert msgspec.structs.replace(LOCAL, most_headers=5) != LOCAL
