"""What `--prompt-cache-file` asks for: a run begins with what the file holds, and says what it was worth. Never in silence."""

from collections.abc import Awaitable, Callable

from mlx_harmony.cache_records import CacheState, Reuse
from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.events import Event, Finished
from mlx_harmony.settings import absolute


class Beginning:
    """A file to begin from, or None for none; its first answer tells how much of it was of use."""

    def __init__(self, file: str | None, terminal: Terminal) -> None:
        self._path = str(absolute(file)) if file else ""
        self._terminal = terminal
        self._told = not file

    async def take(self, load: Callable[[str], Awaitable[CacheState]]) -> None:
        """Have it loaded. Raises InvalidRequest, with the reason, where it is refused."""
        if self._path:
            await load(self._path)

    def note(self, event: Event) -> None:
        """Say once, on stderr, what of the prompt needed no reading."""
        if not self._told and isinstance(event, Finished) and event.reuse is not None:
            self._told = True
            self._terminal.warn(worth(event.reuse))


def worth(reuse: Reuse) -> str:
    """How much of a prompt a file was worth, and where they part."""
    if reuse.reused:
        return f"{reuse.reused:,} of {reuse.prompt:,} tokens of the prompt were in the file."
    where = f" They part at token {reuse.position:,}." if reuse.position is not None else ""
    return f"Nothing in the file was of use: this prompt does not begin as the one in it.{where}"
