"""Rounds of one way become its figures; what a side keeps shows in the second turn and nowhere else."""

import pytest

from mlx_harmony.bench.measuring import SECOND_TURN, WARM_TOKENS, Measured
from mlx_harmony.bench.sides import Unmeasured
from mlx_harmony.bench.work import Work
from tests.bench.ways import ScriptedWay

WORK = Work(prompt_tokens=200, tokens=20, rounds=2, streams=(1, 4))


async def all_rounds(way: ScriptedWay, smaller: int = 1) -> Measured:
    measured = Measured(way, WORK, smaller)
    await measured.warm_up()
    for number in range(WORK.rounds):
        await measured.run(number)
    return measured


async def test_every_round_asks_a_new_prompt_and_every_number_of_streams() -> None:
    way = ScriptedWay(keeps=True)
    measured = await all_rounds(way)
    warming, *rounds = way.asked
    assert warming[1] == WARM_TOKENS
    assert [len(prompt) for prompt, _ in rounds] == [200, 200]
    assert len({prompt for prompt, _ in way.asked}) == 3
    assert way.crowds == [1, 4, 1, 4]
    speeds = await measured.finish()
    assert [(rate.streams, rate.tokens_per_second) for rate in speeds.streams] == [(1, 40.0), (4, 160.0)]


async def test_the_figures_are_the_way_s_own() -> None:
    speeds = await (await all_rounds(ScriptedWay(keeps=True))).finish()
    assert (speeds.load_s, speeds.prefill_per_second, speeds.decode_per_second, speeds.gap_p95_ms) == (0.5, 1000.0, 50.0, 20.0)
    assert speeds.first_token_cold_s == pytest.approx(0.201)
    assert (speeds.kv_tokens, speeds.peak_memory_bytes) == (220, 2_000_000)


async def test_a_side_that_keeps_what_it_read_shows_it_in_the_second_turn() -> None:
    speeds = await (await all_rounds(ScriptedWay(keeps=True))).finish()
    assert speeds.first_token_warm_s == pytest.approx(0.001)
    assert speeds.cache is not None
    assert speeds.cache.with_it == pytest.approx((SECOND_TURN + 1) / 1000)
    assert speeds.cache.without == pytest.approx((200 + SECOND_TURN + 1) / 1000)


async def test_a_side_that_keeps_nothing_has_no_second_turn() -> None:
    way = ScriptedWay(keeps=False)
    speeds = await (await all_rounds(way)).finish()
    assert (speeds.first_token_warm_s, speeds.cache, speeds.kv_tokens) == (None, None, None)
    assert len(way.asked) == 3


async def test_a_smaller_sample_is_asked_once_and_says_how_small_it_was() -> None:
    way = ScriptedWay(keeps=False)
    speeds = await (await all_rounds(way, smaller=16)).finish()
    assert [(len(prompt), tokens) for prompt, tokens in way.asked] == [(12, 4)]
    assert (speeds.prompt_tokens, speeds.tokens, speeds.streams) == (12, 4, ())


async def test_a_model_whose_tokens_write_no_text_has_no_gaps() -> None:
    way = ScriptedWay(keeps=False)
    way.silent = True
    assert (await (await all_rounds(way)).finish()).gap_p95_ms is None


async def test_what_cannot_be_measured_is_raised() -> None:
    with pytest.raises(Unmeasured, match="it broke"):
        await all_rounds(ScriptedWay(keeps=False, fails_at=2))
