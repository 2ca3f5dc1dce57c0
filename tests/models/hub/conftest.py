"""A hub with models, a cache of the test's own, and a report that keeps what it was told."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlx_harmony.jobs.records import JobFile
from mlx_harmony.models.hub.client import Hub
from mlx_harmony.models.hub.download import Downloads
from mlx_harmony.models.hub.web import Patience
from tests.fixtures.hub_server import HubServer

WEIGHTS = "model-00001-of-00003.safetensors"
QUICK = Patience(connect_s=10, silence_s=20, attempts=3, first_pause_s=0.01)


class Told:
    """What a runner reported."""

    def __init__(self) -> None:
        self.files: dict[str, JobFile] = {}
        self.first: tuple[JobFile, ...] = ()
        self.notes: list[str] = []

    def __call__(self, *files: JobFile, note: str = "") -> None:
        self.first = self.first or files
        self.files |= {file.name: file for file in files}
        if note:
            self.notes.append(note)

    @property
    def done(self) -> int:
        return sum(file.done_bytes for file in self.files.values())


@pytest.fixture
def server(fx1: Path) -> Iterator[HubServer]:
    """A hub that has one real tiny model, with files beside it that nobody needs."""
    with HubServer() as hub:
        model = hub.add_folder("org/Tiny-4bit", fx1, downloads=7, likes=2, tags=["mlx", "license:mit"], library_name="mlx")
        files = next(iter(model.commits.values()))
        files |= {"README.md": b"# Tiny", "pytorch_model.bin": b"pickle", "model.gguf": b"gguf", "modeling.py": b"import os"}
        files |= {"original/model.safetensors": b"again", "onnx/config.json": b"{}"}
        yield hub


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hub"


@pytest.fixture
def told() -> Told:
    return Told()


def hub_of(server: HubServer, **more: object) -> Hub:
    return Hub(server.address, patience=QUICK, **more)  # type: ignore[arg-type]


def downloads(server: HubServer, cache: Path, **more: object) -> Downloads:
    return Downloads(lambda: hub_of(server, **more), lambda: cache)


def subject(server: HubServer, model_id: str = "org/Tiny-4bit", revision: str = "main") -> dict[str, str]:
    model = server.models[model_id]
    return {"id": model_id, "revision": revision, "commit": model.refs.get(revision, revision)}


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
