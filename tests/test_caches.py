"""The door to what models keep: a model that is awake is asked itself, of one that sleeps the disk is looked at."""

import asyncio
import errno
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from mlx_harmony.cache_records import CacheEntry, CacheKeeper, CacheState
from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.errors import InvalidRequest, ModelNotFound, StorageError
from mlx_harmony.models.catalog import starter_folder
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from mlx_harmony.shelf.bundle import read_arrays, read_bundle
from mlx_harmony.shelf.kept import kept_in
from mlx_harmony.shelf.piece import Head, Part
from mlx_harmony.shelf.shelf import Shelf
from mlx_harmony.shelf.uses import Use, write_use
from tests.fixtures.provider import ScriptedProvider
from tests.shelf.test_kept import keep, shelf

ENTRY = CacheEntry(id="a", parent="", start=0, end=9, where="memory")


@pytest.fixture
def provider() -> ScriptedProvider:
    return ScriptedProvider()


@pytest.fixture
async def service(tmp_path: Path, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-cache"))
    made = await Service.open(Settings(home=str(tmp_path)), provider)
    yield made
    await made.close()


async def test_a_model_that_is_awake_is_asked_itself(service: Service, provider: ScriptedProvider) -> None:
    provider.engine.kept = CacheState(requests=3, entries=(ENTRY,))
    assert (await service.caches.look("starter")).entries == ()
    await service.load("starter")
    assert (await service.caches.look("starter")).requests == 3
    assert (await service.caches.act("starter", "pin", "a")).entries[0].pinned
    assert (await service.caches.act("starter", "drop", "a")).entries == ()
    with pytest.raises(ModelNotFound):
        await service.caches.look("nobody")


async def test_of_a_model_that_sleeps_the_disk_is_looked_at(service: Service, tmp_path: Path) -> None:
    folder = str(starter_folder().resolve())
    keep(shelf(tmp_path / "cache", folder), "aa", "", 0, 20)
    keep(shelf(tmp_path / "cache", "/models/gone"), "bb", "", 0, 10)
    state = await service.caches.look("starter")
    assert ([entry.id for entry in state.entries], state.disk_budget) == (["aa"], service.settings.cache_disk_mb * 1_000_000)
    here, gone = await service.caches.kept()
    assert (here.model, here.folder, here.disk_bytes, here.awake) == ("starter", folder, state.disk_bytes, False)
    assert gone == CacheKeeper(model="/models/gone", folder="/models/gone", disk_bytes=gone.disk_bytes)
    assert (await service.caches.act(gone.model, "clear")).entries == ()
    await service.load("starter")
    assert await service.caches.kept() == (CacheKeeper(model="starter", folder=folder, disk_bytes=state.disk_bytes, awake=True),)


async def test_an_entry_of_a_sleeping_model_goes_into_a_file_without_loading_it(
    service: Service, provider: ScriptedProvider, tmp_path: Path
) -> None:
    folder = str(starter_folder().resolve())
    part = Part(shape=(1, 20, 4), dtype="uint8", bytes=80)
    head = Head(id="aa", kind="run", parent="", start=0, end=20, tokens=bytes(80), parts=(part,))
    shelf(tmp_path / "cache", folder).write(head, [memoryview(bytes(range(80)))])
    saved = await service.caches.save("starter", "aa", tmp_path / "saved.kv")
    assert (saved.tokens, saved.model, saved.bytes) == (20, folder, (tmp_path / "saved.kv").stat().st_size)
    bundle = read_bundle(tmp_path / "saved.kv")
    assert (bundle.run.end, bytes(read_arrays(tmp_path / "saved.kv", bundle)[0][0])) == (20, bytes(range(80)))
    assert provider.loaded == {}
    with pytest.raises(InvalidRequest, match="no such entry"):
        await service.caches.save("starter", "zz", tmp_path / "other.kv")
    with pytest.raises(InvalidRequest, match="is there already"):
        await service.caches.save("starter", "aa", tmp_path / "saved.kv")
    await service.caches.save("starter", "aa", tmp_path / "saved.kv", replace=True)


async def test_loading_a_file_wakes_the_model_and_hands_its_reason_on(service: Service, provider: ScriptedProvider, tmp_path: Path) -> None:
    provider.engine.kept = CacheState(entries=(ENTRY,))
    await service.load("starter")
    await service.caches.save("starter", "a", tmp_path / "saved.kv")
    await service.unload("starter")
    assert (await service.caches.load("starter", tmp_path / "saved.kv")).entries == (ENTRY,)
    assert "starter" in provider.loaded
    (tmp_path / "saved.kv").write_text("another")
    with pytest.raises(InvalidRequest, match="another model"):
        await service.caches.load("starter", tmp_path / "saved.kv")


async def gather(stream: AsyncGenerator[object, None]) -> None:
    async with aclosing(stream) as events:
        async for _ in events:
            pass


async def test_a_chat_s_requests_say_whose_they_are_and_emptying_the_trash_forgets_it(
    service: Service, provider: ScriptedProvider, tmp_path: Path
) -> None:
    kept, trashed, shortened = [(await service.create_chat()).summary.id for _ in range(3)]
    for chat in (kept, trashed, shortened):
        await gather(service.send(chat, "Hello", TurnOptions()))
    assert [request.chat for request in provider.engine.requests] == [kept, trashed, shortened]
    on = shelf(tmp_path / "cache", "/models/other")
    keep(on, "aa", "", 0, 20)
    keep(on, "ab", "aa", 20, 30)
    write_use(on.folder, Use(chat=trashed, last="ab", runs={"aa": 20, "ab": 30}))
    write_use(on.folder, Use(chat=kept, last="aa", runs={"aa": 20}))
    await service.delete_chat(trashed)
    await service.delete_message(shortened, (await service.read_chat(shortened)).messages[1].id)
    assert provider.engine.forgotten == ()
    await service.empty_trash()
    assert set(provider.engine.forgotten) == {trashed, shortened}
    assert {entry.id: entry.chats for shelf in kept_in(tmp_path / "cache") for entry in shelf.entries} == {"aa": (kept,)}
    await service.empty_trash()
    assert len(provider.engine.forgotten) == 2


async def test_what_cannot_be_removed_is_told(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on = shelf(tmp_path / "cache", "/models/other")
    keep(on, "aa", "", 0, 20)
    write_use(on.folder, Use(chat="a", last="aa", runs={"aa": 20}))
    write_use(on.folder, Use(chat="b", runs={"aa": 10}))

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Shelf, "shorten", full)
    with pytest.raises(StorageError, match="No space left"):
        await service.caches.forget(["a"])


async def test_only_models_that_are_loaded_and_tell_in_time_have_figures(service: Service, provider: ScriptedProvider) -> None:
    assert await service.caches.awake(1.0) == {}
    await service.load("starter")
    assert set(await service.caches.awake(1.0)) == {"starter"}

    async def never(action: str = "look", entry: str = "") -> CacheState:
        await asyncio.sleep(60)
        return CacheState()

    provider.engine.cache = never  # type: ignore[method-assign]
    assert await service.caches.awake(0.01) == {}
