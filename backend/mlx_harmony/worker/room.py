"""Whether a model fits this machine's memory, asked before it is loaded and again once it is, so that the system never has to end it.

It steps back by itself: to weights that stay quantised, to a shorter context, and last to an error with the figures.
"""

from collections.abc import Callable
from pathlib import Path

from mlx_harmony.errors import OutOfMemory
from mlx_harmony.models.anatomy import anatomy_of
from mlx_harmony.models.forecast import RUNTIME_BYTES, becomes_plain, longest_context, smallest, working_bytes
from mlx_harmony.worker.device import Device
from mlx_harmony.worker.folder import CheckedFolder

Free = Callable[[Device], int | None]
"""How much memory a model may take; None where that is not known."""

SMALLER = "Choose a smaller model or a smaller quantisation."
GIGABYTE = 1e9


class Room:
    """The memory there is for one model. Where its files do not tell its sizes, only what is known is checked."""

    def __init__(self, folder: CheckedFolder, device: Device, free: Free) -> None:
        self._anatomy = anatomy_of(Path(folder.path), folder.config)
        self._device = device
        self._free = free

    def check(self) -> None:
        """Raise OutOfMemory, with the figures, where even the least that the model needs is not there."""
        free = self._free(self._device)
        if free is None or self._anatomy is None:
            return
        least = smallest(self._anatomy, self._device.kind)
        if least.total <= free:
            return
        needs = f"weights {_gb(least.weights)}, {least.context} tokens {_gb(least.kv)}, room to work {_gb(least.working)}"
        raise OutOfMemory(
            f"The model needs at least {_gb(least.total)} of memory ({needs}), and {_gb(free)} are free.",
            hint=f"Unload other models, close other programs, or load it anyway. {SMALLER}",
        )

    def for_plain(self, parameters: int) -> bool:
        """Whether there is room for so many weights as float32."""
        free = self._free(self._device)
        working = RUNTIME_BYTES if self._anatomy is None else working_bytes(self._anatomy, self._device.kind)
        return free is not None and becomes_plain(parameters, working, free)

    def context(self, wanted: int) -> tuple[int, tuple[str, ...]]:
        """How long a context there is room for now that the weights are loaded, and what to tell of it."""
        free = self._free(self._device)
        if free is None or self._anatomy is None:
            return wanted, ()
        found = longest_context(self._anatomy, self._device.kind, wanted, free)
        if found == wanted:
            return wanted, ()
        return found, (f"The context is {found:,} tokens instead of {wanted:,}, for which {_gb(free)} of free memory are too little.",)


def _gb(size: int) -> str:
    return f"{size / GIGABYTE:.1f} GB"
