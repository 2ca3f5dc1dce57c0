"""The folder of one model's kept pieces: which are there, which are pinned, and which go when the disk's budget is full.

All models' folders lie in one root and share its budget; the file's time is when it was last used. Several processes may use a shelf at
once: files appear whole, and one that is gone is a miss. It knows no mlx and no tree.
"""

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from mlx_harmony.records import Record
from mlx_harmony.shelf.piece import VERSION, Head, Unreadable, read_head, read_payload, write_piece

SUFFIX = ".kv"
PIN = ".pin"
ABOUT = "about.json"
PACE = "pace.json"
PROBLEM = "problem.txt"
LEFT_OVER_S = 600.0
"""A half-written file older than this is of a process that was killed."""


class Identity(Record):
    """What keys and values depend on besides the tokens. `model` is the folder, for people and for saying what changed.

    `kv` is the layers' kinds, `numerics` the device, the type the weights are computed in, and the versions of mlx.
    """

    model: str
    weights: str
    format: str
    kv: str
    numerics: str
    adapter: str = ""

    @property
    def key(self) -> str:
        """The name of its folder: the same for the same weights wherever they lie."""
        body = msgspec.msgpack.encode(msgspec.structs.replace(self, model=""))
        return f"v{VERSION}-{hashlib.blake2b(body, digest_size=16).hexdigest()}"

    @property
    def kv_form(self) -> str:
        """The form in which keys and values are kept, in words; "" as the model computes them."""
        return self.kv.partition(" ")[2]

    def differs_from(self, other: "Identity") -> str:
        """Which of its parts are not the other's, in words."""
        names = {"weights": "weights", "format": "chat template or tokenizer", "kv": "KV format", "numerics": "way of computing"}
        names["adapter"] = "adapter"
        return ", ".join(words for name, words in names.items() if getattr(self, name) != getattr(other, name))


class PieceFile(NamedTuple):
    """A file of a shelf as the folder lists it. `used_at` in nanoseconds since the epoch."""

    path: Path
    bytes: int
    used_at: int
    pinned: bool

    @property
    def id(self) -> str:
        return self.path.stem.partition("-")[2]

    @property
    def end(self) -> int:
        """How many tokens it reaches to: of two that were used together the longer goes first."""
        return int(self.path.stem.partition("-")[0])


class Shelf:
    """The pieces of one model. `problems` says why files were not believed."""

    def __init__(self, root: Path, identity: Identity, budget_bytes: int) -> None:
        self.root = root
        self.identity = identity
        self.budget_bytes = budget_bytes
        self.folder = root / identity.key
        self.problems: list[str] = []
        self._paths: dict[str, Path] = {}

    def open(self) -> list[tuple[Head, PieceFile]]:
        """Make the folder and read every head, shortest prefix first; what cannot be read is taken out. Raises OSError."""
        for folder in (self.root, self.folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
        (self.folder / ABOUT).write_bytes(msgspec.json.encode(self.identity))
        (self.folder / ABOUT).chmod(0o600)
        self.note_problem("")
        self._sweep()
        found = []
        for file in sorted(pieces(self.folder), key=lambda file: file.end):
            if (head := self._believed(file)) is not None:
                self._paths[file.id] = file.path
                found.append((head, file))
        return found

    def know(self, paths: dict[str, Path]) -> None:
        """Take these pieces of the folder for known, without reading them."""
        self._paths |= paths

    def others(self) -> list[Identity]:
        """What is kept of the same model folder as it was before: other weights, another template."""
        known = (about(folder) for folder in shelves(self.root) if folder != self.folder and any(pieces(folder)))
        return [other for other in known if other is not None and other.model == self.identity.model]

    def write(self, head: Head, payload: Sequence[memoryview]) -> int:
        """Keep a piece and return its bytes. Raises OSError."""
        path = self.folder / f"{head.end:09d}-{head.id}{SUFFIX}"
        size = write_piece(path, head, payload)
        self._paths[head.id] = path
        return size

    def read(self, piece_id: str) -> tuple[Head, list[memoryview]]:
        """A piece, checked again. Raises Unreadable where it is gone or odd; what is odd is taken out."""
        path = self._paths.get(piece_id)
        try:
            if path is None:
                raise Unreadable("it is no longer there")
            head = read_head(path)
            if head.id != piece_id:
                raise Unreadable("it is another piece than its name says")
            return head, read_payload(path, head)
        except OSError as error:
            raise Unreadable(f"it cannot be read ({error.strerror})") from error
        except Unreadable:
            self.remove([piece_id])
            raise

    def touch(self, piece_ids: Sequence[str]) -> None:
        """Remember that these were used now, all at one moment: of what was used together the longest goes first."""
        now = time.time_ns()
        for path in self._known(piece_ids):
            with suppress(OSError):
                os.utime(path, ns=(now, now))

    def pin(self, piece_ids: Sequence[str], pinned: bool) -> None:
        """Keep these from being dropped for room, or no longer. Raises OSError."""
        for path in self._known(piece_ids):
            mark = path.with_suffix(PIN)
            if pinned:
                mark.touch(mode=0o600)
            else:
                mark.unlink(missing_ok=True)

    def remove(self, piece_ids: Sequence[str]) -> None:
        """Take these off the disk."""
        for piece_id in piece_ids:
            if (path := self._paths.pop(piece_id, None)) is not None:
                _unlink(path)

    def pace(self) -> float:
        """How many seconds reading a token took when that was last written down, else 0."""
        try:
            return max(0.0, msgspec.json.decode((self.folder / PACE).read_bytes(), type=float))
        except (OSError, msgspec.DecodeError):
            return 0.0

    def note_pace(self, token_s: float) -> None:
        """Write it down. Raises OSError."""
        (self.folder / PACE).write_bytes(msgspec.json.encode(token_s))

    def note_problem(self, problem: str) -> None:
        """Write down what is wrong while the model is loaded, "" for nothing. Raises OSError."""
        if problem:
            (self.folder / PROBLEM).write_text(problem, "utf-8")
        else:
            (self.folder / PROBLEM).unlink(missing_ok=True)

    def shorten(self, piece_id: str, until: int) -> int:
        """Cut a run's file to end at token `until`, and return its bytes; 0 where it cannot be read. Raises OSError.

        The longer file goes first: a crash then costs what stays, and leaves nothing of what has to go.
        """
        from mlx_harmony.shelf.joining import shortened

        try:
            head, payload = shortened(*self.read(piece_id), until)
        except Unreadable:
            return 0
        pinned = self._paths[piece_id].with_suffix(PIN).exists()
        self.remove([piece_id])
        size = self.write(head, payload)
        if pinned:
            self.pin([piece_id], True)
        return size

    def make_room(self) -> set[str]:
        """Bring the root within its budget; the ids of this shelf's pieces that went or that another process removed."""
        make_room(self.root, self.budget_bytes)
        here = {file.id for file in pieces(self.folder)}
        gone = set(self._paths) - here
        for piece_id in gone:
            del self._paths[piece_id]
        return gone

    def _known(self, piece_ids: Sequence[str]) -> Iterator[Path]:
        return (self._paths[piece_id] for piece_id in piece_ids if piece_id in self._paths)

    def _believed(self, file: PieceFile) -> Head | None:
        try:
            head = read_head(file.path)
            if head.id != file.id or head.end != file.end:
                raise Unreadable("it is another piece than its name says")
        except Unreadable as error:
            self.problems.append(f"{file.path.name}: {error}.")
            _unlink(file.path)
            return None
        except OSError:
            return None
        return head

    def _sweep(self) -> None:
        """Remove what killed processes left half written."""
        for path in self.folder.glob(".*.new"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > LEFT_OVER_S:
                    path.unlink()


def shelves(root: Path) -> list[Path]:
    """The folders of all models under a root."""
    return sorted(path for path in root.glob(f"v{VERSION}-*") if path.is_dir())


def about(folder: Path) -> Identity | None:
    """Whose folder it is; None where it does not say."""
    try:
        return msgspec.json.decode((folder / ABOUT).read_bytes(), type=Identity)
    except (OSError, msgspec.DecodeError):
        return None


def problem(folder: Path) -> str:
    """What is wrong with what a loaded model keeps there, "" for nothing."""
    try:
        return (folder / PROBLEM).read_text("utf-8", "replace")
    except OSError:
        return ""


def pieces(folder: Path) -> Iterator[PieceFile]:
    """The files of a folder; those that go while we look are left out."""
    try:
        names = {entry.name: entry for entry in os.scandir(folder)}
    except OSError:
        return
    for name, entry in names.items():
        if name.endswith(SUFFIX) and name.partition("-")[0].isdecimal():
            with suppress(OSError):
                seen = entry.stat()
                yield PieceFile(Path(entry.path), seen.st_size, seen.st_mtime_ns, f"{name.removesuffix(SUFFIX)}{PIN}" in names)


def make_room(root: Path, budget_bytes: int) -> None:
    """Remove the longest unused pieces of all models, none that is pinned, until the rest is within the budget."""
    files = [file for folder in shelves(root) for file in pieces(folder)]
    total = sum(file.bytes for file in files)
    for file in sorted((file for file in files if not file.pinned), key=lambda file: (file.used_at, -file.end)):
        if total <= budget_bytes:
            return
        _unlink(file.path)
        total -= file.bytes


def _unlink(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
        path.with_suffix(PIN).unlink(missing_ok=True)
