"""Cleaning up through the service: a loaded model is unloaded first, one that answers is left alone, and the list knows at once."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mlx_harmony.cleaning import LOADED, Removed
from mlx_harmony.engine.protocols import ModelPhase, ModelState
from mlx_harmony.errors import InvalidRequest, ModelNotFound
from mlx_harmony.models.catalog import Catalog
from mlx_harmony.models.removal import Selected
from mlx_harmony.models.trash import Trash
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from tests.fixtures.hub_cache import HubCache, tree
from tests.fixtures.provider import ScriptedProvider
from tests.models.test_holdings import two_revisions

OLD, NEW = "1" * 40, "2" * 40


class Loaded(ScriptedProvider):
    """A provider that has one model in the given phase, and tells which it unloaded."""

    def __init__(self, model: str, phase: ModelPhase) -> None:
        super().__init__()
        self.held = {model: phase}
        self.unloaded: list[str] = []

    def states(self) -> tuple[ModelState, ...]:
        return tuple(ModelState(id=model, phase=phase) for model, phase in self.held.items())

    async def unload(self, model_id: str) -> None:
        self.held[model_id] = "asleep"
        self.unloaded.append(model_id)


@pytest.fixture
def cache(tmp_path: Path, fx1: Path, monkeypatch: pytest.MonkeyPatch) -> HubCache:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    shutil.copytree(fx1, tmp_path / "models" / "mine")
    return two_revisions(tmp_path / "hub")


@asynccontextmanager
async def opened(tmp_path: Path, provider: Loaded) -> AsyncIterator[Service]:
    service = await Service.open(Settings(home=str(tmp_path / "home"), models_dirs=(str(tmp_path / "models"),)), provider)
    try:
        yield service
    finally:
        await service.close()


async def removed(service: Service, *selection: Selected) -> Removed:
    return await service.cleaning.remove(await service.cleaning.plan(selection))


async def test_what_is_removed_leaves_the_list_at_once_and_comes_back(tmp_path: Path, cache: HubCache) -> None:
    async with opened(tmp_path, Loaded("mine", "asleep")) as service:
        before = tree(tmp_path / "models")
        assert {holding.id for holding in await service.cleaning.holdings()} == {"starter", "mine", "org/B"}
        assert "mine" in {entry.id for entry in service.models()}
        gone = await removed(service, Selected(id="mine"))
        assert gone.unloaded == () and "mine" not in {entry.id for entry in service.models()}
        assert await service.cleaning.trash() == gone.trashed and await service.cleaning.trash_bytes() == gone.trashed[0].bytes
        await service.cleaning.restore(gone.trashed[0].id)
        assert "mine" in {entry.id for entry in service.models()} and tree(tmp_path / "models") == before
        again = await removed(service, Selected(id="mine"), Selected(id="org/B"))
        assert await service.cleaning.empty([again.trashed[0].id]) == again.trashed[0].bytes
        assert await service.cleaning.empty() == again.trashed[1].bytes


async def test_what_the_catalogue_knows_is_not_looked_for_again_but_before_anything_goes(
    tmp_path: Path, cache: HubCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, Loaded("mine", "asleep")) as service:
        looked: list[str] = []
        assert service.models()
        monkeypatch.setattr(Catalog, "rescan", lambda _self: looked.append("again"))
        monkeypatch.setattr("mlx_harmony.models.catalog.FRESH_S", 60.0)
        planned = await service.cleaning.plan([Selected(id="mine")])
        assert {holding.id for holding in await service.cleaning.holdings()} == {"starter", "mine", "org/B"} and looked == []
        monkeypatch.undo()
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        # As late as can be: the list still holds what it knew a moment ago.
        shutil.copytree(tmp_path / "models" / "mine", tmp_path / "models" / "it" / "mine")
        shutil.rmtree(tmp_path / "models" / "mine")
        with pytest.raises(ModelNotFound):
            await service.cleaning.remove(planned)


@pytest.mark.parametrize("selected", [Selected(id="org/B"), Selected(id="org/B", revision=NEW)])
async def test_a_loaded_model_is_unloaded_first_with_notice(tmp_path: Path, cache: HubCache, selected: Selected) -> None:
    provider = Loaded("org/B", "awake")
    async with opened(tmp_path, provider) as service:
        assert (await removed(service, selected)).unloaded == ("org/B",) == tuple(provider.unloaded)


async def test_another_revision_than_the_loaded_one_goes_without_unloading(tmp_path: Path, cache: HubCache) -> None:
    provider = Loaded("org/B", "busy")
    async with opened(tmp_path, provider) as service:
        assert (await removed(service, Selected(id="org/B", revision=OLD))).unloaded == ()
        assert provider.unloaded == []


@pytest.mark.parametrize("phase", [phase for phase in LOADED if phase != "awake"])
async def test_a_model_that_answers_or_loads_is_not_deleted_underneath(tmp_path: Path, cache: HubCache, phase: ModelPhase) -> None:
    provider = Loaded("org/B", phase)
    async with opened(tmp_path, provider) as service:
        before = tree(tmp_path / "hub", tmp_path / "models")
        with pytest.raises(InvalidRequest, match="busy") as caught:
            await removed(service, Selected(id="mine"), Selected(id="org/B"))
        assert "Stop that first" in caught.value.hint
        assert tree(tmp_path / "hub", tmp_path / "models") == before and provider.unloaded == []


async def test_what_changed_since_it_was_looked_at_is_looked_at_again(tmp_path: Path, cache: HubCache) -> None:
    async with opened(tmp_path, Loaded("org/B", "asleep")) as service:
        looked = await service.cleaning.plan([Selected(id="org/B", revision=OLD)])
        (cache.repository("org/B") / "refs" / "v1").write_text(OLD)
        before = tree(tmp_path / "hub")
        with pytest.raises(InvalidRequest, match="has changed"):
            await service.cleaning.remove(looked)
        assert tree(tmp_path / "hub") == before
        with pytest.raises(ModelNotFound):
            await service.cleaning.plan([Selected(id="../models/mine")])


async def test_a_start_ends_what_a_killed_program_left(tmp_path: Path, cache: HubCache) -> None:
    async with opened(tmp_path, Loaded("org/B", "asleep")) as service:
        (gone,) = (await removed(service, Selected(id="org/B"))).trashed
    journal = tmp_path / "home" / "trash" / f"{gone.id}.json"
    journal.write_bytes(journal.read_bytes().replace(b'"removed"', b'"removing"'))
    async with opened(tmp_path, Loaded("org/B", "asleep")) as service:
        assert "org/B" in {entry.id for entry in service.models()}
        assert Trash(tmp_path / "home").items() == ()


async def test_an_adapter_whose_base_goes_is_unloaded_too(tmp_path: Path, cache: HubCache) -> None:
    adapter = tmp_path / "models" / "lora"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"model": "mine"}')
    (adapter / "adapters.safetensors").write_bytes(b"a" * 10)
    provider = Loaded("lora", "awake")
    async with opened(tmp_path, provider) as service:
        assert (await removed(service, Selected(id="mine"))).unloaded == ("lora",)
    assert (adapter / "adapters.safetensors").exists()
