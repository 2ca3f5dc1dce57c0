"""What all models keep on disk, looked at and changed without loading any. A model that runs meanwhile sees it at its next use.

It knows no mlx; how the files look is `piece`'s business, where they lie `shelf`'s.
"""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from mlx_harmony.cache_records import CacheAction, CacheEntry, CacheState, SavedCache
from mlx_harmony.errors import InvalidRequest, StorageError
from mlx_harmony.records import Record
from mlx_harmony.shelf.bundle import refuse_to_overwrite, write_bundle
from mlx_harmony.shelf.piece import Head, Unreadable, read_head
from mlx_harmony.shelf.shelf import Identity, PieceFile, Shelf, about, pieces, problem, shelves
from mlx_harmony.shelf.uses import read_uses, remove_uses, stays_until, users_of

FOLDER = "cache"
"""The root of all shelves in the app's home."""


class Shelves:
    """All shelves of the app's home."""

    def __init__(self, home: str, budget_bytes: int) -> None:
        self.home = home
        self._root = Path(home, FOLDER)
        self._budget_bytes = budget_bytes

    def state_of(self, folder: str, action: CacheAction = "look", entry: str = "") -> CacheState:
        """What is kept of the model in that folder, after that was done to it."""
        model = str(Path(folder).resolve())
        act_on(self._root, action, entry, model)
        mine = [shelf for shelf in kept_in(self._root) if shelf.identity.model == model]
        return CacheState(
            disk_bytes=sum(shelf.bytes for shelf in mine),
            disk_budget=self._budget_bytes,
            entries=tuple(kept for shelf in mine for kept in shelf.entries),
            problem=next((shelf.problem for shelf in mine if shelf.problem), ""),
        )

    def sizes(self) -> dict[str, int]:
        """How many bytes are kept of the model in each folder; opens no piece."""
        sizes: dict[str, int] = {}
        for folder in shelves(self._root):
            identity, size = about(folder), sum(file.bytes for file in pieces(folder))
            if identity is not None and size:
                sizes[identity.model] = sizes.get(identity.model, 0) + size
        return sizes

    def forget(self, chats: Collection[str]) -> None:
        """Remove what only these chats used, of whatever model; what others use too stays as far as they use it. Raises StorageError."""
        try:
            for folder in shelves(self._root):
                if (identity := about(folder)) is not None:
                    forget_in(Shelf(self._root, identity, self._budget_bytes), chats)
        except OSError as error:
            hint = "Clear the cache in the Cache tab or with `mlx-harmony cache clear`."
            raise StorageError(f"What was kept of the chats could not all be removed: {error.strerror or error}.", hint=hint) from error

    def save(self, folder: str, entry: str, path: Path, *, replace: bool = False) -> SavedCache:
        """Write an entry of the model in that folder to a file. Raises InvalidRequest and StorageError."""
        return save_entry(self._root, entry, path, model=str(Path(folder).resolve()), replace=replace)


class Kept(Record):
    """One model's shelf: whose it is, its bytes, and its entries, the last used first. `problem` says what is wrong, "" for nothing."""

    identity: Identity
    bytes: int
    entries: tuple[CacheEntry, ...]
    problem: str = ""


def kept_in(root: Path) -> tuple[Kept, ...]:
    """Every shelf under a root that holds something; a file that cannot be read is left out."""
    found = (_kept(folder) for folder in shelves(root))
    return tuple(shelf for shelf in found if shelf is not None)


def act_on(root: Path, action: CacheAction, entry: str = "", model: str = "") -> int:
    """Drop, pin or unpin the entry of that id, or clear the shelves of a model's folder ("" for all); how many files that met.

    An entry is dropped with what goes on from it, and pinned with what it goes on from.
    """
    met = 0
    for folder in shelves(root):
        identity, files = about(folder), {file.id: file for file in pieces(folder)}
        if identity is None or (model and identity.model != model):
            continue
        parents = _parents(files)
        ids = _meant(action, entry, parents)
        shelf = Shelf(root, identity, 0)
        shelf.know({piece_id: files[piece_id].path for piece_id in ids if piece_id in files})
        if action in ("pin", "unpin"):
            shelf.pin(ids, action == "pin")
        elif action != "look":
            shelf.remove(ids)
        met += len(ids)
    return met


def forget_in(shelf: Shelf, chats: Collection[str]) -> None:
    """Remove from one shelf what only these chats used. Raises OSError."""
    uses = read_uses(shelf.folder)
    if not any(chat in uses for chat in chats):
        return
    users, files = users_of(uses.values()), {file.id: file for file in pieces(shelf.folder)}
    shelf.know({piece_id: file.path for piece_id, file in files.items()})
    heads = [head for head, _ in _heads(files)]
    stay = {head.id: stays_until(head.start, head.end, users.get(head.id, {}), chats) for head in heads if head.kind == "run"}
    for head in heads:
        if (head.kind == "state" and head.end > stay.get(head.parent, head.end)) or (head.kind == "run" and stay[head.id] <= head.start):
            shelf.remove([head.id])
        elif head.kind == "run" and stay[head.id] < head.end:
            shelf.shorten(head.id, stay[head.id])
    remove_uses(shelf.folder, chats)


def save_entry(root: Path, entry: str, path: Path, *, model: str = "", replace: bool = False) -> SavedCache:
    """Write the entry of that id with all that it goes on from to a file. Raises InvalidRequest and StorageError."""
    from mlx_harmony.shelf.joining import Link, joined

    refuse_to_overwrite(path, replace)
    for folder in shelves(root):
        identity, files = about(folder), {file.id: file for file in pieces(folder)}
        if identity is None or entry not in files or (model and identity.model != model):
            continue
        heads = dict(_by_id(files))
        shelf = Shelf(root, identity, 0)
        shelf.know({piece_id: file.path for piece_id, file in files.items()})
        way = sorted((heads[piece] for piece in _chain(entry, {head.id: head.parent for head in heads.values()})), key=_start)
        ends = [*(head.start for head in way[1:]), way[-1].end]
        try:
            links = [
                Link(*shelf.read(head.id), until, [shelf.read(state.id) for state in _states_on(heads, head, until)])
                for head, until in zip(way, ends, strict=True)
            ]
        except Unreadable as error:
            raise InvalidRequest(f"The entry cannot be saved: {error}.", hint="Choose another entry.", param="entry") from error
        return write_bundle(path, *joined(identity, links), replace=replace)
    raise InvalidRequest("There is no such entry any more.", hint="Choose another entry.", param="entry")


def _states_on(heads: dict[str, Head], run: Head, until: int) -> list[Head]:
    """The states of a run up to a token, the shortest first."""
    states = (head for head in heads.values() if head.kind == "state" and head.parent == run.id and head.end <= until)
    return sorted(states, key=lambda head: head.end)


def _start(head: Head) -> int:
    return head.start


def _by_id(files: dict[str, PieceFile]) -> list[tuple[str, Head]]:
    return [(head.id, head) for head, _ in _heads(files)]


def _meant(action: CacheAction, entry: str, parents: dict[str, str]) -> list[str]:
    """The pieces that an action on an entry is about. `parents`: on what each hangs."""
    match action:
        case "drop":
            return [piece for piece in parents if entry in _chain(piece, parents)]
        case "pin" if entry in parents:
            links = _chain(entry, parents)
            return [piece for piece in parents if piece in links or parents[piece] == entry]
        case "unpin" if entry in parents:
            return [piece for piece in parents if piece == entry or parents[piece] == entry]
        case "clear" | "clear_disk":
            return list(parents)
    return []


def _chain(piece: str, parents: dict[str, str]) -> set[str]:
    """A piece and all that it goes on from."""
    chain: set[str] = set()
    while piece in parents and piece not in chain:
        chain.add(piece)
        piece = parents[piece]
    return chain


def _parents(files: dict[str, PieceFile]) -> dict[str, str]:
    return {head.id: head.parent for head, _ in _heads(files)}


def _heads(files: dict[str, PieceFile]) -> list[tuple[Head, PieceFile]]:
    heads = []
    for file in files.values():
        with suppress(OSError, Unreadable):
            heads.append((read_head(file.path), file))
    return heads


def _kept(folder: Path) -> Kept | None:
    identity, files = about(folder), {file.id: file for file in pieces(folder)}
    if identity is None or not files:
        return None
    heads = _heads(files)
    states = [(head, file) for head, file in heads if head.kind == "state"]
    runs = sorted(((head, file) for head, file in heads if head.kind == "run"), key=lambda pair: (-pair[1].used_at, pair[0].start))
    ends: dict[str, tuple[str, ...]] = {}
    for use in sorted(read_uses(folder).values(), key=lambda use: use.chat):
        ends[use.last] = (*ends.get(use.last, ()), use.chat)
    entries = tuple(
        CacheEntry(
            id=head.id,
            parent=head.parent,
            start=head.start,
            end=head.end,
            where="disk",
            disk_bytes=file.bytes + sum(state.bytes for held, state in states if held.parent == head.id),
            snapshots=tuple(sorted(held.end for held, _ in states if held.parent == head.id)),
            pinned=file.pinned,
            used_at=file.used_at / 1e9,
            text=head.text,
            chats=ends.get(head.id, ()),
            kv=identity.kv_form,
        )
        for head, file in runs
    )
    return Kept(identity=identity, bytes=sum(file.bytes for file in files.values()), entries=entries, problem=problem(folder))
