"""A GPU compiles its kernels during the load: in the chunks that a first prompt is read in, and visibly."""

from pathlib import Path

import pytest

from mlx_harmony.errors import ShuttingDown
from mlx_harmony.records import LoadOptions
from mlx_harmony.worker.device import Device
from mlx_harmony.worker.load import LoadedModel, load
from mlx_harmony.worker.pace import FIRST, GROWTH, Pace
from mlx_harmony.worker.warming import ANSWERS, DECODED, DRAWN, LONGEST, chunk_lengths, warm_up
from tests.worker.company import Watched


@pytest.mark.parametrize("least", [8, 64, 256])
def test_a_warm_up_reads_the_chunks_of_a_first_prompt(least: int) -> None:
    pace, read = Pace(least=least, layers_s={LONGEST: 1e-7}), []
    pace.chunk = max(FIRST, least)
    while not read or read[-1] < LONGEST:
        read.append(pace.chunk)
        pace.learn(pace.chunk, 1e-6, 1e-7)
    assert chunk_lengths("cuda", least, 10**6) == tuple(read)


def test_a_warm_up_keeps_within_the_context() -> None:
    for context in (16, 40, 700, 2720, 4096):
        lengths = chunk_lengths("cuda", 8, context)
        assert 0 < sum(lengths) + DECODED <= context


def test_other_devices_warm_up_as_little_as_they_need() -> None:
    assert chunk_lengths("cpu", 8, 4096) == ()
    assert chunk_lengths("metal", 8, 4096) == (FIRST,)


def test_each_step_is_told_before_it_is_taken(llama: LoadedModel) -> None:
    watched, told = Watched(llama.model), []
    lengths = (FIRST, FIRST * GROWTH)
    warm_up(watched, lengths, 300, lambda done, of: told.append((done, of, len(watched.calls))))  # type: ignore[arg-type]
    of = len(lengths) + len(ANSWERS)
    assert [call[1] for call in watched.calls[:2]] == [*lengths]
    assert [each[:2] for each in told] == [(at, of) for at in range(of)]
    assert [calls for *_, calls in told] == [0, 1, 2, 2 + DRAWN]


def test_answers_are_drawn_as_answers_are_and_end_within_what_was_counted_for_them(family: LoadedModel) -> None:
    watched = Watched(family.model)
    warm_up(watched, (FIRST,), family.card.vocabulary_size, lambda _done, _of: None)  # type: ignore[arg-type]
    assert watched.calls[1:] == [(1, 1)] * DECODED


def test_a_load_shows_its_warming_up_and_can_be_stopped_in_it(fx1: Path) -> None:
    seen: list[tuple[str, float]] = []

    def stop(stage: str, fraction: float) -> None:
        seen.append((stage, fraction))
        if stage.startswith("Warming up, 3"):
            raise ShuttingDown("enough")

    with pytest.raises(ShuttingDown):
        load(LoadOptions(path=str(fx1)), Device(kind="cuda"), stop)
    stages = [stage for stage, _ in seen if stage.startswith("Warming up")]
    assert stages == [f"Warming up, {step} of 7" for step in (1, 2, 3)]
    assert [fraction for _, fraction in seen] == sorted(fraction for _, fraction in seen)


def test_a_load_on_a_gpu_tells_what_chunks_take_and_the_pace_begins_with_it(fx1: Path) -> None:
    loaded = load(LoadOptions(path=str(fx1)), Device(kind="cuda"), lambda _stage, _fraction: None)
    assert tuple(loaded.layers_s) == chunk_lengths("cuda", loaded.least_chunk, loaded.card.context_length)
    assert all(seconds > 0 for seconds in loaded.layers_s.values())
    assert loaded.new_pace().chunk in loaded.layers_s
