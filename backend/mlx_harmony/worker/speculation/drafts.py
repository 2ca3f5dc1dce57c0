"""Which draft model reads along with a loaded model: at most one, found among those that were offered, loaded beside it, let go again.

A draft model must have the same tokens; that is looked at in its tokenizer, before any weights are read. Where none can be had, the
answer comes without it, with a note that says why.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from mlx_harmony.errors import LoadFailed
from mlx_harmony.records import AUTO_DRAFT, DraftChoice, GenerationRequest, LoadOptions
from mlx_harmony.worker.device import Device, blas_threads, use_blas_threads
from mlx_harmony.worker.folder import check_folder
from mlx_harmony.worker.guard import guarded
from mlx_harmony.worker.load import LoadedModel, load, open_tokenizer
from mlx_harmony.worker.speculation.draft_model import DraftModel
from mlx_harmony.worker.speculation.gain import Choice
from mlx_harmony.worker.speculation.going_back import can_go_back

Progress = Callable[[str, float], None]

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


class Drafts:
    """The draft model of one loaded model. Everything in it belongs to the thread that owns mlx."""

    def __init__(self, loaded: LoadedModel, device: Device, cache_bytes: int = 0) -> None:
        self._loaded = loaded
        self._device = device
        self._cache_bytes = cache_bytes // CACHE_SHARE
        self._tokens = tokens_of(loaded.tokenizer)
        self._problems: dict[tuple[str, float], str] = {}
        self._draft: DraftModel | None = None

    def wanted(self, request: GenerationRequest, progress: Progress) -> Found:
        """The draft model that a request asks for, loaded where it is not yet; `progress` may raise to stop that."""
        if request.draft_model is None:
            return Found()
        if not request.draft_model:
            self.drop()
            return Found()
        problem = NOT_HERE
        for choice in request.drafts:
            if self._draft is not None and self._draft.path == choice.path:
                return Found(self._draft)
            problem = self._problem(choice)
            if not problem:
                return self._loaded_from(choice, progress)
        return Found(
            note=NONE_FITS if request.draft_model == AUTO_DRAFT else f"The model {request.draft_model} cannot guess for this one: {problem}"
        )

    def drop(self) -> None:
        """Let the draft model go; an answer that it still reads along with keeps it until its end."""
        if self._draft is not None:
            self._draft = None
            mx.clear_cache()

    def _problem(self, choice: DraftChoice) -> str:
        """Why a model cannot guess for this one, "" where it has the same tokens. Looked at again when its tokenizer changes."""
        path = Path(choice.path)
        key = (choice.path, max((file.stat().st_mtime for file in path.glob("tokenizer*")), default=0.0))
        if key not in self._problems:
            found: list[bool] = []
            failed = guarded(lambda: found.append(tokens_of(open_tokenizer(check_folder(choice.path))) == self._tokens), LoadFailed)
            self._problems[key] = failed.message if failed is not None else ("" if found == [True] else OTHER_TOKENS)
        return self._problems[key]

    def _loaded_from(self, choice: DraftChoice, progress: Progress) -> Found:
        self.drop()
        threads = blas_threads(self._device.blas)
        made: list[LoadedModel] = []
        failed = guarded(lambda: made.append(load(LoadOptions(path=choice.path), self._device, progress)), LoadFailed)
        # A small model asks for one thread; the large one beside it still wants them all.
        use_blas_threads(self._device.blas, threads)
        if failed is not None:
            return Found(note=f"The draft model {choice.id} could not be loaded, so the answer came without it: {failed.message}")
        if not can_go_back(list(make_prompt_cache(made[0].model))):
            return Found(note=f"The draft model {choice.id} cannot be used: its cache cannot go back.")
        self._draft = DraftModel(choice.id, choice.path, made[0], self._cache_bytes)
        return Found(self._draft)


def tokens_of(tokenizer: Any) -> tuple[dict[str, int], dict[int, str]]:
    """What two tokenizers must have alike: every piece with its id, and the added tokens, control tokens among them."""
    return tokenizer.get_vocab(), {number: token.content for number, token in tokenizer.added_tokens_decoder.items()}
