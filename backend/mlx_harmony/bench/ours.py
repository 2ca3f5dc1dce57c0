"""Our engine as the app runs it: a worker process, its socket, its prompt cache. Knows nothing of other programs."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

from mlx_harmony.bench.figures import Single
from mlx_harmony.bench.sides import Prompt
from mlx_harmony.engine.process import WorkerHome
from mlx_harmony.engine.protocols import Progress
from mlx_harmony.engine.supervisor import WorkerEngine, start_worker
from mlx_harmony.events import Event, Failed, Finished, MessageEnded, Prefill
from mlx_harmony.records import (
    ChatPrompt,
    GenerationRequest,
    LoadOptions,
    Message,
    ModelCard,
    ModelEntry,
    Sampling,
    Speculation,
    TokenPrompt,
)

GREEDY = Sampling(temperature=0.0, repetition_penalty=0.0)


class Ours:
    """A loaded worker. Make one with `start_ours`."""

    keeps = True

    def __init__(self, engine: WorkerEngine, load_s: float) -> None:
        self._engine = engine
        self._numbers = itertools.count()
        self._kv_tokens: int | None = None
        self._peak_bytes = engine.card.peak_bytes
        self.load_s = load_s

    @property
    def card(self) -> ModelCard:
        return self._engine.card

    @property
    def vocabulary(self) -> int:
        return self._engine.card.vocabulary_size

    async def one(self, prompt: Prompt, tokens: int) -> Single:
        """One answer, greedy, without penalties. Raises what the engine says of a failure."""
        began = time.perf_counter()
        stamps: list[float] = []
        end: Event | None = None
        async with aclosing(self._engine.generate(self._request(prompt, tokens))) as events:
            async for end in events:
                if not isinstance(end, Prefill | MessageEnded | Finished):
                    stamps.append(time.perf_counter())
        timings = self._noted(end).timings
        self._kv_tokens = timings.kv_length
        return Single(
            first_token_s=timings.first_token_ms / 1000 if timings.first_token_ms else time.perf_counter() - began,
            prefill_per_second=timings.prompt_n / timings.prompt_ms * 1000 if timings.prompt_ms else 0.0,
            decode_per_second=timings.predicted_per_second,
            tokens=timings.predicted_n,
            gaps_ms=tuple((after - before) * 1000 for before, after in itertools.pairwise(stamps)),
        )

    async def many(self, prompts: Sequence[Prompt], tokens: int) -> float:
        """Tokens a second of answers that are written at once, from the first request to the last end."""
        began = time.perf_counter()
        written = await asyncio.gather(*(self._written(prompt, tokens) for prompt in prompts))
        return sum(written) / (time.perf_counter() - began)

    async def kv_tokens(self) -> int | None:
        """How many tokens the caches of the last single answer really held at its end."""
        return self._kv_tokens

    async def forget(self) -> None:
        """Drop what the prompt cache keeps."""
        await self._engine.cache("clear")

    async def repeating(self, text: str, tokens: int, speculation: Speculation) -> float:
        """Tokens a second of an answer that is asked to say a text again."""
        prompt = ChatPrompt(messages=(Message(role="user", content=text),), effort="low")
        return (await self._ended(self._asked(prompt, tokens, speculation))).timings.predicted_per_second

    def peak_memory_bytes(self) -> int | None:
        """What the worker itself says that it took at most: of the memory that its device computes in."""
        return self._peak_bytes or None

    async def close(self) -> None:
        await self._engine.close()

    async def _written(self, prompt: Prompt, tokens: int) -> int:
        return (await self._ended(self._request(prompt, tokens))).timings.predicted_n

    async def _ended(self, request: GenerationRequest) -> Finished:
        async with aclosing(self._engine.generate(request)) as events:
            heard = [event async for event in events]
        return self._noted(heard[-1])

    def _noted(self, end: Event | None) -> Finished:
        finished = _finished(end)
        self._peak_bytes = max(self._peak_bytes, finished.timings.peak_bytes)
        return finished

    def _request(self, prompt: Prompt, tokens: int) -> GenerationRequest:
        asked = TokenPrompt(tokens=tuple(prompt))
        return self._asked(asked, tokens, "off")

    def _asked(self, prompt: TokenPrompt | ChatPrompt, tokens: int, speculation: Speculation) -> GenerationRequest:
        return GenerationRequest(
            id=f"bench-{next(self._numbers)}",
            prompt=prompt,
            sampling=GREEDY,
            max_tokens=tokens,
            loop_detection="off",
            speculation=speculation,
        )


async def start_ours(entry: ModelEntry, home: Path, progress: Progress) -> Ours:
    """Load a model in a worker of its own that writes under `home`. Raises the errors of loading."""
    began = time.perf_counter()
    engine = await start_worker(entry.id, LoadOptions(path=entry.path), WorkerHome.of(str(home)), progress)
    return Ours(engine, time.perf_counter() - began)


def _finished(end: Event | None) -> Finished:
    if isinstance(end, Failed):
        raise end.error()
    assert isinstance(end, Finished)
    return end
