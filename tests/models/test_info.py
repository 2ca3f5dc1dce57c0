"""What is known of each model: revisions, bytes, use, kin; read once, and without leaving a trace of the reading."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from mlx_harmony.models.catalog import Places, scan
from mlx_harmony.models.holdings import holdings
from mlx_harmony.models.info import Known, ModelInfo, infos_of, row_of
from mlx_harmony.models.outlook import needs_of
from mlx_harmony.models.reading import opened
from mlx_harmony.records import ChatName, ChatUses, ModelEntry
from tests.fixtures.hub_cache import CONFIG, HubCache, build, model_files


@pytest.fixture
def cache(tmp_path: Path) -> HubCache:
    return build(tmp_path / "hub")


def known(places: Places, others: Known = Known()) -> dict[str, ModelInfo]:  # noqa: B008
    return {info.entry.id: info for info in infos_of(scan(places), others)}


def hub(cache: HubCache, others: Known = Known()) -> dict[str, ModelInfo]:  # noqa: B008
    return known(Places(starter=cache.root / "none", hub_cache=cache.root), others)


def test_a_model_from_the_hub_is_told_with_its_revision_and_what_leads_there(cache: HubCache) -> None:
    (cache.repository("org/B") / "refs" / "v1").write_text("b1")
    found = hub(cache)["org/B"]
    assert (found.revision, found.ref, found.revisions) == ("b2", "main", ("b2", "b1"))
    detached = cache.revision("org/F", "f1", model_files(), main=False).name
    assert (hub(cache)["org/F"].revision, hub(cache)["org/F"].ref) == (detached, "")


def test_a_model_takes_what_its_blobs_take_each_counted_once(cache: HubCache) -> None:
    cache.incomplete("org/B", 5000)
    found = hub(cache)["org/B"]
    blobs = [file for file in (cache.repository("org/B") / "blobs").iterdir() if file.suffix != ".incomplete"]
    assert found.disk_bytes == sum(file.stat().st_size for file in blobs)
    assert found.entry.bytes < found.disk_bytes < 2 * found.entry.bytes
    held = {each.id: each.bytes for each in holdings(Places(starter=cache.root / "none", hub_cache=cache.root))}
    assert found.disk_bytes == held["org/B"]
    cache.revision("org/B", "b3", model_files(700))
    assert (hub(cache)["org/B"].revision, hub(cache)["org/B"].disk_bytes) == ("b3", found.disk_bytes + 700)


def test_a_damaged_or_unfinished_model_is_not_complete_and_says_why(cache: HubCache) -> None:
    (cache.root / "models--org--half" / "blobs").mkdir(parents=True)
    index = json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}).encode()
    cache.revision("org/cut", "c1", {"config.json": json.dumps(CONFIG).encode(), "model.safetensors.index.json": index})
    found = hub(cache)
    assert found["org/cut"].lacks == found["org/cut"].entry.problem == "2 of its 2 files of weights are missing. Download it again."
    assert found["org/A"].complete and found["org/A"].lacks == ""
    assert not found["org/E"].complete and found["org/E"].lacks == "Its file model.safetensors is missing. Download it again."
    assert not found["org/half"].complete and "no snapshot" in found["org/half"].lacks


def test_a_model_that_is_merely_not_supported_is_complete(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "coded"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, "auto_map": {"a": "b"}}))
    (folder / "model.safetensors").write_bytes(b"w" * 100)
    found = known(Places(starter=tmp_path, folders=(tmp_path / "models",)))["coded"]
    assert "code" in found.entry.problem and found.complete


def test_weights_are_counted(fx1: Path) -> None:
    from safetensors.numpy import load_file

    numbers = sum(tensor.size for path in fx1.glob("*.safetensors") for tensor in load_file(path).values())
    assert known(Places(starter=fx1))["starter"].parameters == numbers


def test_last_used_is_the_newest_of_what_was_noted_and_when_the_weights_were_read(fx1: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(fx1, tmp_path / "model"))
    for file in folder.iterdir():
        os.utime(file, (9000 if file.suffix == ".json" else 2000, 1000))
    place = Places(starter=folder)
    assert known(place)["starter"].last_used_at == 2000
    assert known(place, Known(used={str(folder): 1500.0}))["starter"].last_used_at == 2000
    assert known(place, Known(used={str(folder): 2500.0}))["starter"].last_used_at == 2500


def test_looking_at_models_is_no_use_of_them(fx1: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(fx1, tmp_path / "model"))
    probe = tmp_path / "probe"
    probe.write_text("x")
    # A file that was last read before it was written is marked at its next reading, on almost every file system.
    for file in (probe, *folder.iterdir()):
        os.utime(file, (1000, 2000))
    probe.read_text()
    with opened(folder / "config.json") as file:
        file.read()
    if probe.stat().st_atime == 1000 or (folder / "config.json").stat().st_atime != 1000:
        pytest.skip("this file system keeps no times of reading, or always")
    (info,) = known(Places(starter=folder)).values()
    row_of(info, needs_of)
    assert {file.name: file.stat().st_atime for file in folder.iterdir() if file.stat().st_atime != 1000} == {}


def write_kin(folder: Path, tokenizer: str, size: int) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": [], "model": tokenizer}))
    (folder / "model.safetensors").write_bytes(b"w" * size)


def test_smaller_models_with_an_identical_tokenizer_may_guess(tmp_path: Path) -> None:
    models = tmp_path / "models"
    for name, tokenizer, size in (("big", "one", 900), ("small", "one", 100), ("middle", "one", 500), ("other", "two", 100)):
        write_kin(models / name, tokenizer, size)
    write_kin(models / "broken", "one", 50)
    (models / "broken" / "model.safetensors").unlink()
    places = Places(starter=tmp_path, folders=(models,))
    assert {name: info.drafts for name, info in known(places).items() if name != "starter"} == {
        "big": ("middle", "small"),
        "middle": ("small",),
        "small": (),
        "other": (),
        "broken": (),
    }
    (models / "small" / "tokenizer.json").write_text(json.dumps({"added_tokens": [], "model": "two"}))
    assert known(places)["big"].drafts == ("middle",)
    assert known(places)["small"].drafts == ()


def test_an_adapter_has_its_base_s_drafts_and_guesses_for_nobody(tmp_path: Path) -> None:
    for name, size in (("big", 900), ("small", 100)):
        write_kin(tmp_path / "models" / name, "one", size)
    entries = scan(Places(starter=tmp_path, folders=(tmp_path / "models",)))[1:]
    adapter = msgspec.structs.replace(entries[0], id="mine", adapter=str(tmp_path), base="big", bytes=10)
    drafts = {info.entry.id: info.drafts for info in infos_of((*entries, adapter))}
    assert drafts == {"big": ("small",), "small": (), "mine": ("small",)}


def test_profiles_and_chats_stand_with_the_model_they_name(cache: HubCache) -> None:
    named = ChatName(id="c", title="A chat")
    chats = {"org/A": ChatUses(count=3, latest=(named,)), "gone": ChatUses(count=9)}
    found = hub(cache, Known(profiles={"org/A": ("work", "play")}, chats=chats))
    assert (found["org/A"].profiles, found["org/A"].chats, found["org/A"].latest_chats) == (("work", "play"), 3, (named,))
    assert row_of(found["org/A"], needs_of)["latest_chats"] == ({"id": "c", "title": "A chat"},)
    assert (found["org/B"].profiles, found["org/B"].chats) == ((), 0)


def test_a_row_has_all_of_the_entry_and_all_that_is_known(cache: HubCache) -> None:
    info = hub(cache)["org/B"]
    row = row_of(info, needs_of)
    rest = {name for name in ModelInfo.__struct_fields__ if name not in ("entry", "disk_bytes")}
    assert set(row) == {*ModelEntry.__struct_fields__, *rest, "revision_bytes", "complete", "memory"}
    assert (row["bytes"], row["revision_bytes"], row["complete"]) == (info.disk_bytes, info.entry.bytes, True)
    assert json.loads(json.dumps(row))["revisions"] == ["b2", "b1"]


def timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def test_a_hundred_models_are_told_of_in_no_time_once_they_are_known(tmp_path: Path) -> None:
    cache = HubCache(tmp_path / "hub")
    tokenizer = json.dumps({"added_tokens": [], "model": "x" * 200_000}).encode()
    for at in range(100):
        cache.revision(f"org/model-{at}", f"r{at}", {**model_files(100 + at), "tokenizer.json": tokenizer})
    entries = scan(Places(starter=tmp_path, hub_cache=cache.root))
    assert len(infos_of(entries)[100].drafts) == 99
    assert min(timed(lambda: infos_of(entries)) for _ in range(3)) < 0.5
