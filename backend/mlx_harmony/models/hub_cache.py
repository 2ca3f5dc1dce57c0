"""The Hugging Face cache on disk, read without its library: which repositories hold a model that MLX could load. Pure; no network.

Its layout: `models--org--name/{blobs, refs/main, snapshots/<revision>/}`, where a snapshot's files link into blobs.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from mlx_harmony.models.folder import describe
from mlx_harmony.models.links import Links
from mlx_harmony.models.wholeness import INDEX
from mlx_harmony.records import ModelEntry
from mlx_harmony.settings import absolute

PREFIX = "models--"
LONGEST_REVISION = 200


def hub_cache_folder() -> Path:
    """Where huggingface_hub keeps models, by its own variables and their order."""
    direct = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if direct:
        return absolute(direct)
    home = os.environ.get("HF_HOME")
    if home:
        return absolute(home) / "hub"
    caches = os.environ.get("XDG_CACHE_HOME")
    return (absolute(caches) if caches else Path.home() / ".cache") / "huggingface" / "hub"


def hub_models(cache: Path) -> Iterator[ModelEntry]:
    """The cache's models by name; damaged ones with their problem, repositories without MLX weights not at all."""
    try:
        repositories = sorted(child for child in cache.iterdir() if child.name.startswith(PREFIX) and child.is_dir())
    except OSError:
        return
    for repository in repositories:
        model_id = "/".join(repository.name.removeprefix(PREFIX).split("--", 1))
        if model_id.isprintable() and (entry := _entry(model_id, repository)):
            yield entry


def _entry(model_id: str, repository: Path) -> ModelEntry | None:
    snapshot = _snapshot(repository)
    if snapshot is None:
        entry = describe(model_id, repository, "hub_cache")
        return msgspec.structs.replace(entry, problem="Its download is not complete: no snapshot of it is here. Download it again.")
    names = _names(snapshot)
    # An index alone is a download that was cut before its first weights.
    if "config.json" not in names or not any(name.endswith(".safetensors") or name == INDEX for name in names):
        return None
    entry = describe(model_id, snapshot, "hub_cache")
    return msgspec.structs.replace(entry, problem=_fault(repository, snapshot, names) or entry.problem)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return []


def _snapshot(repository: Path) -> Path | None:
    """The folder of `main` where it is there, else the newest."""
    snapshots = repository / "snapshots"
    try:
        with os.scandir(snapshots) as entries:
            folders = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
        main = _main_revision(repository)
        named = [folder for folder in folders if folder.name == main]
        return named[0] if named else max(folders, key=lambda folder: (folder.stat().st_mtime, folder.name), default=None)
    except OSError:
        return None


def _main_revision(repository: Path) -> str:
    try:
        with (repository / "refs" / "main").open(encoding="utf-8") as file:
            return file.read(LONGEST_REVISION).strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _fault(repository: Path, snapshot: Path, names: list[str]) -> str:
    """What is wrong with the snapshot's links: broken ones, and ones that lead neither into the repository nor into the cache's store."""
    # realpath, unlike Path.resolve, also takes links that lead in a circle.
    homes = (f"{os.path.realpath(repository)}/", f"{os.path.realpath(repository.parent)}/blobs/")
    links = Links(str(snapshot))
    for name in names:
        target = links.real(name)
        if not f"{target}/".startswith(homes):
            return f"Its file {name} leads out of the cache."
        if not os.path.exists(target):  # noqa: PTH110
            return f"Its file {name} is missing. Download it again."
    return ""
