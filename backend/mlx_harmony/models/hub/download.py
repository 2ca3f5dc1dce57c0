"""Getting a model from the hub into the Hugging Face cache: only what is needed, every byte once, nothing seen before all of it is right.

What is half here stays as `.incomplete` files, from which the same download goes on, in this program or in the next. It knows no jobs but
how to report to one.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from mlx_harmony.errors import HarmonyError, LoadFailed, StorageError, Unavailable
from mlx_harmony.jobs.records import JobFile, Report
from mlx_harmony.models.hub.arriving import Arriving
from mlx_harmony.models.hub.cache import Repository, unwritable
from mlx_harmony.models.hub.client import Hub, file_path
from mlx_harmony.models.hub.names import checked_commit, checked_id, checked_revision
from mlx_harmony.models.hub.needed import lack
from mlx_harmony.models.hub.offers import HubFile, Offer
from mlx_harmony.models.hub.refusals import unreachable
from mlx_harmony.models.hub.web import Dropped, Web
from mlx_harmony.models.hub_cache import hub_cache_folder

AT_ONCE = 4
"""So many files come at the same time."""
LONGEST_RANGE = 20 * 10**9
"""One request asks for no more: not every server gives out larger pieces."""
SPARE_BYTES = 200_000_000
"""So much stays free on the disk."""
LOOK_AGAIN_S = 0.5
LONGEST_PAUSE_S = 60.0
ELSEWHERE = "Another download is getting the same file; this one waits for it."


def free_bytes(folder: Path) -> int:
    """How much the disk of a folder still takes; the folder may be yet to make. Raises OSError."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


class Downloads:
    """The runner of downloads. A subject names the model's `id`, the `revision` that was asked for and the `commit` that is meant."""

    def __init__(
        self,
        hub: Callable[[], Hub] = Hub.of_environment,
        cache: Callable[[], Path] = hub_cache_folder,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        self._hub = hub
        self._cache = cache
        self._free = free
        self._running: list[_Download] = []

    async def __call__(self, subject: dict[str, str], report: Report) -> None:
        """Get it all. Raises HubRefused, ModelNotFound, Unavailable, LoadFailed and StorageError; what has come stays."""
        hub, commit = self._hub(), checked_commit(subject.get("commit"))
        revision = checked_revision(subject.get("revision", commit))
        offer = await hub.offer(subject["id"], commit)
        refuse_useless(offer)
        repository = Repository(self._cache(), offer.id)
        download = _Download(hub, offer, repository, report)
        self._running.append(download)
        try:
            self._check_space(download)
            await asyncio.to_thread(repository.prepare)
            await asyncio.to_thread(repository.expect, commit, offer.files)
            await download.run()
            await asyncio.to_thread(repository.link, commit, revision, offer.files)
            await asyncio.to_thread(repository.settle, commit)
        except OSError as error:
            raise unwritable(error, repository.folder) from error
        finally:
            self._running.remove(download)

    async def discard(self, subject: dict[str, str]) -> None:
        """Remove what a cancelled download brought. Raises StorageError."""
        repository, commit = Repository(self._cache(), checked_id(subject["id"])), checked_commit(subject.get("commit"))
        try:
            await asyncio.to_thread(repository.discard, commit)
        except OSError as error:
            raise unwritable(error, repository.folder) from error

    def _check_space(self, download: "_Download") -> None:
        """Raises StorageError where the disk has no room for this download and for what the others still bring."""
        needed = download.missing
        others = sum(other.missing for other in self._running if other is not download)
        free = self._free(self._cache())
        if needed and needed + others + SPARE_BYTES > free:
            beside = f", of which other downloads take {amount(others)}" if others else ""
            hint = "Make room, then resume. Models can be deleted in the Models tab or with `mlx-harmony models delete`."
            said = f"{amount(needed)} are needed on the disk, and {amount(free)} are free{beside}; {amount(SPARE_BYTES)} are to stay so."
            raise StorageError(said, hint=hint)


def refuse_useless(offer: Offer) -> None:
    """Raises LoadFailed for a model that could not be loaded here."""
    if why := lack(file.name for file in offer.files):
        hint = "Choose another model, such as one that was converted for MLX."
        raise LoadFailed(f"{offer.id} cannot be used here. {why}", hint=hint, param="id")


def amount(size: int) -> str:
    """Bytes in words: 13.4 MB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


class _Download:
    """One offer on its way into one repository."""

    def __init__(self, hub: Hub, offer: Offer, repository: Repository, report: Report) -> None:
        self._hub = hub
        self._offer = offer
        self._repository = repository
        self._report = report
        self._done = {file.etag: repository.here(file) for file in offer.files}
        self._names: dict[str, list[HubFile]] = {}
        for file in offer.files:
            self._names.setdefault(file.etag, []).append(file)

    @property
    def missing(self) -> int:
        """How many bytes are still to come."""
        return sum(files[0].bytes - self._done[etag] for etag, files in self._names.items())

    async def run(self) -> None:
        """Get every blob; the smallest files come first, so that what can be refused is refused at once."""
        self._report(*(self._file(file) for file in self._offer.files))
        files = iter([files[0] for files in self._names.values()])
        try:
            async with self._hub.web() as web, asyncio.TaskGroup() as group:
                for _ in range(min(AT_ONCE, len(self._names))):
                    group.create_task(self._get_some(web, files))
        except ExceptionGroup as failures:
            raise _first(failures) from None

    async def _get_some(self, web: Web, files: Iterator[HubFile]) -> None:
        for file in files:
            while (descriptor := self._repository.lock(file.etag)) is None:
                self._report(note=ELSEWHERE)
                await asyncio.sleep(LOOK_AGAIN_S)
            try:
                await self._get(web, file)
            finally:
                os.close(descriptor)

    async def _get(self, web: Web, file: HubFile) -> None:
        """Get a file and give it its name among the blobs. One that arrives damaged is got once more, from its beginning."""
        if self._repository.has(file):
            return self._tell(file, file.bytes)
        async with Arriving(self._repository.incomplete(file), file) as arriving:
            for _ in range(2):
                await self._bring(web, file, arriving)
                if arriving.is_right():
                    return await arriving.keep(self._repository.blob(file))
                await arriving.restart()
        self._tell(file, 0)
        said = f"{file.name} arrived damaged, twice: its checksum is not the one that the hub announces."
        raise Unavailable(said, hint="Nothing of it was kept. Resume to try again.")

    async def _bring(self, web: Web, file: HubFile, arriving: Arriving) -> None:
        """Get what is missing of a file. While bytes come it is tried again, however often the connection breaks."""
        patience, tries = self._hub.patience, 0
        while arriving.size < file.bytes:
            before, dropped = arriving.size, Dropped(unreachable("it sends nothing"))
            try:
                await self._stream(web, file, arriving)
                if arriving.size > before:
                    tries = 0
                    continue
            except Dropped as error:
                dropped = error
            tries = 0 if arriving.size > before else tries + 1
            if tries >= patience.attempts:
                raise dropped.error
            self._report(note=f"{dropped.error.message} It is tried again.")
            pause = min(LONGEST_PAUSE_S, max(dropped.wait_s, patience.first_pause_s * 2**tries))
            await asyncio.sleep(pause)

    async def _stream(self, web: Web, file: HubFile, arriving: Arriving) -> None:
        """Append what one request brings. Raises Dropped and the errors of `refusals`."""
        self._tell(file, arriving.size)
        start = arriving.size
        headers = {"range": f"bytes={start}-{min(file.bytes, start + LONGEST_RANGE) - 1}"}
        asked = self._hub.asked(self._offer.id, self._offer.revision)
        async with web.open(file_path(self._offer.id, self._offer.revision, file.name), asked, headers) as response:
            if start and not response.headers.get("content-range", "").startswith(f"bytes {start}-"):
                # It comes from its beginning, whatever was asked for.
                await arriving.restart()
            async for piece in response.aiter_raw():
                await arriving.append(piece[: file.bytes - arriving.size])
                self._tell(file, arriving.size)
                if arriving.size == file.bytes:
                    return

    def _tell(self, file: HubFile, done: int) -> None:
        self._done[file.etag] = done
        self._report(*(self._file(each) for each in self._names[file.etag]))

    def _file(self, file: HubFile) -> JobFile:
        return JobFile(name=file.name, done_bytes=self._done[file.etag], total_bytes=file.bytes)


def _first(failures: ExceptionGroup[Exception]) -> Exception:
    """The failure to tell of: one of ours where there is one."""
    ours, rest = failures.split(HarmonyError)
    found = (ours or rest or failures).exceptions[0]
    return _first(found) if isinstance(found, ExceptionGroup) else found
