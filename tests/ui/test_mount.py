"""The mounted page: each option that keeps Gradio's doors shut, seen from outside."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
import pytest_asyncio
from gradio import processing_utils
from gradio.context import LocalContext
from gradio.exceptions import InvalidPathError

from mlx_harmony.api.app import create_app
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from mlx_harmony_ui.app import mount
from mlx_harmony_ui.components.surface import EVENTS
from mlx_harmony_ui.environment import seal
from tests.fixtures.provider import ScriptedProvider

SECRET = "nobody may read this"


class Mounted:
    """The app with its page, and a client that speaks to it as a browser on this machine would."""

    def __init__(self, app: Any, client: httpx.AsyncClient) -> None:
        self.client = client
        self.page: gr.Blocks = next(route.app.get_blocks() for route in app.routes if hasattr(getattr(route, "app", None), "get_blocks"))


@pytest_asyncio.fixture
async def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Mounted]:
    monkeypatch.setenv("GRADIO_TEMP_DIR", os.environ["GRADIO_TEMP_DIR"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.txt").write_text(SECRET)
    service = await Service.open(Settings(home=str(tmp_path / "home")), ScriptedProvider())
    app = mount(create_app(service), service)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:7860") as client:
        yield Mounted(app, client)
    await service.close()


async def test_a_client_cannot_have_a_file_read_through_an_event(mounted: Mounted, tmp_path: Path) -> None:
    asked = {"path": str(tmp_path / "secret.txt"), "meta": {"_type": "gradio.FileData"}}
    token = LocalContext.blocks.set(mounted.page)
    try:
        with pytest.raises(InvalidPathError):
            await processing_utils.async_move_files_to_cache(asked, gr.File(render=False), check_in_upload_folder=True)
    finally:
        LocalContext.blocks.reset(token)


@pytest.mark.parametrize("name", ["secret.txt", "home/chats.sqlite3", "../../../etc/passwd"])
async def test_no_file_is_served_by_its_path(mounted: Mounted, tmp_path: Path, name: str) -> None:
    answer = await mounted.client.get(f"/gradio_api/file={tmp_path / name}")
    assert answer.status_code in (403, 404)
    assert SECRET not in answer.text


async def test_an_uploaded_file_cannot_be_fetched_back_nor_be_large(mounted: Mounted) -> None:
    uploaded = await mounted.client.post("/gradio_api/upload", files={"files": ("a.html", b"<script>1</script>")})
    if uploaded.status_code == 200:
        answer = await mounted.client.get(f"/gradio_api/file={uploaded.json()[0]}")
        assert answer.status_code == 403
    large = await mounted.client.post("/gradio_api/upload", files={"files": ("a.bin", b"x" * 2_000_000)})
    assert large.status_code >= 400


async def test_the_page_tells_nobody_and_keeps_nothing(mounted: Mounted) -> None:
    config = (await mounted.client.get("/config")).json()
    assert config["analytics_enabled"] is False
    assert config["footer_links"] == []
    assert not config.get("run_history")
    assert not mounted.page.enable_monitoring
    assert mounted.page.show_error is False
    assert mounted.page.ssr_mode is False
    assert mounted.page.mcp_server_obj is None
    assert mounted.page.allowed_paths == []
    queue = mounted.page._queue
    queue.events_recorded = 1000
    queue.compute_analytics_summary([{"function": "f"}] * 1000)
    assert queue.event_count_at_last_cache == 0
    assert queue.ANALYTICS_MAX_EVENTS == 1


async def test_every_event_is_private_and_the_queue_takes_no_api_calls(mounted: Mounted) -> None:
    events = mounted.page.config["dependencies"]
    assert len(events) == len(EVENTS)
    assert {event["api_visibility"] for event in events} == {"private"}
    assert mounted.page.api_open is False
    info = (await mounted.client.get("/gradio_api/info")).json()
    assert info["named_endpoints"] == {}


async def test_the_page_is_served_and_names_no_foreign_script_or_style(mounted: Mounted) -> None:
    page = (await mounted.client.get("/")).text
    assert "MLX Harmony" in page
    for part in page.split("<script")[1:] + page.split("<link")[1:]:
        tag = part.split(">")[0]
        assert 'src="http' not in tag
        assert 'href="http' not in tag


def test_the_environment_is_scrubbed_of_gradio_settings(tmp_path: Path) -> None:
    environment = {"GRADIO_ALLOWED_PATHS": "/", "GRADIO_SHARE": "True", "GRADIO_ANALYTICS_ENABLED": "True", "PATH": "/bin"}
    seal(environment, tmp_path)
    assert environment["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert environment["GRADIO_TEMP_DIR"] == str(tmp_path / "page")
    assert environment["PATH"] == "/bin"
    assert not {"GRADIO_ALLOWED_PATHS", "GRADIO_SHARE"} & set(environment)


async def test_the_page_at_rest_looks_into_its_queue_seldom(mounted: Mounted) -> None:
    # Gradio's own default is a millisecond, which takes 5 % of a core for as long as the program runs.
    assert mounted.page._queue.sleep_when_free >= 0.02
