"""Getting models as the service offers it: downloads as jobs, paused, resumed, cancelled, and over a killed program."""

import asyncio
import hashlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mlx_harmony.errors import HubRefused, LoadFailed, Unavailable
from mlx_harmony.getting import Getting
from mlx_harmony.jobs import Job, Jobs
from mlx_harmony.models.hub.client import Hub
from mlx_harmony.models.hub.download import Downloads
from mlx_harmony.models.hub.web import Patience
from mlx_harmony.service import Service
from mlx_harmony.settings import load_settings
from tests.fixtures.hub_server import TOKEN, HubServer
from tests.fixtures.server import serving

WEIGHTS = "model-00001-of-00003.safetensors"
MODEL = "org/Tiny-4bit"
ROOT = Path(__file__).parents[1]
NEVER_SILENT = Patience(silence_s=60)


@pytest.fixture
def hub(fx1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        server.add_folder(MODEL, fx1, tags=["mlx", "license:mit"])
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("MLX_HARMONY_HOME", str(tmp_path / "home"))
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        yield server


@pytest.fixture
async def service(hub: HubServer) -> AsyncIterator[Service]:
    service = await Service.open(load_settings())
    yield service
    await service.close()


def half_of(hub: HubServer, root: Path) -> Path:
    content = next(iter(hub.models[MODEL].commits.values()))[WEIGHTS]
    return root / "hub/models--org--Tiny-4bit/blobs" / f"{hashlib.sha256(content).hexdigest()}.incomplete"


async def reached(jobs: Jobs, job: Job, state: str) -> Job:
    async with asyncio.timeout(30):
        async for _ in jobs.changes():
            if jobs.find(job.id).state == state:
                break
    return jobs.find(job.id)


async def in_the_middle(hub: HubServer, jobs: Jobs, job: Job) -> Job:
    """The job once its weights hang and everything else is here."""
    async with asyncio.timeout(30):
        while not _only_the_weights_hang(jobs.find(job.id), hub.troubles[WEIGHTS].stall_after or 0):
            await asyncio.sleep(0.01)
    return jobs.find(job.id)


def _only_the_weights_hang(job: Job, at: int) -> bool:
    late = {file.name: file for file in job.files if file.done_bytes < file.total_bytes}
    return set(late) == {WEIGHTS} and late[WEIGHTS].done_bytes == at


async def test_a_model_is_found_offered_got_and_usable(service: Service, hub: HubServer) -> None:
    (found,) = await service.getting.search("tiny")
    offer = await service.getting.offer(found.id)
    assert service.getting.fit(offer).verdict == "fits" and not service.getting.offline
    job = await service.getting.download(found.id)
    assert (job.kind, job.title) == ("download", MODEL)
    done = await reached(service.jobs, job, "done")
    assert done.done_bytes == done.total_bytes == offer.bytes
    assert {file.name for file in done.files} == {file.name for file in offer.files}
    assert service.usable_model(MODEL).architecture == "llama"


async def test_nothing_is_asked_of_the_hub_before_a_person_asks(service: Service, hub: HubServer) -> None:
    service.models()
    await service.jobs.go_on()
    assert hub.requests == []


async def test_asking_twice_is_one_job(service: Service, hub: HubServer) -> None:
    hub.trouble(WEIGHTS, stall_after=1000, times=1)
    job = await service.getting.download(MODEL)
    assert (await service.getting.download(MODEL)).id == job.id
    await in_the_middle(hub, service.jobs, job)
    await service.jobs.pause(job.id)
    with pytest.raises(LoadFailed, match="not complete"):
        service.usable_model(MODEL)
    assert (await service.getting.download(MODEL)).id == job.id, "a paused one goes on"
    await reached(service.jobs, job, "done")
    assert service.usable_model(MODEL).id == MODEL, "as soon as it is here"
    assert len(service.jobs.list()) == 1


async def test_paused_resumed_and_every_byte_once(service: Service, hub: HubServer, tmp_path: Path) -> None:
    hub.trouble(WEIGHTS, stall_after=50_000, times=1)
    job = await service.getting.download(MODEL)
    await in_the_middle(hub, service.jobs, job)
    began = time.monotonic()
    paused = await service.jobs.pause(job.id)
    assert time.monotonic() - began < 2 and paused.state == "paused" and paused.bytes_per_second == 0
    kept = half_of(hub, tmp_path).stat().st_size
    await service.jobs.resume(job.id)
    await reached(service.jobs, job, "done")
    content = next(iter(hub.models[MODEL].commits.values()))[WEIGHTS]
    assert hub.sent[WEIGHTS] == 50_000 + len(content) - kept


async def test_a_cancelled_download_leaves_nothing(service: Service, hub: HubServer, tmp_path: Path) -> None:
    hub.trouble(WEIGHTS, stall_after=50_000)
    job = await service.getting.download(MODEL)
    await in_the_middle(hub, service.jobs, job)
    assert (await service.jobs.cancel(job.id)).state == "cancelled"
    assert not (tmp_path / "hub/models--org--Tiny-4bit").exists()


async def test_a_stall_shows_no_speed_and_no_time(hub: HubServer, tmp_path: Path) -> None:
    later = 0.0
    runner = Downloads(lambda: Hub(hub.address, patience=NEVER_SILENT), lambda: tmp_path / "hub")
    jobs = Jobs(tmp_path / "jobs", {"download": runner}, lambda: time.monotonic() + later)
    hub.trouble(WEIGHTS, stall_after=50_000)
    job = await Getting(jobs).download(MODEL)
    moving = await in_the_middle(hub, jobs, job)
    assert moving.bytes_per_second > 0 and moving.seconds_left
    later = 10.0
    stalled = jobs.find(job.id)
    assert (stalled.state, stalled.bytes_per_second, stalled.seconds_left) == ("running", 0, None)
    assert stalled.done_bytes == moving.done_bytes
    await jobs.close()


async def test_a_failed_download_says_why_and_goes_on(service: Service, hub: HubServer) -> None:
    trouble = hub.trouble(WEIGHTS, status=404)
    job = await service.getting.download(MODEL)
    failed = await reached(service.jobs, job, "failed")
    assert failed.problem and failed.hint
    trouble.times = 0
    await service.jobs.resume(job.id)
    assert (await reached(service.jobs, job, "done")).problem == ""


async def test_the_next_start_goes_on(service: Service, hub: HubServer) -> None:
    hub.trouble(WEIGHTS, stall_after=50_000, times=1)
    job = await service.getting.download(MODEL)
    await in_the_middle(hub, service.jobs, job)
    await service.close()
    again = await Service.open(load_settings())
    assert again.jobs.find(job.id).state == "paused"
    await again.jobs.go_on()
    await reached(again.jobs, job, "done")
    await again.close()


async def test_what_would_be_of_no_use_never_becomes_a_job(service: Service, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("org/Torch", {"config.json": b"{}", "pytorch_model.bin": b"t"})
    with pytest.raises(LoadFailed, match="cannot be used here"):
        await service.getting.download("org/Torch")
    hub.models[MODEL].gated = "auto"
    with pytest.raises(HubRefused, match="accepted its licence"):
        await service.getting.download(MODEL)
    assert service.jobs.list() == ()
    hub.models[MODEL].accepted = True
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    await reached(service.jobs, await service.getting.download(MODEL), "done")


async def test_offline_everything_here_works_and_the_hub_is_not_asked(
    service: Service, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert service.getting.offline and service.find_model("starter")
    for asking in (service.getting.search("x"), service.getting.download(MODEL)):
        with pytest.raises(Unavailable, match="HF_HUB_OFFLINE"):
            await asking
    assert hub.requests == []


@pytest.fixture
def getter(hub: HubServer) -> Iterator[subprocess.Popen[str]]:
    """Another program that gets the model and stands still half way, to be killed."""
    hub.trouble(WEIGHTS, stall_after=100_000, times=1)
    command = [sys.executable, "-m", "tests.fixtures.killed_download", MODEL]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.mark.integration
async def test_a_killed_program_leaves_a_job_that_goes_on_at_the_next_start(
    hub: HubServer, tmp_path: Path, getter: subprocess.Popen[str]
) -> None:
    assert getter.stdout is not None
    job_id = (await asyncio.to_thread(getter.stdout.readline)).strip()
    half = half_of(hub, tmp_path)
    async with asyncio.timeout(60):
        while not half.exists() or half.stat().st_size < 65_000:
            await asyncio.sleep(0.02)
    other = Jobs(tmp_path / "home/jobs", {})
    assert other.find(job_id).state in ("waiting", "running"), "another program sees it run"
    getter.kill()
    await asyncio.to_thread(getter.wait)
    assert other.find(job_id).state == "paused"
    kept, sent = half.stat().st_size, hub.sent[WEIGHTS]
    service = await Service.open(load_settings())
    assert all(entry.problem for entry in service.models() if entry.source == "hub_cache"), "half a model is used by nobody"
    await service.jobs.go_on()
    await reached(service.jobs, service.jobs.find(job_id), "done")
    content = next(iter(hub.models[MODEL].commits.values()))[WEIGHTS]
    assert hub.sent[WEIGHTS] == sent + len(content) - kept, "every byte comes once"
    assert service.usable_model(MODEL).id == MODEL
    await service.close()


@pytest.mark.integration
async def test_the_server_goes_on_with_what_was_cut_short(service: Service, hub: HubServer, tmp_path: Path) -> None:
    hub.trouble(WEIGHTS, stall_after=50_000, times=1)
    job = await service.getting.download(MODEL)
    await in_the_middle(hub, service.jobs, job)
    await service.close()
    with serving(tmp_path / "home", "--no-ui"):
        async with asyncio.timeout(60):
            while not list(tmp_path.glob("hub/models--*/snapshots/*/config.json")):
                await asyncio.sleep(0.05)
