"""From logits to a token, exactly as mlx-lm filters: penalties and bias, then top-p, min-p, XTC, top-k, then temperature.

The filters are mlx-lm's, written again for three reasons: its versions draw from the thread's global random state (ours from a key
of the request), they compile anew for each value of a slider (0.6 s on a CPU), and their window of penalties knows no cached prompt.
Arrays are (1, V); every number was validated before. It knows no caches and no models.
"""

import math
import secrets
from collections.abc import Sequence
from typing import NamedTuple

import mlx.core as mx

from mlx_harmony.records import Record, Sampling

KEYS_AT_ONCE = 64
MAX_SEED = 2**63 - 1


class Penalties(Record):
    """What is done to the logits. `window` is how many of the last tokens, prompt included, count; 0 counts them all."""

    repetition: float = 1.0
    presence: float = 0.0
    frequency: float = 0.0
    window: int = 0
    bias: dict[int, float] = {}

    @property
    def look_back(self) -> bool:
        return self.repetition not in (0.0, 1.0) or self.presence != 0 or self.frequency != 0


class Drawn(NamedTuple):
    """One lazy draw: the token (1,) and the scores (1, V) it was drawn from, before filters and temperature.

    The scores are logits; `normal`: they are log-probabilities already, because a filter goes by them.
    """

    token: mx.array
    scores: mx.array
    normal: bool = False

    @property
    def logprobs(self) -> mx.array:
        """The log-probabilities (1, V), float32; who asks for them has them computed."""
        return self.scores if self.normal else normalised(self.scores)


class Mark(NamedTuple):
    """Where a sampler stands between two draws."""

    history: mx.array | None
    carry: mx.array
    keys: tuple[mx.array, ...]


class Sampler:
    """Draws the tokens of one request. Its randomness comes from `seed` alone, so equal requests give equal answers."""

    def __init__(self, sampling: Sampling, penalties: Penalties, kept_by_xtc: Sequence[int], prompt: Sequence[int]) -> None:
        self.seed = sampling.seed if sampling.seed >= 0 else secrets.randbelow(2**31)
        self._sampling = sampling
        self._penalties = penalties
        self._kept = mx.array(sorted(set(kept_by_xtc)), mx.int32) if kept_by_xtc else None
        self._history = mx.array(self._cut(prompt), mx.int32) if penalties.look_back else None
        self._bias = _bias_arrays(penalties.bias)
        self._carry = mx.random.key(self.seed)
        self._keys: list[mx.array] = []

    @property
    def greedy(self) -> bool:
        """Whether a draw is the likeliest token of the model's own probabilities and changes nothing here."""
        return self._sampling.temperature == 0 and self._bias is None and self._history is None

    def draw(self, logits: mx.array) -> Drawn:
        """The next token of logits (1, V), all lazily: nothing is computed until it is read."""
        scores, normal = self._penalise(logits.astype(mx.float32)), self._goes_by_probability
        if normal:
            scores = normalised(scores)
        token = mx.argmax(scores, axis=-1) if self._sampling.temperature == 0 else self._choose(scores)
        if self._history is not None:
            self._history = self._cut_array(mx.concatenate([self._history, token.astype(mx.int32)]))
        return Drawn(token, scores, normal)

    def look_back_on(self, tokens: Sequence[int]) -> None:
        """The prompt and answer so far, where they are not what was drawn here."""
        if self._history is not None:
            self._history = mx.array(self._cut(tokens), mx.int32)

    def mark(self) -> Mark:
        """Where it stands, to `go_back` to."""
        return Mark(self._history, self._carry, tuple(self._keys))

    def go_back(self, mark: Mark) -> None:
        """Forget what was drawn since: the next draw is what it was then."""
        self._history = mark.history
        self.draw_again(mark)

    def draw_again(self, mark: Mark) -> None:
        """Take the keys of what was drawn since once more; what penalties look back on stays as it is."""
        self._carry, self._keys = mark.carry, list(mark.keys)

    def survivors(self, logprobs: mx.array, xtc: bool) -> mx.array:
        """The log-probabilities with what the filters remove at -inf; `xtc` says whether XTC strikes this time.

        Where the one filter is top-k, logits do as well: it goes by their order.
        """
        sampling = self._sampling
        if 0 < sampling.top_p < 1:
            logprobs = keep_top_p(logprobs, sampling.top_p)
        if sampling.min_p > 0:
            logprobs = keep_min_p(logprobs, sampling.min_p, sampling.min_tokens_to_keep)
        if xtc:
            logprobs = exclude_top_choices(logprobs, sampling.xtc_threshold, self._kept)
        if 0 < sampling.top_k < logprobs.shape[-1]:
            logprobs = keep_top_k(logprobs, sampling.top_k)
        return logprobs

    @property
    def _goes_by_probability(self) -> bool:
        """Whether a filter needs probabilities. Chance itself needs none: a categorical draw is the same from logits."""
        sampling = self._sampling
        return sampling.temperature > 0 and (0 < sampling.top_p < 1 or sampling.min_p > 0 or sampling.xtc_probability > 0)

    def _choose(self, scores: mx.array) -> mx.array:
        key, sampling = self._next_key(), self._sampling
        kept = self.survivors(scores, xtc=False)
        if sampling.xtc_probability > 0:
            coin, key = mx.random.split(key)
            strikes = mx.random.uniform(key=coin) <= sampling.xtc_probability
            kept = mx.where(strikes, self.survivors(scores, xtc=True), kept)
        return mx.random.categorical(kept * (1.0 / sampling.temperature), key=key)

    def _next_key(self) -> mx.array:
        if not self._keys:
            fresh = mx.random.split(self._carry, KEYS_AT_ONCE + 1)
            mx.eval(fresh)
            self._carry, self._keys = fresh[0], [fresh[at] for at in range(KEYS_AT_ONCE, 0, -1)]
        return self._keys.pop()

    def _penalise(self, logits: mx.array) -> mx.array:
        if self._bias is not None:
            ids, values = self._bias
            logits = logits.at[:, ids].add(values)
        if self._history is None or self._history.size == 0:
            return logits
        penalties, seen = self._penalties, self._history
        if penalties.repetition not in (0.0, 1.0):
            chosen = logits[:, seen]
            logits[:, seen] = mx.where(chosen < 0, chosen * penalties.repetition, chosen / penalties.repetition)
        if penalties.presence:
            logits[:, seen] -= penalties.presence
        if penalties.frequency:
            logits = logits.at[:, seen].subtract(penalties.frequency)
        return logits

    def _cut(self, tokens: Sequence[int]) -> list[int]:
        return list(tokens[-self._penalties.window :])

    def _cut_array(self, tokens: mx.array) -> mx.array:
        return tokens[-self._penalties.window :]


def normalised(logits: mx.array) -> mx.array:
    """Log-probabilities of logits, row by row, float32."""
    logits = logits.astype(mx.float32)
    return logits - mx.logsumexp(logits, axis=-1, keepdims=True)


def _bias_arrays(bias: dict[int, float]) -> tuple[mx.array, mx.array] | None:
    if not bias:
        return None
    return mx.array(list(bias.keys()), mx.int32), mx.array(list(bias.values()), mx.float32)


def keep_top_p(logprobs: mx.array, top_p: float) -> mx.array:
    """Keep the likeliest tokens until they add up to `top_p` of all; ties at the edge stay."""
    ordered = mx.sort(logprobs, axis=-1)
    probabilities = mx.exp(ordered.astype(mx.float32))
    mass_above = mx.cumsum(probabilities, axis=-1, reverse=True, inclusive=False)
    total = mass_above[..., :1] + probabilities[..., :1]
    dropped = (mass_above >= top_p * total).sum(axis=-1, keepdims=True)
    threshold = mx.take_along_axis(ordered, dropped, axis=-1)
    return mx.where(logprobs < threshold, -math.inf, logprobs)


def keep_min_p(logprobs: mx.array, min_p: float, at_least: int = 1) -> mx.array:
    """Drop tokens less likely than `min_p` of the likeliest, but keep the `at_least` best."""
    remove = logprobs < mx.max(logprobs, axis=-1, keepdims=True) + math.log(min_p)
    if at_least > 1:
        count = min(at_least, logprobs.shape[-1])
        best = mx.argpartition(logprobs, kth=-count, axis=-1)[..., -count:]
        remove = mx.put_along_axis(remove, best, mx.array(False), axis=-1)
    return mx.where(remove, -math.inf, logprobs)


def exclude_top_choices(logprobs: mx.array, threshold: float, kept: mx.array | None) -> mx.array:
    """XTC: drop every token above `threshold` except the least likely of them; `kept` ids are never dropped."""
    probabilities = mx.softmax(logprobs, axis=-1)
    least = mx.where(probabilities > threshold, probabilities, math.inf).min(axis=-1, keepdims=True)
    remove = probabilities > least
    if kept is not None:
        remove[..., kept] = False
    return mx.where(remove, -math.inf, logprobs)


def keep_top_k(logprobs: mx.array, top_k: int) -> mx.array:
    """Keep the `top_k` likeliest; 0 < top_k < V."""
    rest = mx.argpartition(-logprobs, kth=top_k - 1, axis=-1)[..., top_k:]
    return mx.put_along_axis(logprobs, rest, mx.array(-math.inf, logprobs.dtype), axis=-1)
