"""LoRA weights in the catalogue: models of their own, over a model of this machine, found by its id, its folder or its name."""

import json
import shutil
from pathlib import Path

import pytest

from mlx_harmony.errors import InvalidRequest, LoadFailed, ModelNotFound
from mlx_harmony.library import Library
from mlx_harmony.models import outlook
from mlx_harmony.models.catalog import Catalog, Places, scan, starter_folder
from mlx_harmony.models.drafting import Listed, with_drafts
from mlx_harmony.models.outlook import needs_of
from mlx_harmony.records import GenerationRequest, ModelEntry, TextPrompt
from mlx_harmony.settings import Settings
from tests.fixtures.adapters import build_adapter


@pytest.fixture
def mine(tmp_path: Path, fx1: Path) -> Path:
    """A folder with FX1 as `little` and an adapter for it."""
    folder = tmp_path / "mine"
    shutil.copytree(fx1, folder / "little")
    build_adapter(folder / "manners", str(folder / "little"))
    return folder


def listed(folder: Path) -> dict[str, ModelEntry]:
    return {entry.id: entry for entry in scan(Places(starter=starter_folder(), folders=(folder,)))}


def test_an_adapter_is_a_model_of_its_own_over_its_base(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlook, "available_bytes", lambda: 10**10)
    found = listed(mine)
    base, adapter = found["little"], found["manners"]
    assert (adapter.path, adapter.adapter, adapter.base) == (base.path, str(mine / "manners"), "little")
    assert (adapter.folder, base.folder) == (str(mine / "manners"), str(mine / "little"))
    assert (adapter.architecture, adapter.format, adapter.context_length) == (base.architecture, base.format, base.context_length)
    assert adapter.bytes == sum(file.stat().st_size for file in (mine / "manners").iterdir())
    assert adapter.problem == "" and needs_of(adapter) == needs_of(base)


@pytest.mark.parametrize("named", ["little", "somebody/little", "/elsewhere/models/little", "./little"])
def test_a_base_that_has_moved_is_found_by_its_name(named: str, mine: Path) -> None:
    build_adapter(mine / "manners", named)
    assert listed(mine)["manners"].base == "little"


@pytest.mark.parametrize("named", ["nobody/nothing", "../../etc", "a\0b", "x" * 10_000])
def test_a_base_that_is_not_here_is_the_adapter_s_problem(named: str, mine: Path) -> None:
    build_adapter(mine / "manners", named)
    adapter = listed(mine)["manners"]
    assert "not on this machine" in adapter.problem and adapter.path == str(mine / "manners")


@pytest.mark.parametrize("content", ["{", "[]", '{"model": 3}', "[" * 100_000])
def test_a_damaged_config_is_a_problem_and_no_crash(content: str, mine: Path) -> None:
    (mine / "manners" / "adapter_config.json").write_text(content)
    assert "adapter_config.json" in listed(mine)["manners"].problem


def test_missing_weights_and_other_kinds_of_adapters_are_named(mine: Path) -> None:
    weights = mine / "manners" / "adapters.safetensors"
    weights.rename(weights.with_name("adapter_model.safetensors"))
    assert "PEFT" in listed(mine)["manners"].problem
    weights.with_name("adapter_model.safetensors").unlink()
    assert "no LoRA weights" in listed(mine)["manners"].problem


def test_a_broken_base_breaks_its_adapter(mine: Path) -> None:
    (mine / "little" / "config.json").write_text("{")
    assert "little cannot be used" in listed(mine)["manners"].problem


def test_an_adapter_that_a_setting_names_is_found_by_its_folder(mine: Path) -> None:
    settings = Settings(home="", model=str(mine / "manners"), models_dirs=(str(mine),))
    assert Catalog(Places.of(settings)).find_chosen(settings.model).id == "manners"
    assert Library(settings).here(str(mine / "manners")) == "manners"
    assert Library(settings).here(str(mine / "little")) == "little"


def test_a_request_names_an_adapter_by_id_or_folder_and_its_base_or_none(mine: Path) -> None:
    library = Library(Settings(home="", models_dirs=(str(mine),)))
    for model, adapter in ((None, "manners"), ("little", "manners"), ("manners", "manners"), ("little", str(mine / "manners"))):
        assert library.adapted(model, adapter).id == "manners"
    with pytest.raises(InvalidRequest, match="is for little, not for starter") as refused:
        library.adapted("starter", "manners")
    assert refused.value.param == "adapter"


def test_adapters_outside_the_catalogue_are_not_there(mine: Path, tmp_path: Path) -> None:
    build_adapter(tmp_path / "elsewhere", str(mine / "little"))
    library = Library(Settings(home="", models_dirs=(str(mine),)))
    for named in (str(tmp_path / "elsewhere"), str(mine / "manners" / ".." / ".." / "elsewhere"), "little", "/etc", "a\0b"):
        with pytest.raises(ModelNotFound) as refused:
            library.adapted(None, named)
        assert "manners" in refused.value.hint and refused.value.param == "adapter"
    with pytest.raises(LoadFailed, match="not on this machine"):
        shutil.rmtree(mine / "little")
        Library(Settings(home="", models_dirs=(str(mine),))).usable("manners")


def test_an_adapter_never_guesses_and_what_is_under_it_counts_as_large_as_it_is(mine: Path) -> None:
    settings = Settings(home="", draft_model="auto", models_dirs=(str(mine),))
    models = Listed(settings, Catalog(Places.of(settings)))
    found = {entry.id: entry for entry in models.models()}
    request = GenerationRequest(id="r", prompt=TextPrompt(text="hi"))
    by_starter, by_adapter = (with_drafts(models, found[name], request).drafts for name in ("starter", "manners"))
    assert [draft.id for draft in by_starter] == ["little"]
    assert by_adapter == with_drafts(models, found["little"], request).drafts
    config = json.loads((mine / "manners" / "adapter_config.json").read_text())
    assert config["model"] == str(mine / "little")
