"""What a download leaves in the cache at each moment: for this program, for others that share it, and for other revisions."""

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from mlx_harmony.errors import StorageError, Unavailable
from mlx_harmony.models.catalog import Places, scan, starter_folder
from mlx_harmony.models.hub.cache import Repository
from mlx_harmony.models.hub.download import ELSEWHERE
from mlx_harmony.models.hub.offers import HubFile
from tests.fixtures.hub_server import HubServer, git_sha1
from tests.models.hub.conftest import WEIGHTS, Told, begun, downloads, halves, stopped, subject, weights_of


async def test_until_all_of_it_is_here_nobody_sees_a_model(server: HubServer, cache: Path, told: Told) -> None:
    server.trouble(WEIGHTS, stall_after=40_000)
    task = await begun(downloads(server, cache), subject(server), told, server)
    (entry,) = [each for each in scan(Places(starter=starter_folder(), hub_cache=cache)) if each.source == "hub_cache"]
    assert entry.problem
    from huggingface_hub import scan_cache_dir

    seen = scan_cache_dir(cache)
    assert seen.warnings == [] and [repository.revisions for repository in seen.repos] == [frozenset()]
    await stopped(task)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
async def test_a_read_only_cache_is_an_error_of_its_own(server: HubServer, cache: Path, told: Told) -> None:
    cache.mkdir()
    cache.chmod(0o500)
    with pytest.raises(StorageError, match="cannot be written"):
        await downloads(server, cache)(subject(server), told)
    cache.chmod(0o700)


def test_a_snapshot_is_there_with_all_its_files_or_not_at_all(cache: Path) -> None:
    repository = Repository(cache, "org/name")
    repository.prepare()
    # The last one has a name that no file system takes, so that making the links fails in the middle.
    files = [HubFile(name=name, bytes=1, git_sha1=git_sha1(name[:1].encode())) for name in ("model.safetensors", "config.json", "x" * 300)]
    for file in files:
        repository.blob(file).write_bytes(file.name[:1].encode())
    with pytest.raises(OSError, match="too long"):
        repository.link("a" * 40, "main", files)
    assert list(cache.rglob("snapshots/*")) == [] == list(cache.rglob("refs/*"))
    repository.link("a" * 40, "main", files[:2])
    assert sorted(path.name for path in cache.rglob("snapshots/*/*")) == ["config.json", "model.safetensors"]


async def test_a_cache_that_is_a_file_is_an_error_of_its_own(server: HubServer, cache: Path, told: Told) -> None:
    cache.write_text("no folder")
    with pytest.raises(StorageError, match="cannot be written"):
        await downloads(server, cache)(subject(server), told)


async def test_a_folder_that_leads_out_of_the_cache_is_not_written_to(server: HubServer, cache: Path, told: Told, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (cache / "models--org--Tiny-4bit").mkdir(parents=True)
    (cache / "models--org--Tiny-4bit" / "blobs").symlink_to(outside)
    with pytest.raises(StorageError, match="leads out of the cache"):
        await downloads(server, cache)(subject(server), told)
    assert list(outside.iterdir()) == []


async def test_a_half_download_that_is_a_link_is_not_followed(server: HubServer, cache: Path, told: Told, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    half = cache / "models--org--Tiny-4bit/blobs" / f"{hashlib.sha256(weights_of(server)).hexdigest()}.incomplete"
    half.parent.mkdir(parents=True)
    half.symlink_to(precious)
    with pytest.raises(StorageError):
        await downloads(server, cache)(subject(server), told)
    assert precious.read_text() == "mine"


async def test_a_file_that_another_program_gets_is_waited_for(server: HubServer, cache: Path, told: Told) -> None:
    from huggingface_hub.utils import WeakFileLock

    right = weights_of(server)
    etag = hashlib.sha256(right).hexdigest()
    lock = cache / ".locks/models--org--Tiny-4bit" / f"{etag}.lock"
    lock.parent.mkdir(parents=True)
    with WeakFileLock(lock):
        task = asyncio.create_task(downloads(server, cache)(subject(server), told))
        while ELSEWHERE not in told.notes:
            await asyncio.sleep(0.01)
        assert not task.done() and told.files[WEIGHTS].done_bytes == 0
        (cache / "models--org--Tiny-4bit/blobs" / etag).write_bytes(right)
    await task
    assert WEIGHTS not in server.sent, "the other program has got it"


async def test_waiting_for_another_program_can_be_stopped(server: HubServer, cache: Path, told: Told) -> None:
    repository = Repository(cache, "org/Tiny-4bit")
    descriptor = repository.lock(hashlib.sha256(weights_of(server)).hexdigest())
    assert descriptor is not None
    task = asyncio.create_task(downloads(server, cache)(subject(server), told))
    while ELSEWHERE not in told.notes:
        await asyncio.sleep(0.01)
    await stopped(task)
    os.close(descriptor)


async def test_a_blob_that_goes_meanwhile_is_not_linked_to(server: HubServer, cache: Path, told: Told) -> None:
    server.trouble(WEIGHTS, stall_after=150_000, times=1)
    task = await begun(downloads(server, cache), subject(server), told, server)
    config = cache / "models--org--Tiny-4bit/blobs" / git_sha1(weights_of(server, "config.json"))
    while not config.exists():
        await asyncio.sleep(0.01)
    config.unlink()
    server.troubles[WEIGHTS].go_on.set()
    with pytest.raises(Unavailable, match=r"config\.json was removed"):
        await task
    assert list(cache.rglob("snapshots/*")) == []


async def test_cancelling_one_revision_leaves_what_another_download_counts_on(server: HubServer, cache: Path, told: Told) -> None:
    first = subject(server)
    files = server.models["org/Tiny-4bit"].commits[first["commit"]]
    server.add("org/Tiny-4bit", files | {"extra.json": b"{}"})
    server.trouble(WEIGHTS, stall_after=40_000)
    runner = downloads(server, cache)
    await stopped(await begun(runner, first, told, server))
    await stopped(await begun(runner, subject(server), Told(), server))
    kept = {path.name: path.stat().st_size for path in (cache / "models--org--Tiny-4bit/blobs").iterdir()}
    await runner.discard(first)
    assert {path.name: path.stat().st_size for path in (cache / "models--org--Tiny-4bit/blobs").iterdir()} == kept
    await runner.discard(subject(server))
    assert not (cache / "models--org--Tiny-4bit").exists()


async def test_a_cancelled_download_leaves_nothing(server: HubServer, cache: Path, told: Told) -> None:
    server.trouble(WEIGHTS, stall_after=40_000)
    runner = downloads(server, cache)
    await stopped(await begun(runner, subject(server), told, server))
    assert halves(cache) and list(cache.rglob("blobs/*"))
    await runner.discard(subject(server))
    assert not (cache / "models--org--Tiny-4bit").exists()


async def test_a_cancelled_download_leaves_what_another_revision_uses(server: HubServer, cache: Path, told: Told) -> None:
    runner = downloads(server, cache)
    await runner(subject(server), told)
    old = subject(server)["commit"]
    files = server.models["org/Tiny-4bit"].commits[old] | {WEIGHTS: b"new weights" * 9000, "extra.json": b"{}"}
    server.add("org/Tiny-4bit", files)
    server.trouble(WEIGHTS, stall_after=40_000)
    before = {path: path.read_bytes() for path in cache.rglob("*") if path.is_file() and ".locks" not in path.parts}
    await stopped(await begun(runner, subject(server), Told(), server))
    await runner.discard(subject(server))
    assert {path: path.read_bytes() for path in cache.rglob("*") if path.is_file() and ".locks" not in path.parts} == before


async def test_a_new_revision_shares_the_blobs_that_did_not_change(server: HubServer, cache: Path, told: Told) -> None:
    runner = downloads(server, cache)
    await runner(subject(server), told)
    old = subject(server)["commit"]
    server.add("org/Tiny-4bit", server.models["org/Tiny-4bit"].commits[old] | {"config.json": b'{"model_type": "llama"}'})
    sent = dict(server.sent)
    await runner(subject(server), Told())
    assert {name for name in server.sent if server.sent[name] != sent.get(name)} == {"config.json"}
    repository = cache / "models--org--Tiny-4bit"
    assert (repository / "refs/main").read_text() == subject(server)["commit"] != old
    assert sorted(path.name for path in (repository / "snapshots").iterdir()) == sorted([old, subject(server)["commit"]])


async def test_a_commit_gets_no_name_and_a_tag_gets_its_own(server: HubServer, cache: Path, told: Told) -> None:
    runner = downloads(server, cache)
    commit = subject(server)["commit"]
    await runner(subject(server, revision=commit), told)
    assert list((cache / "models--org--Tiny-4bit/refs").iterdir()) == []
    server.models["org/Tiny-4bit"].refs["refs/pr/1"] = commit
    await runner(subject(server, revision="refs/pr/1"), told)
    assert (cache / "models--org--Tiny-4bit/refs/refs/pr/1").read_text() == commit


async def test_a_snapshot_that_another_program_began_is_completed(server: HubServer, cache: Path, told: Told) -> None:
    commit = subject(server)["commit"]
    snapshot = cache / "models--org--Tiny-4bit/snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "README.md").write_text("theirs")
    (snapshot / "config.json").symlink_to("../../blobs/gone")
    await downloads(server, cache)(subject(server), told)
    assert (snapshot / "README.md").read_text() == "theirs"
    assert (snapshot / "config.json").read_bytes() == weights_of(server, "config.json")
