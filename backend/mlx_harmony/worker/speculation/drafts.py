"""Which draft model reads along with a loaded model: at most one, found among those that were offered, loaded beside it, let go again.

A draft model must have the same tokens; that is looked at in its tokenizer, before any weights are read. Where none can be had, the
answer comes without it, with a note that says why. All of it is done in turns, between which other answers go on.
"""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from mlx_harmony.errors import LoadFailed
from mlx_harmony.events import Loading
from mlx_harmony.records import AUTO_DRAFT, DraftChoice, GenerationRequest, LoadOptions
from mlx_harmony.worker.device import Device, blas_threads, free_bytes, use_blas_threads
from mlx_harmony.worker.folder import CheckedFolder
from mlx_harmony.worker.guard import guarded
from mlx_harmony.worker.load import Checked, LoadedModel, Opening, Stage, check_architecture, open_model
from mlx_harmony.worker.room import Room
from mlx_harmony.worker.speculation.draft_model import DraftModel
from mlx_harmony.worker.speculation.gain import Choice
from mlx_harmony.worker.speculation.going_back import can_go_back
from mlx_harmony.worker.speculation.looking import Looking, LookingBeside, digest_of
from mlx_harmony.worker.turns import Turn

Cancelled = Callable[[], bool]
Look = Callable[[Sequence[str]], Looking]

NONE_FITS = "No model on this machine is smaller and has the same tokens, so none guessed for this answer."
OTHER_TOKENS = "it has other tokens."
NOT_HERE = "it is not on this machine."
CACHE_SHARE = 4
"""A draft model's prompts are kept in one part in so many of the memory that the model's own may take."""


class Guessing(NamedTuple):
    """What outlives an answer where tokens are guessed: what guessing costs, and the draft model."""

    gain: Choice
    drafts: "Drafts | None" = None


class Found(NamedTuple):
    """The draft model that reads along, or why there is none."""

    draft: DraftModel | None = None
    note: str = ""


Wanting = Generator[Loading | Turn, Any, Found]
Key = tuple[str, float]


class Drafts:
    """The draft model of one loaded model. Everything in it belongs to the thread that owns mlx; `look` may look in another."""

    def __init__(self, loaded: LoadedModel, device: Device, cache_bytes: int = 0, look: Look = LookingBeside) -> None:
        self._loaded = loaded
        self._device = device
        self._cache_bytes = cache_bytes // CACHE_SHARE
        self._look = look
        self._tokens: Future[str] | None = None
        self._problems: dict[Key, str] = {}
        self._draft: DraftModel | None = None
        self._turn: Turn | None = None

    def wanted(self, request: GenerationRequest, cancelled: Cancelled) -> Wanting:
        """The draft model that a request asks for, loaded where it is not yet: one request's at a time. None for who is `cancelled`."""
        if request.draft_model is None:
            return Found()
        if not request.draft_model:
            self.drop()
            return Found()
        while self._turn is not None:
            if cancelled():
                return Found()
            yield self._turn
        self._turn = Turn()
        try:
            return (yield from self._found(request, cancelled))
        finally:
            self._turn = None

    def drop(self) -> None:
        """Let the draft model go; an answer that it still reads along with keeps it until its end."""
        if self._draft is not None:
            self._draft = None
            mx.clear_cache()

    def _found(self, request: GenerationRequest, cancelled: Cancelled) -> Wanting:
        """The best of the request's that can be had; the one that is loaded needs no looking at."""
        loaded = self._draft
        before = list(takewhile(lambda choice: loaded is None or choice.path != loaded.path, request.drafts))
        unknown = [choice for choice in before if not self._problems.get(_key(choice))]
        found = (yield from self._first_alike(unknown, cancelled)) if unknown else None
        if cancelled():
            return Found()
        if found is not None:
            return (yield from self._loaded_from(*found, cancelled))
        if len(before) < len(request.drafts):
            return Found(loaded)
        if request.draft_model == AUTO_DRAFT:
            return Found(note=NONE_FITS)
        problem = self._problems.get(_key(request.drafts[-1]), NOT_HERE) if request.drafts else NOT_HERE
        return Found(note=f"The model {request.draft_model} cannot guess for this one: {problem}")

    def _first_alike(
        self, choices: Sequence[DraftChoice], cancelled: Cancelled
    ) -> Generator[Loading | Turn, Any, tuple[DraftChoice, CheckedFolder] | None]:
        """The first with the same tokens, looked at beside. What is wrong with the others is known until their files change."""
        yield _told(Stage("Checking files", 0.0))
        looking = self._look([choice.path for choice in choices])
        try:
            for choice in choices:
                looked = looking.next()
                for future in (self._own_tokens(), looked):
                    while not future.done() and not cancelled():
                        yield self._pause(future)
                if cancelled():
                    return None
                other, key = looked.result(), _key(choice)
                if other.folder is not None and other.digest == self._own_tokens().result():
                    return choice, other.folder
                self._problems[key] = other.problem or OTHER_TOKENS
        finally:
            looking.close()
        return None

    def _loaded_from(self, choice: DraftChoice, folder: CheckedFolder, cancelled: Cancelled) -> Wanting:
        """Read its weights, a piece a turn."""
        self.drop()
        opening, loaded = self._opening(choice, folder), None
        while loaded is None:
            threads, came = blas_threads(self._device.blas), list[Stage | LoadedModel]()
            failed = guarded(lambda: came.append(_next_of(opening)), LoadFailed)  # noqa: B023
            # A small model asks for one thread; the large one beside it still wants them all.
            use_blas_threads(self._device.blas, threads)
            if failed is not None:
                return Found(note=f"The draft model {choice.id} could not be loaded, so the answer came without it: {failed.message}")
            if isinstance(came[0], LoadedModel):
                loaded = came[0]
            elif cancelled():
                opening.close()
                return Found()
            else:
                yield _told(came[0])
                yield self._pause()
        if not can_go_back(list(make_prompt_cache(loaded.model))):
            return Found(note=f"The draft model {choice.id} cannot be used: its cache cannot go back.")
        self._draft = DraftModel(choice.id, choice.path, loaded, self._cache_bytes)
        return Found(self._draft)

    def _opening(self, choice: DraftChoice, folder: CheckedFolder) -> Opening:
        check_architecture(folder.config)
        room = Room(folder, self._device, free_bytes)
        room.check()
        checked = Checked(folder, room, self._loaded.tokenizer, self._loaded.format)
        return (yield from open_model(checked, LoadOptions(path=choice.path), self._device))

    def _own_tokens(self) -> "Future[str]":
        """The digest of the answering model's own tokens, made once, in a thread; "" where its tokenizer does not tell them."""
        if self._tokens is None:
            thread = ThreadPoolExecutor(1, thread_name_prefix="own tokens")
            self._tokens = thread.submit(_digest, self._loaded.tokenizer)
            thread.shutdown(wait=False)
        return self._tokens

    def _pause(self, until: "Future[Any] | None" = None) -> Turn:
        self._turn = Turn(until)
        return self._turn


def _key(choice: DraftChoice) -> Key:
    """A choice, and when its folder last changed."""
    return choice.path, max((file.stat().st_mtime for file in Path(choice.path).glob("*")), default=0.0)


def _digest(tokenizer: Any) -> str:
    found: list[str] = []
    guarded(lambda: found.append(digest_of(tokenizer)), LoadFailed)
    return found[0] if found else ""


def _next_of(opening: Opening) -> Stage | LoadedModel:
    """A load's next stage, or what it comes to."""
    try:
        return next(opening)
    except StopIteration as end:
        loaded: LoadedModel = end.value
        return loaded


def _told(stage: Stage) -> Loading:
    return Loading(stage=f"Draft model: {stage.name[:1].lower()}{stage.name[1:]}", fraction=stage.fraction)
