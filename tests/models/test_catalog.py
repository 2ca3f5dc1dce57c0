"""What the catalogue finds, under which ids, and what it refuses to follow."""

import json
from pathlib import Path

import pytest

from mlx_harmony.errors import ModelNotFound
from mlx_harmony.models.catalog import Catalog, Places, scan, starter_folder
from mlx_harmony.models.hub_cache import hub_cache_folder
from mlx_harmony.records import ModelEntry
from mlx_harmony.settings import Settings
from tests.fixtures.hub_cache import CONFIG, build, model_files


def model(folder: Path, **config: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}))
    (folder / "model.safetensors").write_bytes(b"w" * 1000)
    return folder


def places(starter: Path, **others: object) -> Places:
    return Places(starter=starter, **others)  # type: ignore[arg-type]


@pytest.fixture
def starter(tmp_path: Path) -> Path:
    return model(tmp_path / "assets" / "starter", model_type="gpt_oss")


def test_the_starter_comes_first_under_its_own_id(starter: Path) -> None:
    (entry,) = scan(places(starter))
    assert (entry.id, entry.source, entry.format, entry.problem) == ("starter", "bundled", "harmony", "")
    assert starter_folder().parts[-2:] == ("assets", "starter")


def test_a_folders_models_are_listed_by_their_names_with_what_their_config_says(starter: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    found = model(folder / "mine")
    model(folder / ".hidden")
    (folder / "notes").mkdir()
    (folder / "readme.txt").write_text("")
    entry = scan(places(starter, folders=(folder,)))[1]
    assert (entry.id, entry.path, entry.source, entry.architecture) == ("mine", str(found), "folder", "llama")
    assert (entry.bits, entry.context_length) == (4, 2048)
    assert entry.bytes == 1000 + (found / "config.json").stat().st_size and entry.modified_at > 0


def test_a_models_folder_that_is_itself_a_model_is_that_model(starter: Path, tmp_path: Path) -> None:
    found = model(tmp_path / "mine")
    assert [entry.id for entry in scan(places(starter, folders=(found,)))] == ["starter", "mine"]


def test_equal_names_are_told_apart_in_the_order_of_the_places(starter: Path, tmp_path: Path) -> None:
    first, second = model(tmp_path / "1" / "same"), model(tmp_path / "2" / "same")
    model(tmp_path / "2" / "starter")
    folders = (tmp_path / "1", tmp_path / "2", tmp_path / "1")
    entries = scan(places(starter, folders=folders))
    assert [(entry.id, entry.path) for entry in entries[1:3]] == [("same", str(first)), ("same-2", str(second))]
    assert [entry.id for entry in entries] == ["starter", "same", "same-2", "starter-2"]


def test_a_model_folder_named_by_the_person_is_the_default(tmp_path: Path) -> None:
    found = model(tmp_path / "somewhere" / "chosen")
    settings = Settings(home=str(tmp_path), model=str(found), models_dirs=(str(tmp_path / "somewhere"),))
    known = Catalog(Places.of(settings))
    assert known.find_chosen(settings.model).path == str(found)
    assert [entry.id for entry in known.entries()].count("chosen") == 1
    assert known.find_chosen("starter").id == "starter"


@pytest.mark.parametrize("model_id", ["../x", "/etc", "models--org--A", "mine/../mine", "", "\x00", "mine/"])
def test_ids_are_looked_up_and_never_followed(starter: Path, tmp_path: Path, model_id: str) -> None:
    model(tmp_path / "models" / "mine")
    model(tmp_path / "x")
    known = Catalog(places(starter, folders=(tmp_path / "models",)))
    with pytest.raises(ModelNotFound) as caught:
        known.find(model_id)
    assert caught.value.hint == "Known: starter, mine."


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "damaged"),
        (b"[]", "damaged"),
        (b"[" * 100_000, "damaged"),
        (b'{"a": "\xff"}', "damaged"),
        (b"{}", "model_type"),
        (b'{"model_type": 3}', "model_type"),
        (b'{"model_type": "llama", "auto_map": {"a": "b"}}', "code"),
        (b" " * (9 * 2**20), "too large"),
    ],
)
def test_a_config_that_cannot_be_used_is_a_problem_of_its_entry(starter: Path, tmp_path: Path, content: bytes, problem: str) -> None:
    folder = model(tmp_path / "models" / "bad")
    (folder / "config.json").write_bytes(content)
    entry = scan(places(starter, folders=(tmp_path / "models",)))[1]
    assert problem in entry.problem and entry.format == "unsupported"


def test_missing_parts_are_problems(starter: Path, tmp_path: Path) -> None:
    (model(tmp_path / "models" / "no-config") / "config.json").unlink()
    (model(tmp_path / "models" / "no-weights") / "model.safetensors").unlink()
    entries = {entry.id: entry.problem for entry in scan(places(tmp_path / "absent", folders=(tmp_path / "models", tmp_path / "gone")))}
    assert entries["no-config"] == "Its config.json is missing." and "no weights" in entries["no-weights"]
    assert entries["starter"] == "Its config.json is missing."


def test_sentinels_and_nonsense_in_a_config_are_not_shown(starter: Path, tmp_path: Path) -> None:
    model(tmp_path / "models" / "odd", max_position_embeddings=10**30, quantization={"bits": "four"}, quantization_config=True)
    entry = scan(places(starter, folders=(tmp_path / "models",)))[1]
    assert entry.context_length is None and entry.bits is None


def test_the_hub_cache_lists_its_mlx_models_only(starter: Path, tmp_path: Path) -> None:
    cache = build(tmp_path / "hub")
    entries = {entry.id: entry for entry in scan(places(starter, hub_cache=cache.root))}
    assert set(entries) == {"starter", "org/A", "org/B", "org/E"}
    assert entries["org/B"].path.endswith("snapshots/b2") and entries["org/B"].source == "hub_cache"
    assert entries["org/A"].problem == "" and "missing" in entries["org/E"].problem


def test_a_snapshot_that_leads_out_of_the_cache_is_a_problem(starter: Path, tmp_path: Path) -> None:
    cache = build(tmp_path / "hub")
    secret = tmp_path / "secret"
    secret.write_text("s")
    snapshot = cache.repository("org/A") / "snapshots" / "a1"
    (snapshot / "tokenizer.json").symlink_to(secret)
    (cache.repository("org/B") / "refs" / "main").write_text("../../../somewhere")
    circle = cache.revision("org/F", "f1", model_files())
    (circle / "circle").symlink_to(circle / "circle")
    entries = {entry.id: entry for entry in scan(places(starter, hub_cache=cache.root))}
    assert "leads out" in entries["org/A"].problem and "circle" in entries["org/F"].problem
    assert Path(entries["org/B"].path).parent == cache.repository("org/B") / "snapshots"


def test_an_unfinished_download_is_a_problem(starter: Path, tmp_path: Path) -> None:
    (tmp_path / "hub" / "models--org--half" / "blobs").mkdir(parents=True)
    entry = scan(places(starter, hub_cache=tmp_path / "hub"))[1]
    assert entry.id == "org/half" and "not complete" in entry.problem
    assert len(scan(places(starter, hub_cache=tmp_path / "nothing"))) == 1


def test_the_hub_cache_is_where_its_variables_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert hub_cache_folder() == Path.home() / ".cache" / "huggingface" / "hub"
    for name, value, expected in (
        ("XDG_CACHE_HOME", "/x", "/x/huggingface/hub"),
        ("HF_HOME", "/h", "/h/hub"),
        ("HF_HUB_CACHE", "/c", "/c"),
    ):
        monkeypatch.setenv(name, value)
        assert hub_cache_folder() == Path(expected)


def test_a_new_model_is_found_at_once_and_lists_are_not_scanned_again_and_again(starter: Path, tmp_path: Path) -> None:
    scans = []

    def counted(where: Places) -> tuple[ModelEntry, ...]:
        scans.append(where)
        return scan(where)

    known = Catalog(places(starter, folders=(tmp_path / "models",)), counted)
    for _ in range(50):
        known.entries()
    assert len(scans) == 1
    model(tmp_path / "models" / "new")
    assert known.find("new").id == "new" and len(scans) == 2
