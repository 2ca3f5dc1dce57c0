"""The door to what models keep: a model that is awake is asked itself, of one that sleeps the disk is looked at."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mlx_harmony.errors import InvalidRequest, ModelNotFound
from mlx_harmony.models.catalog import starter_folder
from mlx_harmony.records import CacheEntry, CacheKeeper, CacheState
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from mlx_harmony.shelf.bundle import read_arrays, read_bundle
from mlx_harmony.shelf.piece import Head, Part
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
