"""The gate in front of the real page: Gradio's addresses by the same rules, and in Chromium nothing slips past the policy."""

import asyncio
import hashlib
import re
import shutil
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from playwright.async_api import Page, async_playwright

from mlx_harmony.service import Service
from tests.api.serving import Options, Serving, serving

# Gradio measures its queue with pandas, in ways that pandas has since renamed.
pytestmark = [pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"), pytest.mark.asyncio(loop_scope="module")]

KEYS = (hashlib.sha256(b"sesame").hexdigest(),)


def page(app: FastAPI, service: Service) -> FastAPI:
    from mlx_harmony_ui.app import mount

    mounted: FastAPI = mount(app, service)
    return mounted


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def paged(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Serving]:
    async with serving(tmp_path_factory.mktemp("home"), Options(build=page)) as running:
        yield running


GRADIO = [
    ("GET", "/"),
    ("GET", "/config"),
    ("GET", "/theme.css"),
    ("GET", "/gradio_api/info"),
    ("GET", "/gradio_api/startup-events"),
    ("GET", "/gradio_api/queue/data?session_hash=x"),
    ("GET", "/gradio_api/heartbeat/x"),
    ("GET", "/gradio_api/file=/etc/passwd"),
    ("POST", "/gradio_api/queue/join"),
    ("POST", "/gradio_api/upload"),
    ("POST", "/gradio_api/run/predict"),
    ("POST", "/gradio_api/call/predict"),
    ("POST", "/gradio_api/component_server"),
    ("POST", "/gradio_api/reset"),
    ("POST", "/gradio_api/cancel"),
]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:3000"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
    ],
)
async def test_no_address_of_the_page_answers_strangers(paged: Serving, headers: dict[str, str], status: int) -> None:
    async with httpx.AsyncClient(base_url=paged.url) as client:
        for method, path in GRADIO:
            assert (await client.request(method, path, headers=headers)).status_code == status, path


async def test_with_a_key_the_page_opens_only_by_it_and_a_browser_is_asked(tmp_path: Path) -> None:
    async with serving(tmp_path, Options(build=page, key_hashes=KEYS)) as server, httpx.AsyncClient(base_url=server.url) as client:
        for method, path in GRADIO:
            assert (await client.request(method, path)).status_code == 401, path
        refused = await client.get("/")
        assert refused.headers["www-authenticate"].startswith("Basic")
        assert "password" in refused.json()["error"]["message"]
        assert (await client.get("/", auth=("anyone", "sesame"))).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/gradio_api/file=http://127.0.0.1:1/", 403),
        ("/gradio_api/file%3Dhttp://127.0.0.1:1/", 403),
        ("/gradio_api/proxy=http://127.0.0.1:1/", 403),
        ("/gradio_api/file=/etc/passwd", 403),
        ("/gradio_api/file=pyproject.toml", 403),
        ("/gradio_api/vibe-code", 404),
        ("/monitoring", 404),
        ("/gradio_api/dev/reload", 404),
        ("/v1/nothing", 404),
        ("/v1/chat/completions", 405),
        ("/docs", 404),
    ],
)
async def test_the_page_gives_out_no_file_and_fetches_nothing(paged: Serving, path: str, status: int) -> None:
    async with httpx.AsyncClient(base_url=paged.url) as client:
        assert (await client.get(path)).status_code == status


async def test_a_file_larger_than_the_page_takes_is_not_kept(paged: Serving) -> None:
    async with httpx.AsyncClient(base_url=paged.url) as client:
        answer = await client.post("/gradio_api/upload", files={"files": ("big.txt", b"a" * (2 * 2**20))})
        assert 400 <= answer.status_code < 500
    assert not list(Path(paged.service.settings.home).rglob("big.txt"))


async def test_only_the_page_s_own_inline_scripts_are_allowed(paged: Serving) -> None:
    async with httpx.AsyncClient(base_url=paged.url) as client:
        answer = await client.get("/", headers={"accept-encoding": "br, gzip"})
    rule = next(rule for rule in answer.headers["content-security-policy"].split("; ") if rule.startswith("script-src"))
    assert "'unsafe-inline'" not in rule
    inline = re.findall(r"<script(?![^>]* src=)[^>]*>(.*?)</script>", answer.text, re.DOTALL)
    assert inline
    assert all(f"'sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in rule for script in inline)


@asynccontextmanager
async def chromium_page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        try:
            yield await browser.new_page()
        finally:
            await browser.close()


SLIPPED_IN = """() => {
  window.ran = [];
  document.body.insertAdjacentHTML("beforeend", `
    <img src="x" onerror="ran.push('onerror')"><svg onload="ran.push('onload')"></svg>
    <iframe srcdoc="<script>parent.ran.push('srcdoc')<\\/script>"></iframe>
    <a id="link" href="javascript:ran.push('href')">link</a>
    <img src="http://127.0.0.1:%(trap)d/image"><video src="http://127.0.0.1:%(trap)d/video"></video>
    <link rel="stylesheet" href="http://127.0.0.1:%(trap)d/style"><iframe src="http://127.0.0.1:%(trap)d/frame"></iframe>
    <object data="http://127.0.0.1:%(trap)d/object"></object><div style="background: url(http://127.0.0.1:%(trap)d/background)">x</div>`);
  document.getElementById("link").click();
  const script = document.createElement("script");
  script.textContent = "ran.push('script')";
  document.body.append(script);
  return Promise.allSettled([fetch("http://127.0.0.1:%(trap)d/fetch"), navigator.sendBeacon("http://127.0.0.1:%(trap)d/beacon")]);
}"""


@pytest.mark.browser
async def test_in_chromium_the_page_runs_and_what_slips_in_neither_runs_nor_calls_out(paged: Serving) -> None:
    calls: list[bytes] = []

    async def trap(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(await reader.readline())
        writer.close()

    listener = await asyncio.start_server(trap, "127.0.0.1", 0)
    async with listener, chromium_page() as tab:
        refused: list[str] = []
        tab.on("console", lambda message: refused.append(message.text) if message.type == "error" else None)
        await tab.goto(paged.url)
        await tab.get_by_role("button", name="New chat").first.wait_for()
        assert refused == []
        await tab.evaluate(SLIPPED_IN % {"trap": listener.sockets[0].getsockname()[1]})
        await asyncio.sleep(0.5)
        assert await tab.evaluate("window.ran") == []
    # Chromium may open a connection for <object> before it asks the policy; what counts is that nothing is sent on it.
    assert [call for call in calls if call] == []


@pytest.mark.browser
async def test_a_link_on_another_site_leads_to_a_refusal_and_from_there_to_the_page(paged: Serving) -> None:
    async def other_site(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<a href='%s'>link</a>" % paged.url.encode())
        writer.close()

    listener = await asyncio.start_server(other_site, "127.0.0.1", 0)
    async with listener, chromium_page() as tab:
        await tab.goto(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/")
        async with tab.expect_response(f"{paged.url}/") as refused:
            await tab.get_by_text("link").click()
        assert (await refused.value).status == 403
        await tab.get_by_role("link", name="Open MLX Harmony").click()
        await tab.get_by_role("button", name="New chat").first.wait_for()
