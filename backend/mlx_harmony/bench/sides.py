"""The seam of the bench: what can be asked of a way of running a model, and what stands for one that cannot be measured."""

from collections.abc import Sequence
from typing import Protocol

from mlx_harmony.bench.figures import Single

Prompt = Sequence[int]


class Unmeasured(Exception):
    """Why a program that is not ours could not be measured, in words for a person."""


class Way(Protocol):
    """One way of running a loaded model. What it is asked for it does alone, one thing at a time.

    `keeps`: whether what was read spares reading it again, until `forget`. A side that is not ours raises Unmeasured, ours the errors
    of the engine.
    """

    @property
    def load_s(self) -> float: ...

    @property
    def vocabulary(self) -> int: ...

    @property
    def keeps(self) -> bool: ...

    async def one(self, prompt: Prompt, tokens: int) -> Single: ...

    async def many(self, prompts: Sequence[Prompt], tokens: int) -> float: ...

    async def kv_tokens(self) -> int | None: ...

    async def forget(self) -> None: ...

    def peak_memory_bytes(self) -> int | None: ...

    async def close(self) -> None: ...
