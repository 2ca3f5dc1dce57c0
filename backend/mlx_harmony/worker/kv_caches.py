"""What one model has read, in every form of KV that was asked for: a prompt cache for each, and one budget of memory for all.

A form is checked against the model when it is first asked for. It knows no requests beyond their KvOptions.
"""

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import mlx.nn as nn
import msgspec

from mlx_harmony.errors import InvalidRequest
from mlx_harmony.records import KvOptions
from mlx_harmony.worker.cache.account import Asker
from mlx_harmony.worker.kv import PLAIN, KvForm
from mlx_harmony.worker.kv_trial import check_form, tried_as, usual_group
from mlx_harmony.worker.prompt_cache import Layers, Looking, Prompt, PromptCache

MOST_FORMS = 4
"""So many forms beside the plain one are kept at once; the one not used for longest goes, in memory at least."""

OpenCache = Callable[[KvForm], PromptCache]
"""Opens the prompt cache of a form: where it is kept, and how much of it."""


class StartedCache:
    """Keeps what becomes packed at `start` tokens: up to there it is plain KV and shared with all who read it so."""

    def __init__(self, plain: PromptCache, packed: PromptCache, start: int) -> None:
        self._plain = plain
        self._packed = packed
        self._start = start

    def looking(self, prompt: Prompt, asker: Asker) -> Looking:
        """As PromptCache has it. What was packed from the first token on is no prefix of what is plain there."""
        taken = yield from self._packed.looking(prompt, asker, self._start + 1)
        if taken.length:
            return taken
        below = yield from self._plain.looking(prompt[: self._start + 1], asker)
        return below._replace(reuse=msgspec.structs.replace(below.reuse, prompt=len(prompt)))

    def peek(self, prompt: Prompt) -> int:
        """As PromptCache has it."""
        packed = self._packed.peek(prompt)
        return packed if packed > self._start else self._plain.peek(prompt[: self._start + 1])

    @property
    def token_s(self) -> float:
        """As PromptCache has it."""
        return self._packed.token_s or self._plain.token_s

    def learn(self, token_s: float) -> None:
        """As PromptCache has it."""
        self._packed.learn(token_s)
        self._plain.learn(token_s)

    def put(self, tokens: Prompt, layers: Layers, *more: Any, **named: Any) -> bool:
        """As PromptCache has it."""
        return (self._packed if len(tokens) > self._start else self._plain).put(tokens, layers, *more, **named)


class KvUse(NamedTuple):
    """The form of one request's KV, and where what it reads is kept."""

    form: KvForm
    cache: PromptCache | StartedCache


class KvCaches:
    """The prompt caches of one model by form; `plain` is that of the plain one."""

    def __init__(self, model: nn.Module, plain: PromptCache, open_cache: OpenCache | None = None) -> None:
        self._model = model
        self.plain = plain
        self._open = open_cache or (lambda _form: PromptCache(plain.budget_bytes))
        self._others: dict[KvForm, PromptCache] = {}
        self._group = 0
        self._tried: dict[KvForm, InvalidRequest | None] = {}

    def use(self, options: KvOptions) -> KvUse:
        """The form that is asked for, checked against this model. Raises InvalidRequest, with the reason."""
        if KvForm.of(options).plain:
            return KvUse(PLAIN, self.plain)
        form = KvForm.of(options, self._group_size() if options.kv_bits else 0)
        # One that is used again becomes the last of them.
        packed = self._others[form] = self._others.pop(form) if form in self._others else self._opened(form)
        if len(self._others) > MOST_FORMS:
            # Who is still using it keeps it until then; only its files are done with, and writing the last of them may take a moment.
            gone = self._others.pop(next(iter(self._others)))
            threading.Thread(target=gone.close, name="cache of a form", daemon=True).start()
        return KvUse(form, StartedCache(self.plain, packed, form.start) if form.start else packed)

    def all(self) -> tuple[PromptCache, ...]:
        """Every prompt cache, the plain one first."""
        return (self.plain, *self._others.values())

    @property
    def kept_bytes(self) -> int:
        """What all of them keep in memory."""
        return sum(each.bytes for each in self.all())

    def close(self) -> None:
        """Write what still waits, as far as a moment allows."""
        for cache in self.all():
            cache.close()

    def settle(self, used: KvForm) -> None:
        """Come within the one budget: the forms that were not used for longest give way to the one just `used`."""
        others = [cache for form, cache in self._others.items() if form != used]
        for cache in others if used.plain else [*others, self.plain]:
            over = self.kept_bytes - self.plain.budget_bytes
            if over > 0:
                cache.give_way(over)

    def _group_size(self) -> int:
        """The groups that this model's heads can have, the usual ones if they can."""
        if not self._group:
            self._group = usual_group(self._model)
        return self._group

    def _opened(self, form: KvForm) -> PromptCache:
        tried = tried_as(form)
        if tried not in self._tried:
            try:
                check_form(self._model, form)
                self._tried[tried] = None
            except InvalidRequest as error:
                self._tried[tried] = error
        if (refusal := self._tried[tried]) is not None:
            raise refusal
        return self._open(form)
