"""All that is known of each model on this machine: the catalogue's entry, and what its files, the profiles and the chats add to it.

What is costly to read is read once for each state of a folder. It opens no weights, and does not know which models are loaded.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mlx_harmony.models.family import family_of
from mlx_harmony.models.folder import files_of
from mlx_harmony.models.hub_layout import read_repository
from mlx_harmony.models.kinship import drafts_of
from mlx_harmony.models.outlook import Needs, parameters_of
from mlx_harmony.models.style import Style, style_of
from mlx_harmony.models.wholeness import dangling, lacking
from mlx_harmony.records import ChatName, ChatUses, Format, ModelEntry, Record

MAIN = "main"


class ModelInfo(Record):
    """One model with all that is known of it.

    `revision` is the commit of a model from the hub and `ref` the branch or tag that leads to it, `revisions` are all that are on disk;
    `disk_bytes` is what they take together, each file counted once. `last_used_at` is the newest of when it was asked for here and when
    its weights were read. `thinking` and `tools` as in a Style. `drafts` may guess for it, `profiles` name it, in so many `chats` it
    answered and `latest_chats` are those of them used last. `lacks` says in one sentence what is missing of it, "" where it is complete.
    """

    entry: ModelEntry
    family: str = ""
    revision: str = ""
    ref: str = ""
    revisions: tuple[str, ...] = ()
    disk_bytes: int = 0
    parameters: int | None = None
    last_used_at: float | None = None
    thinking: str = ""
    tools: str = ""
    drafts: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    chats: int = 0
    latest_chats: tuple[ChatName, ...] = ()
    lacks: str = ""

    @property
    def complete(self) -> bool:
        return not self.lacks


class Known(Record):
    """What others know of the models: when each folder was last used, which profiles name which id, the chats each answered in."""

    used: Mapping[str, float] = {}
    profiles: Mapping[str, tuple[str, ...]] = {}
    chats: Mapping[str, ChatUses] = {}


def infos_of(entries: Iterable[ModelEntry], known: Known = Known()) -> tuple[ModelInfo, ...]:  # noqa: B008
    """The models in their order, each with all that is known of it."""
    entries = tuple(entries)
    drafts = drafts_of(entries)
    return tuple(_info(entry, drafts.get(entry.id, ()), known) for entry in entries)


def row_of(info: ModelInfo, needs_of: Callable[[ModelEntry], Needs | None]) -> dict[str, Any]:
    """The model as programs get it, in the terminal and over HTTP alike: plain values, `bytes` what it takes on disk with all revisions.

    `memory` is what `needs_of` forecasts; null for a model with a problem, and where its files do not tell.
    """
    entry = {name: getattr(info.entry, name) for name in info.entry.__struct_fields__}
    rest = {name: getattr(info, name) for name in info.__struct_fields__ if name not in ("entry", "disk_bytes")}
    needs = None if info.entry.problem else needs_of(info.entry)
    row = entry | {"bytes": info.disk_bytes, "revision_bytes": info.entry.bytes} | rest | {"complete": info.complete, "memory": needs}
    plain: dict[str, Any] = msgspec.to_builtins(row)
    return plain


def _info(entry: ModelEntry, drafts: tuple[str, ...], known: Known) -> ModelInfo:
    lack = "" if entry.adapter else _lack(entry)
    style = _style(entry.path, entry.format, entry.modified_at)
    kept, uses = _kept_of(entry), known.chats.get(entry.id, ChatUses())
    return ModelInfo(
        entry=entry,
        family=family_of(entry.id),
        revision=kept.revision,
        ref=kept.ref,
        revisions=kept.revisions,
        disk_bytes=kept.bytes or entry.bytes,
        parameters=None if lack else parameters_of(entry),
        last_used_at=max(filter(None, (known.used.get(entry.folder), _read_at(Path(entry.folder)))), default=None),
        thinking=style.thinking,
        tools=style.tools,
        drafts=drafts,
        profiles=known.profiles.get(entry.id, ()),
        chats=uses.count,
        latest_chats=uses.latest,
        lacks=lack,
    )


def _lack(entry: ModelEntry) -> str:
    """What is missing; of a repository without a revision the catalogue has said it."""
    folder = Path(entry.path)
    if entry.source == "hub_cache" and not _is_snapshot(folder):
        return entry.problem
    return dangling(folder) or lacking(folder, tuple(files_of(folder)))


@lru_cache(maxsize=1024)
def _style(path: str, kind: Format, _modified_at: float) -> Style:
    """The style of a folder in this state."""
    return style_of(Path(path), kind)


class _Kept(NamedTuple):
    """How the hub's cache keeps a model: the revision that is used and what leads to it, all of them, and their bytes."""

    revision: str = ""
    ref: str = ""
    revisions: tuple[str, ...] = ()
    bytes: int = 0


def _kept_of(entry: ModelEntry) -> _Kept:
    snapshot = Path(entry.path)
    if entry.source != "hub_cache" or entry.adapter or not _is_snapshot(snapshot):
        return _Kept()
    repository = snapshot.parents[1]
    watched = (repository / "blobs", repository / "refs", repository / "refs" / MAIN, snapshot.parent, snapshot)
    return _kept(repository, snapshot.name, tuple(_modified_ns(path) for path in watched))


def _is_snapshot(folder: Path) -> bool:
    return folder.parent.name == "snapshots"


@lru_cache(maxsize=512)
def _kept(repository: Path, commit: str, _state: tuple[int, ...]) -> _Kept:
    """What is kept of a repository whose folders were last changed at these times."""
    found = read_repository(repository, repository.parent)
    refs = sorted((ref for ref, named in found.refs.items() if named == commit), key=lambda ref: (ref != MAIN, ref))
    newest = sorted(found.snapshots, key=lambda each: (each.commit == commit, each.modified_at), reverse=True)
    size = sum(file.bytes for file in (*found.blobs.values(), *(own for each in found.snapshots for own in each.own)))
    return _Kept(commit, refs[0] if refs else "", tuple(each.commit for each in newest), size)


def _modified_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _read_at(folder: Path) -> float | None:
    """When weights were last read, as far as the file system keeps that."""
    times = []
    try:
        with os.scandir(folder) as files:
            for file in files:
                if file.name.endswith(".safetensors") and file.is_file():
                    times.append(file.stat().st_atime)
    except OSError:
        return None
    return max(times, default=None)
