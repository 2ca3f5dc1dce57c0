"""The way to the prompt cache from other threads than the one that owns mlx: looked at at once, what needs mlx in its turn. No mlx here.

Files are read, checked and written in the thread that asks, so that answers wait only for the moment in which arrays are made of bytes.
"""

import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlx_harmony.cache_records import CacheAction, CacheState, SavedCache
from mlx_harmony.errors import GenerationFailed, InvalidRequest, ModelLoading, ShuttingDown
from mlx_harmony.events import Failed
from mlx_harmony.shelf.bundle import Bundle, read_bundle
from mlx_harmony.shelf.shelf import Identity, Shelf
from mlx_harmony.worker.cache.merging import merged
from mlx_harmony.worker.guard import guarded
from mlx_harmony.worker.inbox import Inbox

if TYPE_CHECKING:
    from mlx_harmony.worker.cache.moving import Step
    from mlx_harmony.worker.kv_caches import KvCaches
    from mlx_harmony.worker.prompt_cache import PromptCache

LOOK_AGAIN_S = 0.5


class CacheDoor:
    """Answers for the cache, of which there is none before the model is loaded."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self.cache: PromptCache | None = None
        self._all: Callable[[], Sequence[PromptCache]] = tuple

    def open(self, caches: "KvCaches") -> None:
        """From now on there are caches. What is loaded is of the plain form; what is shown, saved and dropped is of every one."""
        self.cache, self._all = caches.plain, caches.all

    def act(self, action: CacheAction = "look", entry: str = "") -> CacheState:
        """How the caches stand, after that was done to them."""
        return merged([cache.act(action, entry) for cache in self._all()])

    def save(self, entry: str, path: str, replace: bool = False) -> SavedCache:
        """Write an entry to a file. Blocks; raises InvalidRequest, StorageError and ShuttingDown."""
        from mlx_harmony.worker.cache.moving import save

        plain = self._open()
        cache = next((each for each in self._all() if each.has(entry)), plain)
        found: list[tuple[list[Step], Shelf | None]] = []
        self._in_turn(lambda: found.append(cache.way_to(entry)))
        cache.flush()
        ((steps, shelf),) = found
        return save(steps, shelf, _identity(cache), Path(path), replace=replace)

    def load(self, path: str) -> CacheState:
        """Take in what a file holds. Blocks until it is on the disk too; raises InvalidRequest, with the reason, and ShuttingDown."""
        cache, file = self._open(), Path(path)
        bundle = read_bundle(file)
        if differing := _identity(cache).differs_from(bundle.identity):
            raise InvalidRequest(
                f"{file.name} was saved with another model: its {differing} is not the same.",
                hint=f"It was read with {bundle.identity.model}.",
                param="path",
            )
        self._in_turn(lambda: _take_in(cache, file, bundle))
        cache.flush()
        return self.act()

    def forget(self, chats: Collection[str]) -> CacheState:
        """Drop what only these chats used, in every form. Blocks until it is off the disk; raises ShuttingDown."""
        caches = self._all()

        def forget() -> None:
            for cache in caches:
                cache.forget_chats(chats)

        if caches:
            self._in_turn(forget)
        for cache in caches:
            cache.flush()
        return self.act()

    def _open(self) -> "PromptCache":
        if self.cache is None:
            raise ModelLoading("The model is still being loaded.", hint="Try again in a moment.")
        return self.cache

    def _in_turn(self, work: Callable[[], None]) -> None:
        """Have it done by the thread that owns mlx, between two steps. Raises what it raises."""
        errand = _Errand(work)
        self._inbox.put_errand(errand.run)
        while not errand.done.wait(LOOK_AGAIN_S):
            if self._inbox.closed:
                raise ShuttingDown("The model was closed meanwhile.", hint="Try again.")
        if errand.failed is not None:
            raise errand.failed.error()


class _Errand:
    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self.failed: Failed | None = None
        self.done = threading.Event()

    def run(self) -> None:
        self.failed = guarded(self._work, GenerationFailed)
        self.done.set()


def _take_in(cache: "PromptCache", file: Path, bundle: Bundle) -> None:
    from mlx_harmony.worker.cache.moving import whole

    cache.take_in(whole(file, bundle))


def _identity(cache: "PromptCache") -> Identity:
    if cache.identity is None:
        raise InvalidRequest("The model's files cannot be read, so nothing can be saved of it.", hint="Look at its folder.", param="path")
    return cache.identity
