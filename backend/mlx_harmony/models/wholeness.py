"""Whether all of a model's files are there: weights that its index or their numbers promise, whole to their last byte. Opens no tensors.

It does not know whether a whole model can be used.
"""

import os
import re
from functools import lru_cache
from pathlib import Path

import msgspec

from mlx_harmony.models.reading import opened

FileState = tuple[str, int, float]
"""Name, bytes and time of writing."""

INDEX = "model.safetensors.index.json"
MOST_INDEX_BYTES = 64 * 2**20
MOST_HEADER_BYTES = 100_000_000
AGAIN = "Download it again."
_NUMBERED = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.safetensors")


class _Index(msgspec.Struct):
    weight_map: dict[str, str] = {}


class _Place(msgspec.Struct):
    data_offsets: tuple[int, int] = (0, 0)


@lru_cache(maxsize=1024)
def lacking(folder: Path, files: tuple[FileState, ...]) -> str:
    """What is missing in one sentence, "" where nothing is. `files` are those there are now: a changed folder is looked at again."""
    sizes = {name: size for name, size, _ in files}
    if "config.json" not in sizes:
        return "Its config.json is missing."
    weights = sorted(name for name, size in sizes.items() if name.endswith(".safetensors") and size)
    promised = _promised(folder, weights, indexed=INDEX in sizes)
    missing = len(promised.difference(weights))
    if promised and missing:
        verb = "is" if missing == 1 else "are"
        return f"{missing} of its {len(promised)} files of weights {verb} missing. {AGAIN}"
    if not weights:
        return "It has no weights (*.safetensors)."
    cut = next((name for name in weights if _is_cut(folder / name, sizes[name])), None)
    return f"Its file {cut} is cut short. {AGAIN}" if cut else ""


def dangling(folder: Path) -> str:
    """Which file's link leads nowhere, in one sentence; "" where each leads somewhere."""
    try:
        with os.scandir(folder) as files:
            lost = sorted(file.name for file in files if file.is_symlink() and not os.path.exists(file.path))  # noqa: PTH110
    except OSError:
        return ""
    return f"Its file {lost[0]} is missing. {AGAIN}" if lost else ""


def _promised(folder: Path, weights: list[str], *, indexed: bool) -> set[str]:
    """The files of weights there must be, as far as the index and the names of those that are there tell."""
    numbered = [found for name in weights if (found := _NUMBERED.fullmatch(name))]
    promised = {f"{found[1]}-{at:05}-of-{found[3]}.safetensors" for found in numbered for at in range(1, int(found[3]) + 1)}
    return promised | set(_index(folder / INDEX).values()) if indexed else promised


def _index(path: Path) -> dict[str, str]:
    try:
        with opened(path) as file:
            return msgspec.json.decode(file.read(MOST_INDEX_BYTES), type=_Index).weight_map
    except (OSError, ValueError, RecursionError):
        return {}


def _is_cut(path: Path, size: int) -> bool:
    """Whether a file of weights ends before its header says. One whose header makes no sense is for others to judge."""
    try:
        with opened(path) as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= MOST_HEADER_BYTES:
                return False
            if 8 + length > size:
                return True
            places = msgspec.json.decode(file.read(length), type=dict[str, _Place])
    except (OSError, ValueError, RecursionError):
        return False
    return 8 + length + max((place.data_offsets[1] for place in places.values()), default=0) > size
