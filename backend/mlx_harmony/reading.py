"""A prompt that a model reads once into a file, from which chats and answers begin: the same from the page and in the terminal.

Whose model it is, the reader knows; this knows neither mlx nor where a program keeps its files, but the folder for those named on the page.
"""

import re
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Protocol

import msgspec

from mlx_harmony.cache_records import READ_ALONE, CacheState, SavedCache
from mlx_harmony.errors import InvalidRequest, StorageError
from mlx_harmony.events import Event, Failed, Finished
from mlx_harmony.records import ChatPrompt, GenerationRequest, Message, Record, Sampling
from mlx_harmony.shelf.bundle import refuse_to_overwrite

OTHER = "\n\n?"
"""What a longer prompt might go on with: reading it shows where it parts from the shorter one."""
FOLDER = "prompts"
"""Where in the app's home the files lie that are named on the page."""
SUFFIX = ".kv"
LONGEST_NAME = 100


class Reader(Protocol):
    """A model that reads, and what it keeps of that."""

    def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]: ...

    async def cache(self) -> CacheState: ...

    async def save(self, entry: str, path: Path, *, replace: bool) -> SavedCache: ...


class PromptRead(Record):
    """What came of it: the file, and what reading took. `peak_bytes` is the most memory the model's process ever took, 0: not known."""

    saved: SavedCache
    prompt_tokens: int
    read_tokens: int
    seconds: float
    peak_bytes: int = 0

    @property
    def tokens_per_second(self) -> float:
        return self.read_tokens / self.seconds if self.seconds > 0 else 0.0


async def read_prompt(
    reader: Reader, request: GenerationRequest, path: Path, *, replace: bool = False
) -> AsyncGenerator[Event | PromptRead, None]:
    """What happens while the prompt is read, and in the end what came of it. Leaving cancels.

    Raises InvalidRequest for an empty prompt or a file that is there already, StorageError, and what the model refuses.
    """
    asked = _alone(request)
    refuse_to_overwrite(path, replace)
    finished: Finished | None = None
    async with aclosing(reader.generate(asked)) as events:
        async for event in events:
            if isinstance(event, Failed):
                raise event.error()
            if isinstance(event, Finished):
                finished = event
            yield event
    assert finished is not None
    state = await reader.cache()
    if any(kept.snapshots for kept in state.entries):
        # A model that cannot cut its cache goes on from a snapshot only: one is put where longer prompts part from this one.
        async with aclosing(reader.generate(_longer(asked))) as events:
            async for event in events:
                if isinstance(event, Failed):
                    raise event.error()
        state = await reader.cache()
    saved = await reader.save(_entry(state, asked.chat), path, replace=replace)
    timings = finished.timings
    yield PromptRead(
        saved=saved,
        prompt_tokens=finished.usage.prompt_tokens,
        read_tokens=timings.prompt_n,
        seconds=timings.prompt_ms / 1000,
        peak_bytes=timings.peak_bytes,
    )


def prompt_file(home: str, name: str) -> Path:
    """Where a file of that name lies. Makes its folder; raises InvalidRequest for what is no name, and StorageError."""
    plain = name.strip()
    if not plain or len(plain) > LONGEST_NAME or plain.startswith(".") or re.search(r"[/\\:\x00-\x1f\x7f]", plain):
        hint = f"Use 1 to {LONGEST_NAME} characters, no slashes, and no dot in front."
        raise InvalidRequest("That is no name for a file.", hint=hint, param="name")
    folder = Path(home, FOLDER)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"Cannot use {folder}: {error.strerror or error}.", hint="Look at the disk of the app's home.") from error
    return folder / (plain if Path(plain).suffix else f"{plain}{SUFFIX}")


def _alone(request: GenerationRequest) -> GenerationRequest:
    """The request as one that is only read, under an id of its own. Raises InvalidRequest for an empty prompt."""
    if not isinstance(request.prompt, ChatPrompt) or not request.prompt.messages[-1].content.strip():
        raise InvalidRequest("The prompt is empty.", hint="Give it some text.", param="prompt")
    return msgspec.structs.replace(
        request,
        sampling=Sampling(temperature=0.0),
        max_tokens=1,
        stop=(),
        chat=f"{READ_ALONE}{uuid.uuid4().hex[:12]}",
        speculation="off",
        loop_detection="off",
    )


def _longer(request: GenerationRequest) -> GenerationRequest:
    """The same prompt with something more in its last message."""
    assert isinstance(request.prompt, ChatPrompt)
    *before, last = request.prompt.messages
    longer = Message(role="user", content=last.content + OTHER)
    prompt = msgspec.structs.replace(request.prompt, messages=(*before, longer))
    return msgspec.structs.replace(request, id=f"{request.id}-longer", chat="", prompt=prompt)


def _entry(state: CacheState, owner: str) -> str:
    found = next((kept.id for kept in state.entries if owner in kept.chats), None)
    if found is None:
        hint = "Give a longer prompt, or the cache some room in the settings."
        raise InvalidRequest("Too little of the prompt was kept to be worth a file.", hint=hint, param="prompt")
    return found
