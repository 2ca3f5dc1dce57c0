"""Downloads against a hub on this machine: whole ones, resumed ones, damaged ones, and what other programs see of them."""

import asyncio
import hashlib
import os
import resource
from pathlib import Path

import pytest

from mlx_harmony.errors import HubRefused, LoadFailed, StorageError, Unavailable
from mlx_harmony.models.catalog import Places, scan, starter_folder
from mlx_harmony.models.hub.cache import Repository
from mlx_harmony.models.hub.download import ELSEWHERE, SPARE_BYTES, Downloads
from mlx_harmony.models.hub.needed import needed
from tests.fixtures.hub_server import TOKEN, HubServer
from tests.models.hub.conftest import Told, downloads, hub_of, subject

WEIGHTS = "model-00001-of-00003.safetensors"


def weights_of(server: HubServer, name: str = WEIGHTS) -> bytes:
    return next(iter(server.models["org/Tiny-4bit"].commits.values()))[name]


def halves(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.incomplete"))


async def begun(runner: Downloads, about: dict[str, str], told: Told, server: HubServer, name: str = WEIGHTS) -> "asyncio.Task[None]":
    """A download that hangs in the middle of a file which was told to stall."""
    task = asyncio.create_task(runner(about, told))
    while not (server.troubles[name].stalled.is_set() and told.files.get(name) and told.files[name].done_bytes):
        assert not task.done(), task
        await asyncio.sleep(0.01)
    return task


async def stopped(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task], timeout=2)
    assert task.cancelled()


async def test_a_whole_download_is_a_model_for_this_program_and_for_others(server: HubServer, cache: Path, told: Told) -> None:
    await downloads(server, cache)(subject(server), told)
    (entry,) = [each for each in scan(Places(starter=starter_folder(), hub_cache=cache)) if each.source == "hub_cache"]
    assert (entry.id, entry.problem, entry.architecture) == ("org/Tiny-4bit", "", "llama")
    from huggingface_hub import scan_cache_dir, try_to_load_from_cache

    seen = scan_cache_dir(cache)
    assert seen.warnings == []
    (repository,) = seen.repos
    (revision,) = repository.revisions
    files = next(iter(server.models["org/Tiny-4bit"].commits.values()))
    assert {file.file_name: file.file_path.read_bytes() for file in revision.files} == {name: files[name] for name in needed(files)}
    assert revision.refs == {"main"}
    assert try_to_load_from_cache("org/Tiny-4bit", WEIGHTS, cache_dir=cache) == str(revision.snapshot_path / WEIGHTS)
    assert halves(cache) == [] and list(cache.glob("models--*/.*")) == []
    assert told.done == sum(file.total_bytes for file in told.files.values()) == sum(len(files[name]) for name in needed(files))


async def test_the_hub_of_the_tests_speaks_as_the_real_one(server: HubServer, cache: Path, told: Told) -> None:
    """huggingface_hub itself gets from it what we do, into the same places."""
    from huggingface_hub import HfApi, hf_hub_download

    await downloads(server, cache)(subject(server), told)
    before = sum(server.sent.values())
    for name in (WEIGHTS, "config.json"):
        ours = await asyncio.to_thread(hf_hub_download, "org/Tiny-4bit", name, cache_dir=cache, endpoint=server.address, token=False)
        assert Path(ours).read_bytes() == weights_of(server, name)
        assert sum(server.sent.values()) == before, "it has got a file again that was here"
        other = cache.with_name("other")
        theirs = await asyncio.to_thread(hf_hub_download, "org/Tiny-4bit", name, cache_dir=other, endpoint=server.address, token=False)
        before = sum(server.sent.values())
        assert Path(theirs).relative_to(other) == Path(ours).relative_to(cache)
        assert os.readlink(theirs) == os.readlink(ours)
    info = await asyncio.to_thread(HfApi(server.address, token=False).model_info, "org/Tiny-4bit", files_metadata=True)
    offer = await hub_of(server).offer("org/Tiny-4bit")
    sizes = {sibling.rfilename: sibling.size for sibling in info.siblings or ()}
    assert info.sha == offer.revision and {file.name: file.bytes for file in offer.files}.items() <= sizes.items()


async def test_what_is_not_needed_is_not_asked_for(server: HubServer, cache: Path, told: Told) -> None:
    await downloads(server, cache)(subject(server), told)
    asked = " ".join(server.paths())
    assert not [name for name in ("pytorch_model.bin", "model.gguf", "modeling.py", "README.md", "original", "onnx") if name in asked]


async def test_nothing_is_sent_but_our_name_and_the_token_to_the_hub_itself(server: HubServer, cache: Path, told: Told) -> None:
    await downloads(server, cache, token=TOKEN)(subject(server), told)
    allowed = {"host", "accept", "accept-encoding", "connection", "user-agent", "authorization", "range"}
    for request in server.requests:
        assert set(request.headers) <= allowed
        assert request.headers["user-agent"].startswith("mlx-harmony/") and " " not in request.headers["user-agent"]
        assert request.headers["authorization"] == f"Bearer {TOKEN}"


async def test_the_token_stays_behind_where_a_redirect_leads_elsewhere(server: HubServer, cache: Path, told: Told) -> None:
    with HubServer() as elsewhere:
        server.trouble(WEIGHTS, redirect=f"{elsewhere.address}/cdn/x/y/{WEIGHTS}")
        with pytest.raises(Unavailable, match="without https"):
            await downloads(server, cache, token=TOKEN)(subject(server), told)
        assert elsewhere.requests == []


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.8", "[::1]", "[::ffff:10.0.0.8]", "0.0.0.0", "localhost"])
async def test_a_redirect_to_a_private_address_is_not_followed(address: str, server: HubServer, cache: Path, told: Told) -> None:
    server.trouble(WEIGHTS, redirect=f"https://{address}/model.safetensors")
    with pytest.raises(Unavailable, match="private network"):
        await downloads(server, cache)(subject(server), told)


async def test_a_redirect_in_a_circle_ends(server: HubServer, cache: Path, told: Told) -> None:
    commit = subject(server)["commit"]
    server.trouble(WEIGHTS, redirect=f"/org/Tiny-4bit/resolve/{commit}/{WEIGHTS}")
    with pytest.raises(Unavailable, match="508"):
        await downloads(server, cache)(subject(server), told)


async def test_until_all_of_it_is_here_nobody_sees_a_model(server: HubServer, cache: Path, told: Told) -> None:
    server.trouble(WEIGHTS, stall_after=40_000)
    task = await begun(downloads(server, cache), subject(server), told, server)
    (entry,) = [each for each in scan(Places(starter=starter_folder(), hub_cache=cache)) if each.source == "hub_cache"]
    assert entry.problem
    from huggingface_hub import scan_cache_dir

    seen = scan_cache_dir(cache)
    assert seen.warnings == [] and [repository.revisions for repository in seen.repos] == [frozenset()]
    await stopped(task)


async def test_it_goes_on_where_it_stopped(server: HubServer, cache: Path, told: Told) -> None:
    server.trouble(WEIGHTS, stall_after=40_000, times=1)
    await stopped(await begun(downloads(server, cache), subject(server), told, server))
    (half,) = [path for path in halves(cache) if hashlib.sha256(weights_of(server)).hexdigest() in path.name]
    kept = half.stat().st_size
    assert 0 < kept <= 40_000
    again = Told()
    await downloads(server, cache)(subject(server), again)
    assert {file.name: file.done_bytes for file in again.first}[WEIGHTS] == kept
    assert f"bytes={kept}-{len(weights_of(server)) - 1}" in [request.headers.get("range") for request in server.requests]
    assert server.sent[WEIGHTS] == 40_000 + len(weights_of(server)) - kept
    assert (cache / "models--org--Tiny-4bit/blobs" / hashlib.sha256(weights_of(server)).hexdigest()).read_bytes() == weights_of(server)


async def test_a_broken_connection_is_taken_up_again(server: HubServer, cache: Path, told: Told) -> None:
    server.trouble(WEIGHTS, drop_after=30_000)
    await downloads(server, cache)(subject(server), told)
    assert server.sent[WEIGHTS] == len(weights_of(server)), "every byte is sent once"
    assert any("tried again" in note for note in told.notes)


async def test_silence_counts_as_a_broken_connection(server: HubServer, cache: Path, told: Told) -> None:
    server.trouble(WEIGHTS, stall_after=30_000, times=1)
    await downloads(server, cache)(subject(server), told)
    assert any("nothing for too long" in note for note in told.notes)


async def test_a_hub_that_stays_out_of_order_is_given_up(server: HubServer, cache: Path, told: Told) -> None:
    server.trouble(WEIGHTS, status=503)
    with pytest.raises(Unavailable, match="503"):
        await downloads(server, cache)(subject(server), told)
    assert server.paths().count(f"/cdn/org--Tiny-4bit/{subject(server)['commit']}/{WEIGHTS}") == 3


async def test_a_server_that_knows_no_ranges_is_read_from_the_beginning(server: HubServer, cache: Path, told: Told) -> None:
    server.trouble(WEIGHTS, drop_after=30_000, ignore_range=True, times=2)
    await downloads(server, cache)(subject(server), told)
    assert Repository(cache, "org/Tiny-4bit").folder.joinpath("blobs", hashlib.sha256(weights_of(server)).hexdigest()).exists()


async def test_what_arrives_damaged_is_got_once_more(server: HubServer, cache: Path, told: Told) -> None:
    server.trouble(WEIGHTS, wrong=True, times=1)
    await downloads(server, cache)(subject(server), told)
    assert server.sent[WEIGHTS] == 2 * len(weights_of(server))


@pytest.mark.parametrize("name", [WEIGHTS, "tokenizer.json"])
async def test_what_arrives_damaged_twice_is_refused(name: str, server: HubServer, cache: Path, told: Told) -> None:
    server.trouble(name, wrong=True)
    with pytest.raises(Unavailable, match="checksum"):
        await downloads(server, cache)(subject(server), told)
    assert server.sent[name] == 2 * len(weights_of(server, name))
    assert not list(cache.rglob("snapshots/*"))
    assert all(half.stat().st_size == 0 for half in halves(cache) if hashlib.sha256(weights_of(server, name)).hexdigest() in half.name)


async def test_a_damaged_half_is_replaced(server: HubServer, cache: Path, told: Told) -> None:
    right = weights_of(server)
    half = cache / "models--org--Tiny-4bit/blobs" / f"{hashlib.sha256(right).hexdigest()}.incomplete"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"x" * 1000)
    await downloads(server, cache)(subject(server), told)
    assert half.with_suffix("").read_bytes() == right


async def test_a_disk_without_room_is_told_before_anything_comes(server: HubServer, cache: Path, told: Told) -> None:
    runner = Downloads(lambda: hub_of(server), lambda: cache, lambda folder: 200_100_000)
    with pytest.raises(StorageError, match=r"are needed on the disk, and 200\.1 MB are free"):
        await runner(subject(server), told)
    assert server.sent.get(WEIGHTS) is None and not cache.exists()


async def test_what_other_downloads_still_bring_counts_as_taken(server: HubServer, cache: Path, told: Told) -> None:
    server.add("org/Other", {"config.json": b"{}", "model.safetensors": b"o" * 600_000})
    server.trouble(WEIGHTS, stall_after=1000)
    runner = Downloads(lambda: hub_of(server), lambda: cache, lambda folder: SPARE_BYTES + 620_000)
    task = await begun(runner, subject(server), told, server)
    with pytest.raises(StorageError, match="of which other downloads take"):
        await runner(subject(server, "org/Other"), Told())
    await stopped(task)
    await runner(subject(server, "org/Other"), Told())


async def test_a_disk_that_fills_up_on_the_way_keeps_what_has_come(server: HubServer, cache: Path, told: Told) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(StorageError, match="disk is full"):
            await downloads(server, cache)(subject(server), told)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert any(half.stat().st_size == 50_000 for half in halves(cache))
    before = len(server.requests)
    await downloads(server, cache)(subject(server), Told())
    assert [request for request in server.requests[before:] if request.headers.get("range", "").startswith("bytes=50000-")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
async def test_a_read_only_cache_is_an_error_of_its_own(server: HubServer, cache: Path, told: Told) -> None:
    cache.mkdir()
    cache.chmod(0o500)
    with pytest.raises(StorageError, match="cannot be written"):
        await downloads(server, cache)(subject(server), told)
    cache.chmod(0o700)


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


async def test_a_gated_model_is_refused_with_the_way_to_it(server: HubServer, cache: Path, told: Told) -> None:
    server.models["org/Tiny-4bit"].gated = "manual"
    with pytest.raises(HubRefused, match="accepted its licence") as refused:
        await downloads(server, cache)(subject(server), told)
    assert f"{server.address}/org/Tiny-4bit" in refused.value.hint and "HF_TOKEN" in refused.value.hint
    server.models["org/Tiny-4bit"].accepted = True
    await downloads(server, cache, token=TOKEN)(subject(server), told)


async def test_a_model_without_weights_for_us_is_refused(server: HubServer, cache: Path, told: Told) -> None:
    server.add("org/Torch", {"config.json": b"{}", "pytorch_model.bin": b"t"})
    with pytest.raises(LoadFailed, match="no weights"):
        await downloads(server, cache)(subject(server, "org/Torch"), told)
    assert not cache.exists()


async def test_offline_nothing_is_asked(server: HubServer, cache: Path, told: Told) -> None:
    with pytest.raises(Unavailable, match="HF_HUB_OFFLINE"):
        await downloads(server, cache, offline=True)(subject(server), told)
    assert server.requests == []
