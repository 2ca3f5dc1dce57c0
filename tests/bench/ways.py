"""A way of running a model that takes no time: what it answers is scripted, and what it was asked is remembered."""

from collections.abc import Sequence

from mlx_harmony.bench.figures import Single
from mlx_harmony.bench.sides import Prompt, Unmeasured


class ScriptedWay:
    """Reads a token a millisecond, none of those it keeps; `fails_at`: the answer at which it ends."""

    load_s = 0.5
    vocabulary = 4096
    silent = False

    def __init__(self, *, keeps: bool, fails_at: int | None = None) -> None:
        self.keeps = keeps
        self.asked: list[tuple[Prompt, int]] = []
        self.crowds: list[int] = []
        self.closed = False
        self._fails_at = fails_at
        self._kept: list[Prompt] = []

    async def one(self, prompt: Prompt, tokens: int) -> Single:
        self.asked.append((prompt, tokens))
        if len(self.asked) == self._fails_at:
            raise Unmeasured("it broke")
        known = max((_common(prompt, kept) for kept in self._kept), default=0)
        if self.keeps:
            self._kept.append(prompt)
        first = (len(prompt) - known + 1) / 1000
        gaps = () if self.silent else (20.0,) * (tokens - 1)
        return Single(first_token_s=first, prefill_per_second=1000.0, decode_per_second=50.0, tokens=tokens, gaps_ms=gaps)

    async def many(self, prompts: Sequence[Prompt], tokens: int) -> float:
        self.crowds.append(len(prompts))
        return 40.0 * len(prompts)

    async def kv_tokens(self) -> int | None:
        return len(self.asked[-1][0]) + self.asked[-1][1] if self.keeps else None

    async def forget(self) -> None:
        self._kept.clear()

    def peak_memory_bytes(self) -> int | None:
        return 2_000_000

    async def close(self) -> None:
        self.closed = True


def _common(one: Prompt, other: Prompt) -> int:
    return next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other)))
