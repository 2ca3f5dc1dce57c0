"""A draft model: a smaller model with the same tokens, whose draws are the guesses. It reads along in caches of its own.

It draws with the answer's own sampler and its next keys, so it guesses rightly also where chance decides, as far as both models agree.
It reads what was said only once it is asked for guesses, a chunk at each step. It knows token ids, models and caches; nothing of requests.
"""

import time
from collections.abc import Sequence

import mlx.core as mx

from mlx_harmony.errors import GenerationFailed
from mlx_harmony.records import SpeculationKind
from mlx_harmony.worker.cache.layers import Layers
from mlx_harmony.worker.guard import guarded
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.prompt_cache import PromptCache
from mlx_harmony.worker.reading import Reading
from mlx_harmony.worker.sampling import Sampler
from mlx_harmony.worker.speculation.gain import WEIGHT
from mlx_harmony.worker.speculation.going_back import Before

CHUNK = 256
PRIOR, PRIOR_WEIGHT, MEMORY = 0.7, 4.0, 0.9


class DraftModel:
    """What outlives an answer: the model by its id, what it has read before, how fast it reads, and how long a guess of it takes."""

    def __init__(self, model_id: str, path: str, loaded: LoadedModel, cache_bytes: int) -> None:
        self.id = model_id
        self.path = path
        self.loaded = loaded
        self.cache = PromptCache(cache_bytes)
        self.pace = loaded.new_pace()
        self.each_s = 0.0
        self._timed = False

    def can_read(self, tokens: Sequence[int]) -> bool:
        """Whether these tokens have rows in it and room in its context."""
        card = self.loaded.card
        return len(tokens) < card.context_length and max(tokens, default=0) < card.vocabulary_size

    def took(self, seconds: float, guesses: int) -> None:
        """Learn what a guess takes; the first time says nothing, since a GPU compiles its kernels in it."""
        if self._timed:
            each = seconds / guesses
            self.each_s += (WEIGHT if self.each_s else 1.0) * (each - self.each_s)
        self._timed = True


class Draft:
    """The guesses of a draft model for one answer to `prompt`. `vocabulary` is how many rows the answering model's logits have."""

    kind: SpeculationKind = "draft"

    def __init__(self, draft: DraftModel, prompt: Sequence[int], sampler: Sampler, vocabulary: int) -> None:
        self._draft = draft
        self._sampler = sampler
        self._vocabulary = vocabulary
        self._text = list(prompt)
        self._asked = len(self._text)
        self._known: int | None = None
        self._reading: Reading | None = None
        self._layers: Layers = []
        self._reads_along = False
        self._owed: list[int] = []
        self._before: Before | None = None
        self._fed: list[int] = []
        self._matched = 0
        self._dead = False
        self._right = PRIOR * PRIOR_WEIGHT
        self._tried = PRIOR_WEIGHT

    @property
    def each_s(self) -> float:
        return self._draft.each_s

    @property
    def unread_s(self) -> float:
        """How long it has to read before it can guess, in seconds; 0 once it reads along."""
        if self._reads_along:
            return 0.0
        if self._known is None:
            self._known = self._draft.cache.peek(self._text)
        done = self._reading.done if self._reading is not None and self._reading.begun else self._known
        return (len(self._text) - done) * self._draft.pace.token_s

    def saw(self, token: int) -> None:
        self._dead = self._dead or not self._draft.can_read([token])
        self._text.append(token)
        if not self._reads_along:
            return
        if not self._owed and self._matched < len(self._fed) and self._fed[self._matched] == token:
            self._matched += 1
        else:
            self._owed.append(token)

    def chances(self, count: int) -> list[float]:
        room = self._draft.loaded.card.context_length - len(self._text)
        # The first token waits for nobody's reading.
        return [] if self._dead or len(self._text) == self._asked else [self._right / self._tried] * min(count, room)

    def guess(self, count: int) -> list[int]:
        """Its own draws, none while it still reads; where it fails, it guesses no more and the answer goes on without."""
        if not self._reads_along:
            self._dead = guarded(self._read_on, GenerationFailed) is not None
        if self._dead or not self._reads_along:
            return []
        guesses: list[int] = []
        mark, began = self._sampler.mark(), time.perf_counter()
        failed = guarded(lambda: guesses.extend(self._draws(count)), GenerationFailed)
        self._sampler.go_back(mark)
        self._draft.took(time.perf_counter() - began, count)
        self._dead = failed is not None
        return [] if failed is not None else guesses

    def checked(self, guessed: int, right: int) -> None:
        tried = min(guessed, right + 1)
        self._right = self._right * MEMORY**tried + right
        self._tried = self._tried * MEMORY**tried + tried

    def close(self) -> None:
        """Keep what it has read for the next turn."""
        if self._reading is not None:
            guarded(self._reading.leave, GenerationFailed)
        if self._reads_along and not self._dead:
            guarded(self._keep, GenerationFailed)
        self._dead, self._reading = True, None

    def _read_on(self) -> None:
        """Read a chunk of what was said so far. What is said meanwhile is caught up on before the first guess."""
        if self._reading is None:
            self._reading = Reading(self._draft.loaded.model, self._draft.cache, self._draft.pace, list(self._text))
        reading = self._reading
        if reading.waits or not (reading.begun or reading.begin()):
            return
        if not reading.over:
            reading.read()
        if reading.over:
            self._reads_along, self._reading = True, None
            self._layers, self._owed = reading.layers, self._text[reading.end :]

    def _draws(self, count: int) -> list[int]:
        self._go_back()
        logits = self._catch_up()
        self._before = Before(self._layers, passes=True)
        tokens: list[mx.array] = []
        for at in range(count):
            tokens.append(self._sampler.draw(logits).token)
            if at + 1 < count:
                logits = self._fitting(self._draft.loaded.model(tokens[-1][:, None], cache=self._layers)[:, -1, :])
        drawn = [int(token) for token in mx.concatenate(tokens).tolist()]  # type: ignore[union-attr, arg-type]
        self._fed, self._matched = drawn[:-1], 0
        return drawn

    def _go_back(self) -> None:
        """Take the wrong guesses out of the caches."""
        if self._before is not None and self._matched < len(self._fed):
            if self._before.cuttable:
                self._before.cut(self._matched)
            else:
                self._before.restore()
                self._owed = [*self._fed[: self._matched], *self._owed]
        self._before, self._fed, self._matched = None, [], 0

    def _catch_up(self) -> mx.array:
        """Read what was said since, all of it; logits (1, V) of what may follow."""
        owed, self._owed = self._owed, []
        while len(owed) > CHUNK:
            self._draft.loaded.model(mx.array(owed[:CHUNK], mx.int32)[None], cache=self._layers)
            mx.eval([layer.state for layer in self._layers])
            owed = owed[CHUNK:]
        return self._fitting(self._draft.loaded.model(mx.array(owed, mx.int32)[None], cache=self._layers)[:, -1, :])

    def _fitting(self, logits: mx.array) -> mx.array:
        """Logits with a row for each token that both models know; the sampler's ids and the answering model's rows depend on it."""
        logits = logits[:, : self._vocabulary].astype(mx.float32)
        missing = self._vocabulary - logits.shape[-1]
        return mx.pad(logits, [(0, 0), (0, missing)], constant_values=-mx.inf) if missing > 0 else logits

    def _keep(self) -> None:
        self._go_back()
        held = len(self._text) - len(self._owed)
        self._draft.cache.put(self._text[:held], self._layers)
