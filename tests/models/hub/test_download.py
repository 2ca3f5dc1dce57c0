"""Downloads against a hub on this machine: whole ones, resumed ones, damaged ones, and all that can go wrong on the way."""

import asyncio
import hashlib
import os
import resource
from pathlib import Path

import msgspec
import pytest

from mlx_harmony.errors import HubRefused, InvalidRequest, LoadFailed, StorageError, Unavailable
from mlx_harmony.models.catalog import Places, scan, starter_folder
from mlx_harmony.models.hub.arriving import Arriving
from mlx_harmony.models.hub.client import Hub
from mlx_harmony.models.hub.download import SPARE_BYTES, Downloads
from mlx_harmony.models.hub.needed import needed
from mlx_harmony.models.hub.offers import HubFile
from tests.fixtures.hub_server import TOKEN, HubServer
from tests.models.hub.conftest import QUICK, WEIGHTS, Told, begun, downloads, halves, hub_of, stopped, subject, weights_of


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
    impatient = msgspec.structs.replace(QUICK, silence_s=0.5)
    await Downloads(lambda: Hub(server.address, patience=impatient), lambda: cache)(subject(server), told)
    assert any("nothing for too long" in note for note in told.notes)


async def test_a_hub_that_stays_out_of_order_is_given_up(server: HubServer, cache: Path, told: Told) -> None:
    server.trouble(WEIGHTS, status=503)
    with pytest.raises(Unavailable, match="503"):
        await downloads(server, cache)(subject(server), told)
    assert server.paths().count(f"/cdn/org--Tiny-4bit/{subject(server)['commit']}/{WEIGHTS}") == 3


async def test_a_server_that_knows_no_ranges_is_read_from_the_beginning(server: HubServer, cache: Path, told: Told) -> None:
    server.trouble(WEIGHTS, drop_after=30_000, ignore_range=True, times=2)
    await downloads(server, cache)(subject(server), told)
    assert server.sent[WEIGHTS] == 30_000 + len(weights_of(server)), "twice from the beginning, and then the rest"


async def test_what_comes_after_the_end_of_a_file_is_not_taken(server: HubServer, cache: Path, told: Told) -> None:
    server.trouble(WEIGHTS, surplus=100_000, ignore_range=True)
    await downloads(server, cache)(subject(server), told)
    assert len([path for path in server.paths() if path.startswith("/cdn") and path.endswith(WEIGHTS)]) == 1


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


async def test_a_large_file_comes_in_several_requests(server: HubServer, cache: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlx_harmony.models.hub.download.LONGEST_RANGE", 60_000)
    await downloads(server, cache)(subject(server), told)
    ranges = [request.headers["range"] for request in server.requests if request.path.startswith("/cdn") and WEIGHTS in request.path]
    assert ranges == ["bytes=0-59999", "bytes=60000-119999", "bytes=120000-179999", f"bytes=180000-{len(weights_of(server)) - 1}"]
    assert server.sent[WEIGHTS] == len(weights_of(server)) and told.notes == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a disk that is always full")
async def test_a_full_disk_is_told_as_such() -> None:
    file = HubFile(name="model.safetensors", bytes=1000, sha256="0" * 64)
    async with Arriving(Path("/dev/full"), file) as arriving:
        with pytest.raises(StorageError, match="disk is full") as full:
            await arriving.append(b"x" * 100)
    assert "what has come so far is kept" in full.value.hint


@pytest.mark.parametrize("commit", ["main", "../../x", "", "0" * 39])
async def test_a_job_that_was_tampered_with_is_refused(commit: str, server: HubServer, cache: Path, told: Told) -> None:
    for doing in (
        downloads(server, cache)({"id": "org/Tiny-4bit", "commit": commit}, told),
        downloads(server, cache).discard({"id": "a/b"}),
    ):
        with pytest.raises(InvalidRequest):
            await doing
    assert server.requests == [] and not cache.exists()


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
