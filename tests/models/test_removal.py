"""What a removal would take away, and what it refuses: never more than was selected, never outside of the holding's root."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from mlx_harmony.errors import HarmonyError, InvalidRequest, ModelNotFound, StorageError, Unavailable
from mlx_harmony.models.catalog import Places, starter_folder
from mlx_harmony.models.disk import freed_by, inside
from mlx_harmony.models.holdings import holdings
from mlx_harmony.models.removal import Removal, Selected, plan
from tests.fixtures.hub_cache import HubCache, build, disk_use, model_files
from tests.models.test_catalog import model
from tests.models.test_holdings import two_revisions

OLD, NEW = "1" * 40, "2" * 40


def planned(cache: HubCache, *selection: Selected, **others: object) -> Removal:
    return plan(holdings(Places(starter=starter_folder(), hub_cache=cache.root, **others)), selection)  # type: ignore[arg-type]


def test_a_model_goes_whole_and_frees_what_it_takes(tmp_path: Path) -> None:
    cache = build(tmp_path)
    removal = planned(cache, Selected(id="org/A"))
    (item,) = removal.items
    assert item.whole and item.moves == (str(cache.repository("org/A")),) and item.revisions == ("a1",) and item.refs == ("main",)
    assert removal.freed_bytes == disk_use(cache.repository("org/A"))
    free = shutil.disk_usage(tmp_path).free
    assert abs(removal.free_bytes_before - free) < 50_000_000
    assert removal.free_bytes_after == removal.free_bytes_before + removal.freed_bytes


@pytest.mark.parametrize("revision", [OLD, OLD[:6], "v1"])
def test_of_a_revision_goes_what_no_other_needs(tmp_path: Path, revision: str) -> None:
    cache = two_revisions(tmp_path)
    repository = cache.repository("org/B")
    (repository / "refs" / "v1").write_text(OLD)
    removal = planned(cache, Selected(id="org/B", revision=revision))
    (item,) = removal.items
    assert not item.whole and item.revisions == (OLD,) and item.refs == ("v1",)
    assert [str(Path(path).relative_to(repository)) for path in item.moves] == [
        "refs/v1",
        f"snapshots/{OLD}",
        "blobs/config.json-100",
        "blobs/old-tokenizer.json-30000",
    ]
    assert item.keeps == (str(repository / "blobs" / "model.safetensors-200000"),)
    assert removal.freed_bytes == 30_100 + 40


def test_a_model_whose_last_revisions_go_goes_whole(tmp_path: Path) -> None:
    cache = two_revisions(tmp_path)
    removal = planned(cache, Selected(id="org/B", revision=OLD), Selected(id="org/B", revision="main"))
    assert removal.items[0].whole and removal.freed_bytes == disk_use(cache.repository("org/B"))
    assert planned(build(tmp_path / "2"), Selected(id="org/A", revision="main")).items[0].whole


def test_half_downloads_go_alone_or_with_a_revision(tmp_path: Path) -> None:
    cache = two_revisions(tmp_path)
    half = cache.incomplete("org/B", 7_000)
    removal = planned(cache, Selected(id="org/B", incomplete_only=True))
    assert removal.items[0].moves == (str(half),) and removal.freed_bytes == 7_000 == removal.items[0].incomplete_bytes
    both = planned(cache, Selected(id="org/B", incomplete_only=True), Selected(id="org/B", revision=OLD))
    assert len(both.items) == 1 and both.freed_bytes == 7_000 + 30_100


def test_a_file_that_two_models_share_is_freed_when_both_go(tmp_path: Path) -> None:
    cache = HubCache(tmp_path)
    for name in ("org/one", "org/two"):
        cache.revision(name, OLD, {"model.safetensors": b"w" * 100_000, "config.json": b"{}"})
        payload = cache.share(next((cache.repository(name) / "blobs").glob("model*")))
    alone = planned(cache, Selected(id="org/one"))
    assert alone.freed_bytes == 42 and alone.items[0].keeps == (str(payload),)
    both = planned(cache, Selected(id="org/one"), Selected(id="org/two"))
    assert both.freed_bytes == 100_000 + 84 and str(payload) in both.items[1].moves
    payload.with_name(f"{payload.name}.refs").unlink()
    unknown = planned(cache, Selected(id="org/one"), Selected(id="org/two"))
    assert unknown.freed_bytes == 84, "without its list nobody knows who else needs it"


@pytest.mark.parametrize("name", ["../hub", "/etc", "org/A/../B", "models--org--A", "org/Α", "", "org/A\x00", "x" * 500])
def test_an_id_that_is_not_listed_is_refused_and_never_followed(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        planned(build(tmp_path / "hub"), Selected(id=name))
    assert "Known: " in caught.value.hint and len(caught.value.message) < 200


@pytest.mark.parametrize("revision", ["../../models--org--A", "..", "1", "f" * 40, "/", "refs/../main", "*"])
def test_a_revision_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path, revision: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        planned(two_revisions(tmp_path), Selected(id="org/B", revision=revision))
    assert OLD in caught.value.hint


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        ((), "Nothing is selected"),
        ((Selected(id="starter"),), "comes with the program"),
        ((Selected(id="org/A", incomplete_only=True),), "no half downloads"),
        ((Selected(id="mine", revision="main"),), "no revisions"),
        ((Selected(id="mine", incomplete_only=True),), "no half downloads"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, selection: tuple[Selected, ...], said: str) -> None:
    model(tmp_path / "models" / "mine")
    with pytest.raises(InvalidRequest, match=said):
        planned(build(tmp_path / "hub"), *selection, folders=(tmp_path / "models",))


def test_a_folder_that_holds_more_than_its_model_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = HubCache(tmp_path / "models" / "outer" / "hub")
    outer = model(tmp_path / "models" / "outer")
    model(tmp_path / "person" / "mine")
    (tmp_path / "nothing").mkdir()
    places = {"folders": (tmp_path / "models", tmp_path / "person"), "chosen": tmp_path / "nothing"}
    assert planned(cache, Selected(id="outer"), **places).freed_bytes == disk_use(outer)
    cache.revision("org/A", OLD, model_files())
    for name in ("outer", "nothing"):
        with pytest.raises(InvalidRequest, match="from here"):
            planned(cache, Selected(id=name), **places)
    monkeypatch.setenv("HOME", str(tmp_path / "person" / "mine"))
    with pytest.raises(InvalidRequest, match="from here"):
        planned(cache, Selected(id="mine"), **places)


@pytest.mark.parametrize("part", ["", "blobs", "snapshots", "refs"])
def test_a_repository_that_leads_elsewhere_is_not_deleted_from_here(tmp_path: Path, part: str) -> None:
    cache = build(tmp_path / "hub")
    folder = cache.repository("org/A") / part
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidRequest, match="leads out"):
        planned(cache, Selected(id="org/A"))


def test_a_model_folder_that_is_a_link_is_not_deleted_from_here(tmp_path: Path) -> None:
    model(tmp_path / "elsewhere" / "mine")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine").symlink_to(tmp_path / "elsewhere" / "mine")
    with pytest.raises(InvalidRequest, match="leads out"):
        planned(build(tmp_path / "hub"), Selected(id="mine"), folders=(tmp_path / "models",))


def test_an_adapter_goes_without_the_model_that_it_is_over(tmp_path: Path) -> None:
    base, adapter = model(tmp_path / "models" / "mine-4bit"), tmp_path / "models" / "lora"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"model": "mine-4bit"}')
    (adapter / "adapters.safetensors").write_bytes(b"a" * 10)
    places = {"folders": (tmp_path / "models",)}
    removal = planned(HubCache(tmp_path / "hub"), Selected(id="lora"), **places)
    assert removal.items[0].kind == "adapter" and removal.items[0].moves == (str(adapter),)
    assert planned(HubCache(tmp_path / "hub"), Selected(id="mine-4bit"), **places).items[0].moves == (str(base),)


def test_blobs_that_lead_out_of_the_cache_stay_where_they_are(tmp_path: Path) -> None:
    cache = build(tmp_path / "hub")
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * 10_000)
    snapshot = cache.repository("org/B") / "snapshots" / "b1"
    (snapshot / "tokenizer.json").symlink_to(secret)
    (snapshot / "up").symlink_to("../../../models--org--A/blobs/model.safetensors-100")
    removal = planned(cache, Selected(id="org/B", revision="b1"))
    root = cache.repository("org/B")
    assert all(Path(path).is_relative_to(root) for path in removal.items[0].moves) and removal.freed_bytes < 1_000


def test_a_shared_store_that_leads_elsewhere_stays_whole(tmp_path: Path) -> None:
    cache = HubCache(tmp_path / "hub")
    cache.revision("org/one", OLD, model_files(100_000))
    payload = cache.share(next((cache.repository("org/one") / "blobs").glob("model*")))
    payload.parent.rename(tmp_path / "elsewhere")
    payload.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidRequest, match="leads out"):
        planned(cache, Selected(id="org/one"))


def test_containment_is_by_folder_and_not_by_the_letters_of_a_path(tmp_path: Path) -> None:
    (tmp_path / "hub-2").mkdir()
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "out").symlink_to(tmp_path / "hub-2")
    assert inside(tmp_path / "hub", tmp_path / "hub" / "new" / "x")
    for path in ("hub-2/x", "hub/../x", "hub/out/x", "x", "hub/.."):
        assert not inside(tmp_path / "hub", tmp_path / path)


@pytest.mark.parametrize("selected", [Selected(id="org/B"), Selected(id="org/B", revision=OLD), Selected(id="org/B", incomplete_only=True)])
def test_nothing_goes_of_what_is_being_downloaded(tmp_path: Path, selected: Selected) -> None:
    cache = two_revisions(tmp_path)
    half = cache.incomplete("org/B", 7_000, age_s=1.0)
    with pytest.raises(Unavailable, match="being downloaded"):
        planned(cache, selected)
    os.utime(half, (1, 1))
    lock = cache.root / ".locks" / "models--org--B" / "abc.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match="being downloaded"):
            planned(cache, selected)
    assert planned(cache, selected).items


def test_a_lock_of_the_hub_s_own_library_is_seen(tmp_path: Path) -> None:
    from huggingface_hub.utils import WeakFileLock

    cache = two_revisions(tmp_path)
    lock = cache.root / ".locks" / "models--org--B" / "abc.lock"
    lock.parent.mkdir(parents=True)
    with WeakFileLock(lock), pytest.raises(Unavailable):
        planned(cache, Selected(id="org/B"))


@pytest.fixture
def somebody_else() -> Iterator[Path]:
    """A folder that the tests' own user may read and another one is at; root would be let through anywhere."""
    folder = Path(mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    cache = build(folder / "hub")
    for path in (*cache.root.rglob("*"), cache.root):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o555)
    try:
        if os.geteuid() == 0:
            os.seteuid(65534)
        yield cache.root
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        for path in (folder, *folder.rglob("*")):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
        shutil.rmtree(folder)


@pytest.mark.parametrize("selected", [Selected(id="org/A"), Selected(id="org/B", revision="b1")])
def test_a_read_only_cache_is_told_before_anything_is_touched(somebody_else: Path, selected: Selected) -> None:
    with pytest.raises(StorageError, match="cannot be written to") as caught:
        planned(HubCache(somebody_else), selected)
    assert "Nothing was changed" in caught.value.hint


def test_every_refusal_says_what_to_do(tmp_path: Path) -> None:
    cache = two_revisions(tmp_path)
    for selected in (Selected(id="starter"), Selected(id="x"), Selected(id="org/B", revision="x")):
        with pytest.raises(HarmonyError) as caught:
            planned(cache, selected)
        assert caught.value.hint and caught.value.message.endswith(".")


def test_files_with_a_name_elsewhere_free_nothing_and_holes_count_nothing(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(b"a" * 5_000)
    os.link(tmp_path / "in" / "a", tmp_path / "outside")
    os.link(tmp_path / "in" / "a", tmp_path / "in" / "again")
    assert freed_by([tmp_path / "in"]) == 0
    assert freed_by([tmp_path / "in", tmp_path / "outside", tmp_path / "nothing"]) == 5_000
    with (tmp_path / "holes").open("wb") as file:
        file.write(b"x" * 8_192)
        file.truncate(10_000_000)
    assert freed_by([tmp_path / "holes"]) < 100_000
