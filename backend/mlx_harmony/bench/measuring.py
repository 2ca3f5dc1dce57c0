"""Measures one way of running a model, round by round: rounds of several ways can take turns, so that a busy machine slows all alike."""

from mlx_harmony.bench.figures import Gain, Rate, Single, Speeds, best, gain, percentile
from mlx_harmony.bench.sides import Way
from mlx_harmony.bench.work import Work, prompt_ids

WARMING = 900_000
LATER = 800_000
MANY = 10_000
SECOND_TURN = 32
WARM_TOKENS = 8


class Measured:
    """One way and what was measured of it so far. `smaller` divides its sample, for one that is many times slower."""

    def __init__(self, way: Way, work: Work, smaller: int = 1) -> None:
        self._way = way
        self._work = work
        self.length = max(8, work.prompt_tokens // smaller)
        self.tokens = max(4, work.tokens // smaller)
        self.rounds = work.rounds if smaller == 1 else 1
        self.streams = work.streams if smaller == 1 else ()
        self._rounds: list[Single] = []
        self._rates: dict[int, list[float]] = {}

    async def warm_up(self) -> None:
        """What the first answer of all pays, before anything counts."""
        if self.rounds > 1:
            await self._way.one(prompt_ids(WARMING, self.length, self._way.vocabulary), WARM_TOKENS)

    async def run(self, number: int) -> None:
        """One round of it, none where it has had all of its own."""
        if number >= self.rounds:
            return
        prompt = prompt_ids(number, self.length, self._way.vocabulary)
        self._rounds.append(await self._way.one(prompt, self.tokens))
        for streams in self.streams:
            prompts = [prompt_ids(MANY * (number + 1) + 100 * streams + at, self.length, self._way.vocabulary) for at in range(streams)]
            self._rates.setdefault(streams, []).append(await self._way.many(prompts, self.tokens))

    async def finish(self) -> Speeds:
        """What came of it."""
        top = best(self._rounds)
        kv = await self._way.kv_tokens()
        peak = self._way.peak_memory_bytes()
        warm, cache = await self._second_turn() if self._way.keeps else (None, None)
        return Speeds(
            load_s=self._way.load_s,
            first_token_cold_s=top.first_token_s,
            first_token_warm_s=warm,
            prefill_per_second=top.prefill_per_second,
            decode_per_second=top.decode_per_second,
            gap_p95_ms=percentile(top.gaps_ms, 0.95) if top.gaps_ms else None,
            prompt_tokens=self.length,
            tokens=top.tokens,
            kv_tokens=kv,
            peak_memory_bytes=peak,
            streams=tuple(Rate(streams=streams, tokens_per_second=max(rates)) for streams, rates in self._rates.items()),
            cache=cache,
        )

    async def _second_turn(self) -> tuple[float, Gain]:
        """The wait for a first token when the prompt came before, and what keeping a first turn spares its second one."""
        following = prompt_ids(LATER, self.length + SECOND_TURN, self._way.vocabulary)
        first = following[: self.length]
        await self._way.one(first, WARM_TOKENS)
        warm = await self._way.one(first, WARM_TOKENS)
        kept = await self._way.one(following, WARM_TOKENS)
        await self._way.forget()
        anew = await self._way.one(following, WARM_TOKENS)
        return warm.first_token_s, gain(anew.first_token_s, kept.first_token_s)
