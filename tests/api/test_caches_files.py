"""What models keep, as files over HTTP: saved, fetched once, taken in again through the disk, and nothing left behind."""

import asyncio
import os
import stat
import time
from pathlib import Path

import httpx
import msgspec
import pytest

from mlx_harmony.api.caches_route import file_name
from mlx_harmony.api.passing import FOLDER, LEFT_OVER_S, Passing
from mlx_harmony.api.policy import Policy
from mlx_harmony.settings import Settings
from tests.api.serving import Options, Serving, serving
from tests.fixtures.kept import STATE

FILE = {"content-type": "application/octet-stream"}


async def post(server: Serving, path: str, data: bytes = b"", **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url) as client:
        return await client.post(path, content=data, headers=FILE | headers)


async def get(server: Serving, path: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url) as client:
        return await client.get(path)


@pytest.fixture
async def awake(server: Serving) -> Serving:
    await server.service.load("starter")
    server.engine.kept = STATE
    return server


async def test_an_entry_is_saved_and_fetched_once(awake: Serving, tmp_path: Path) -> None:
    told = (await post(awake, "/files/caches/save?model=starter&entry=turn")).json()
    assert told["name"] == f"starter-{told['tokens']}-tokens.kvcache"
    fetched = await get(awake, f"/files/caches/saved/{told['id']}")
    assert fetched.status_code == 200 and len(fetched.content) == told["bytes"]
    assert fetched.headers["content-disposition"] == f'attachment; filename="{told["name"]}"'
    again = await get(awake, f"/files/caches/saved/{told['id']}")
    assert again.status_code == 404 and "Save the entry again." in again.json()["error"]["message"]
    await all_gone(awake)


async def test_a_file_that_nobody_fetches_goes_by_itself(awake: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Passing, "patience_s", 0.2)
    told = (await post(awake, "/files/caches/save?model=starter&entry=turn")).json()
    assert len(left(awake)) == 1
    await all_gone(awake)
    assert (await get(awake, f"/files/caches/saved/{told['id']}")).status_code == 404


async def test_an_entry_that_is_gone_is_refused_in_words(server: Serving) -> None:
    answer = await post(server, "/files/caches/save?model=starter&entry=nothing")
    assert answer.status_code == 400 and answer.json()["error"]["message"]
    assert (await post(server, "/files/caches/save?model=nobody&entry=turn")).status_code == 404
    assert (await post(server, "/files/caches/save")).status_code in (400, 422)
    assert left(server) == []


async def test_a_file_comes_in_whole_by_the_disk(awake: Serving) -> None:
    told = (await post(awake, "/files/caches/save?model=starter&entry=turn")).json()
    data = (await get(awake, f"/files/caches/saved/{told['id']}")).content
    answer = await post(awake, "/files/caches/load?model=starter", data)
    assert answer.status_code == 200 and answer.json()["entries"] >= 1
    await all_gone(awake)


async def test_a_file_that_cannot_be_used_is_refused_with_the_reason_and_not_kept(awake: Serving) -> None:
    answer = await post(awake, "/files/caches/load?model=starter", b"no cache at all")
    assert answer.status_code == 400 and answer.json()["error"]["message"]
    assert left(awake) == []


async def test_other_sites_and_other_kinds_of_bodies_stay_out(server: Serving) -> None:
    for path in ("/files/caches/load?model=starter", "/files/caches/save?model=starter&entry=x"):
        assert (await post(server, path, origin="http://evil.example")).status_code == 403
        assert (await post(server, path, **{"sec-fetch-site": "cross-site"})).status_code == 403
    form = await post(server, "/files/caches/load?model=starter", b"{}", **{"content-type": "text/plain"})
    assert form.status_code == 415
    assert (await get(server, "/files/caches/saved/..%2F..%2Fchats.sqlite3")).status_code in (400, 404)
    assert (await get(server, "/files/caches/load")).status_code == 405


async def test_only_a_body_that_goes_to_the_disk_may_be_large(tmp_path: Path) -> None:
    async with serving(tmp_path, Options(limits={"most_body_bytes": 1000, "most_file_bytes": 3000})) as server:
        server.engine.kept = STATE
        assert (await post(server, "/files/chats", b"x" * 2000)).status_code == 413
        assert (await post(server, "/files/caches/load?model=starter", b"x" * 2000)).status_code == 400
        assert (await post(server, "/files/caches/load?model=starter", b"x" * 4000)).status_code == 413
    policy = Policy.of(Settings(home=str(tmp_path)))
    assert policy.limit_s("/files/caches/load") > policy.limit_s("/files/chats")


async def test_a_disk_without_room_is_said_before_anything_is_sent(awake: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: msgspec.defstruct("Usage", [("free", int)])(10))
    answer = await post(awake, "/files/caches/load?model=starter", b"x" * 100)
    assert answer.status_code >= 500 and "no room" in answer.json()["error"]["message"]


def test_what_was_left_behind_is_swept_and_what_is_new_stays(tmp_path: Path) -> None:
    passing = Passing(str(tmp_path))
    old, new = passing.place(), passing.place()
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (0, time.time() - LEFT_OVER_S - 1))
    file_id = passing.offer(old, "old")
    passing.place()
    again = passing.place()
    again.write_bytes(b"x")
    os.utime(again, (0, time.time() - LEFT_OVER_S - 1))
    Passing(str(tmp_path))
    assert not again.exists()
    assert not old.exists() and new.exists() and passing.take(file_id) is None
    assert stat.S_IMODE((tmp_path / FOLDER).stat().st_mode) == 0o700


def test_a_file_is_named_after_its_model_and_what_it_spares() -> None:
    assert file_name("mlx-community/gpt oss:20b", 1240) == "gpt-oss-20b-1240-tokens.kvcache"
    assert file_name("///", 1) == "model-1-tokens.kvcache"


def left(server: Serving) -> list[Path]:
    return list(Path(server.service.settings.home, FOLDER).iterdir())


async def all_gone(server: Serving) -> None:
    """A fetched file is taken away once its last byte was sent: a moment after the client has it."""
    for _ in range(100):
        if not left(server):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(left(server))
