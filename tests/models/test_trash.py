"""The trash for models: what goes comes back byte by byte, what is emptied frees what was promised, and a failure changes nothing."""

import errno
import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import pytest

from mlx_harmony.errors import InvalidRequest, StorageError
from mlx_harmony.models.catalog import Places
from mlx_harmony.models.holdings import Holding, holdings
from mlx_harmony.models.removal import Removal, Selected, plan
from mlx_harmony.models.trash import BESIDE, Trash
from tests.fixtures.hub_cache import HubCache, disk_use, model_files, tree
from tests.models.test_catalog import model
from tests.models.test_holdings import two_revisions

OLD, NEW = "1" * 40, "2" * 40
WHOLE, PART = Selected(id="org/B"), Selected(id="org/B", revision=OLD)


@pytest.fixture
def cache(tmp_path: Path) -> HubCache:
    made = two_revisions(tmp_path / "hub")
    (made.repository("org/B") / "refs" / "refs" / "pr").mkdir(parents=True)
    (made.repository("org/B") / "refs" / "refs" / "pr" / "1").write_text(OLD)
    made.revision("org/A", OLD, model_files(1_000))
    return made


@pytest.fixture
def trash(tmp_path: Path) -> Trash:
    return Trash(tmp_path / "home")


def held(cache: HubCache) -> tuple[Holding, ...]:
    return holdings(Places(starter=cache.root / "none", hub_cache=cache.root, folders=(cache.root.parent / "models",)))


def planned(cache: HubCache, *selection: Selected) -> Removal:
    return plan(held(cache), selection)


@pytest.mark.parametrize("selected", [WHOLE, PART])
def test_what_was_deleted_comes_back_as_it_was(cache: HubCache, trash: Trash, selected: Selected) -> None:
    before = tree(cache.root)
    (gone,) = trash.take(planned(cache, selected))
    assert trash.items() == (gone,) and gone.model == "org/B" and gone.problem == ""
    assert tree(cache.root) != before
    assert trash.restore(gone.id) == gone
    assert tree(cache.root) == before and trash.items() == () and trash.bytes() == 0


def test_of_two_revisions_the_other_stays_identical_and_complete(cache: HubCache, trash: Trash) -> None:
    repository = cache.repository("org/B")
    kept = {
        name: (repository / "snapshots" / NEW / name).read_bytes() for name in ("config.json", "model.safetensors", "extra.safetensors")
    }
    others = tree(cache.repository("org/A"))
    trash.take(planned(cache, PART))
    assert {name: (repository / "snapshots" / NEW / name).read_bytes() for name in kept} == kept
    assert tree(cache.repository("org/A")) == others
    (holding,) = [each for each in held(cache) if each.id == "org/B"]
    assert [revision.commit for revision in holding.revisions] == [NEW] and holding.problem == ""


@pytest.mark.parametrize("selected", [WHOLE, PART])
def test_emptying_frees_what_was_promised_and_the_dry_run_nothing(
    cache: HubCache, trash: Trash, tmp_path: Path, selected: Selected
) -> None:
    before = disk_use(tmp_path)
    promised = planned(cache, selected).freed_bytes
    assert disk_use(tmp_path) == before
    (gone,) = trash.take(planned(cache, selected))
    assert gone.bytes == trash.bytes() == promised and disk_use(tmp_path) >= before
    assert trash.empty([gone.id]) == promised
    assert abs(before - disk_use(tmp_path) - promised) <= promised * 0.01
    assert trash.items() == () and trash.bytes() == 0 and trash.empty() == 0


def test_a_revision_comes_back_whole_though_what_it_shared_was_deleted_for_good(cache: HubCache, trash: Trash) -> None:
    before = tree(cache.repository("org/B") / "snapshots" / OLD)
    weights = (cache.repository("org/B") / "snapshots" / OLD / "model.safetensors").read_bytes()
    (part,) = trash.take(planned(cache, PART))
    (rest,) = trash.take(planned(cache, WHOLE))
    assert rest.bytes < 100_000, "the revision in the trash still holds the weights"
    trash.empty([rest.id])
    trash.restore(part.id)
    assert tree(cache.repository("org/B") / "snapshots" / OLD) == before
    assert (cache.repository("org/B") / "snapshots" / OLD / "model.safetensors").read_bytes() == weights


def test_files_of_the_shared_store_come_back_to_it(tmp_path: Path, trash: Trash) -> None:
    cache = HubCache(tmp_path / "hub")
    for name in ("org/one", "org/two"):
        cache.revision(name, OLD, {**model_files(100_000), "own.safetensors": name.encode() * 1_000})
        payload = cache.share(next((cache.repository(name) / "blobs").glob("model.safe*")))
    before = tree(cache.root)
    (one,) = trash.take(planned(cache, Selected(id="org/one")))
    assert payload.exists() and (cache.repository("org/two") / "snapshots" / OLD / "model.safetensors").read_bytes() == b"w" * 100_000
    (two,) = trash.take(planned(cache, Selected(id="org/two")))
    assert not payload.exists() and trash.bytes() > 100_000
    manifest = payload.with_name(f"{payload.name}.refs")
    manifest.write_text("")  # Somebody has tidied it up.
    trash.restore(one.id)
    assert (cache.repository("org/one") / "snapshots" / OLD / "model.safetensors").read_bytes() == b"w" * 100_000
    trash.restore(two.id)
    after = tree(cache.root)
    assert set(manifest.read_text().splitlines()) == {f"models--org--{name}/blobs/model.safetensors-100000" for name in ("one", "two")}
    assert {path: told for path, told in after.items() if not path.endswith(".refs")} == {
        path: told for path, told in before.items() if not path.endswith(".refs")
    }


def test_what_is_in_the_way_is_left_and_so_is_the_trash(cache: HubCache, trash: Trash, tmp_path: Path) -> None:
    (gone,) = trash.take(planned(cache, WHOLE))
    cache.revision("org/B", NEW, model_files(50))
    there, inside = tree(cache.root), tree(tmp_path / "home")
    with pytest.raises(InvalidRequest, match="is there again") as caught:
        trash.restore(gone.id)
    assert caught.value.hint.startswith("Delete what is there first")
    assert "is there again" in trash.items()[0].problem
    assert tree(cache.root) == there and tree(tmp_path / "home") == inside


def test_a_ref_that_leads_on_by_now_is_left_so(cache: HubCache, trash: Trash) -> None:
    """A newer download of main must not be undone by bringing back an older one."""
    (gone,) = trash.take(planned(cache, Selected(id="org/B", revision="main")))
    cache.revision("org/B", "3" * 40, model_files(60))
    trash.restore(gone.id)
    assert (cache.repository("org/B") / "refs" / "main").read_text() == "3" * 40
    assert {each.commit for holding in held(cache) if holding.id == "org/B" for each in holding.revisions} == {OLD, NEW, "3" * 40}


@pytest.mark.parametrize("trash_id", ["", "..", "../../hub", "/etc", "nothing", "*"])
def test_only_what_is_in_the_trash_is_restored_or_emptied(cache: HubCache, trash: Trash, trash_id: str) -> None:
    trash.take(planned(cache, WHOLE))
    before = tree(cache.root.parent)
    for act in (trash.restore, lambda name: trash.empty([name])):
        with pytest.raises(InvalidRequest, match="in the trash"):
            act(trash_id)
    assert tree(cache.root.parent) == before


def test_emptying_follows_no_link(cache: HubCache, trash: Trash, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "file").write_text("s")
    (cache.repository("org/B") / "snapshots" / NEW / "out").symlink_to(secret)
    (cache.repository("org/B") / "snapshots" / NEW / "file").symlink_to(secret / "file")
    (cache.repository("org/B") / "blobs" / "folder").mkdir(mode=0o500)
    (gone,) = trash.take(planned(cache, WHOLE))
    trash.empty([gone.id])
    assert (secret / "file").read_text() == "s"
    (other,) = trash.take(planned(cache, Selected(id="org/A")))
    place = tmp_path / "home" / "trash" / other.id
    shutil.rmtree(place)
    place.symlink_to(secret)
    with pytest.raises(StorageError):
        trash.empty([other.id])
    assert (secret / "file").read_text() == "s"


def test_a_folder_s_model_goes_and_comes_back_too(cache: HubCache, trash: Trash, tmp_path: Path) -> None:
    folder = model(tmp_path / "models" / "mine")
    before = tree(tmp_path / "models")
    (gone,) = trash.take(planned(cache, Selected(id="mine")))
    assert not folder.exists()
    trash.restore(gone.id)
    assert tree(tmp_path / "models") == before


def test_folders_that_nothing_may_be_removed_from_are_removed_all_the_same() -> None:
    """Ours, that is; root could remove from them anyway."""
    folder = Path(mkdtemp(dir="/tmp"))
    folder.chmod(0o777)
    if os.getuid() == 0:
        os.seteuid(65534)
    try:
        cache, trash = two_revisions(folder / "hub"), Trash(folder / "home")
        (gone,) = trash.take(planned(cache, WHOLE))
        held_folder = folder / "home" / "trash" / gone.id / "000000" / "snapshots" / OLD / "old"
        held_folder.chmod(0o500)
        assert trash.empty() == gone.bytes and not held_folder.exists()
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        shutil.rmtree(folder)


def failing_at(number: int, code: int) -> Callable[[Path, Path], None]:
    """A rename whose call of that number fails."""
    calls = iter(range(1, 10_000))

    def rename(source: Path, target: Path) -> None:
        if next(calls) == number:
            raise OSError(code, os.strerror(code), str(source))
        source.rename(target)

    return rename


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EIO])
def test_a_move_that_fails_leaves_everything_where_it_was(cache: HubCache, tmp_path: Path, code: int) -> None:
    removal = planned(cache, Selected(id="org/A"), PART)
    before, moves = tree(cache.root), sum(len(item.moves) for item in removal.items)
    for number in range(1, moves + 1):
        with pytest.raises(StorageError, match=r"org/. could not be moved to the trash") as caught:
            Trash(tmp_path / "home", failing_at(number, code)).take(removal)
        assert os.strerror(code) in caught.value.message and caught.value.hint
        assert tree(cache.root) == before and Trash(tmp_path / "home").items() == ()


def test_a_restore_that_fails_leaves_it_in_the_trash(cache: HubCache, trash: Trash, tmp_path: Path) -> None:
    before = tree(cache.root)
    (gone,) = trash.take(planned(cache, PART))
    removed = tree(cache.root)
    for number in range(1, 5):
        with pytest.raises(StorageError, match="still in the trash"):
            Trash(tmp_path / "home", failing_at(number, errno.EIO)).restore(gone.id)
        assert tree(cache.root) == removed and trash.items() == (gone,)
    trash.restore(gone.id)
    assert tree(cache.root) == before


def test_a_home_that_cannot_be_written_to_is_told_before_anything_moves(cache: HubCache, tmp_path: Path) -> None:
    before = tree(cache.root)
    (tmp_path / "home").write_text("no folder")
    with pytest.raises(StorageError, match="could not be opened"):
        Trash(tmp_path / "home").take(planned(cache, WHOLE))
    assert tree(cache.root) == before


def test_models_on_another_disk_have_their_trash_beside_them(cache: HubCache, tmp_path: Path) -> None:
    before = tree(cache.root)
    trash = Trash(tmp_path / "home", failing_at(1, errno.EXDEV))
    (gone,) = trash.take(planned(cache, WHOLE))
    assert (cache.root / BESIDE / gone.id).is_dir() and "org/B" not in {holding.id for holding in held(cache)}
    trash.restore(gone.id)
    assert tree(cache.root) == before
    trash = Trash(tmp_path / "home", failing_at(1, errno.EXDEV))
    (gone,) = trash.take(planned(cache, WHOLE))
    assert trash.empty() == gone.bytes and not (cache.root / BESIDE).exists()


def test_a_disk_that_is_away_keeps_its_things_in_the_list(cache: HubCache, trash: Trash, tmp_path: Path) -> None:
    (gone,) = trash.take(planned(cache, WHOLE))
    cache.root.rename(tmp_path / "unplugged")
    assert "is not there" in trash.items()[0].problem
    with pytest.raises(InvalidRequest):
        trash.restore(gone.id)
    trash.recover()
    (tmp_path / "unplugged").rename(cache.root)
    trash.restore(gone.id)


def test_a_disk_that_is_away_is_neither_emptied_nor_forgotten(cache: HubCache, tmp_path: Path) -> None:
    trash = Trash(tmp_path / "home", failing_at(1, errno.EXDEV))
    (gone,) = trash.take(planned(cache, WHOLE))
    cache.root.rename(tmp_path / "unplugged")
    with pytest.raises(StorageError, match="is not there"):
        trash.empty([gone.id])
    assert trash.empty() == 0 and [each.id for each in trash.items()] == [gone.id]
    journal = tmp_path / "home" / "trash" / f"{gone.id}.json"
    journal.write_bytes(journal.read_bytes().replace(b'"removed"', b'"emptying"'))
    trash.recover()
    (tmp_path / "unplugged").rename(cache.root)
    trash.recover()
    assert not journal.exists() and not (cache.root / BESIDE).exists()


def test_a_trash_that_is_a_link_by_now_is_not_emptied(cache: HubCache, tmp_path: Path) -> None:
    trash = Trash(tmp_path / "home", failing_at(1, errno.EXDEV))
    (gone,) = trash.take(planned(cache, WHOLE))
    (cache.root / BESIDE).rename(tmp_path / "outside")
    (cache.root / BESIDE).symlink_to(tmp_path / "outside")
    before = tree(tmp_path / "outside")
    with pytest.raises(StorageError, match="is a link by now"):
        trash.empty([gone.id])
    assert tree(tmp_path / "outside") == before


def test_what_others_needed_comes_back_into_no_folder_that_leads_elsewhere(tmp_path: Path, trash: Trash) -> None:
    cache = HubCache(tmp_path / "hub")
    for name in ("org/one", "org/two"):
        cache.revision(name, OLD, model_files(1_000))
        payload = cache.share(next((cache.repository(name) / "blobs").glob("model*")))
    (one,) = trash.take(planned(cache, Selected(id="org/one")))
    payload.unlink()
    payload.parent.rename(tmp_path / "outside")
    payload.parent.symlink_to(tmp_path / "outside")
    with pytest.raises(StorageError, match="leads out"):
        trash.restore(one.id)
    assert not (tmp_path / "outside" / payload.name).exists() and [each.id for each in trash.items()] == [one.id]


def test_what_another_program_is_at_is_not_recovered(cache: HubCache, trash: Trash, tmp_path: Path) -> None:
    (gone,) = trash.take(planned(cache, WHOLE))
    journal = tmp_path / "home" / "trash" / f"{gone.id}.json"
    journal.write_bytes(journal.read_bytes().replace(b'"removed"', b'"removing"'))
    with (tmp_path / "home" / "trash" / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = tree(tmp_path)
        trash.recover()
        assert tree(tmp_path) == before
    trash.recover()
    assert cache.repository("org/B").is_dir()


def test_a_journal_that_cannot_be_read_is_left_alone(cache: HubCache, trash: Trash, tmp_path: Path) -> None:
    (gone,) = trash.take(planned(cache, WHOLE))
    journal = tmp_path / "home" / "trash" / f"{gone.id}.json"
    content = journal.read_bytes()
    for damaged in (b"{", b"[]", content.replace(b'"removed"', b'"gone"'), content.replace(gone.id.encode(), b"../" + gone.id.encode())):
        journal.write_bytes(damaged)
        assert trash.items() == () and trash.empty() == 0
        trash.recover()
    journal.write_bytes(content)
    assert trash.restore(gone.id) == gone


def test_a_folder_that_leads_elsewhere_by_now_gets_nothing_back(cache: HubCache, trash: Trash, tmp_path: Path) -> None:
    (gone,) = trash.take(planned(cache, PART))
    outside = tmp_path / "outside"
    (cache.repository("org/B") / "snapshots").rename(outside)
    (cache.repository("org/B") / "snapshots").symlink_to(outside)
    with pytest.raises(InvalidRequest, match="leads out"):
        trash.restore(gone.id)
    assert not (outside / OLD).exists()
