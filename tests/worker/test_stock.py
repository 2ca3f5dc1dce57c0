"""mlx-lm's loops count what they write: answers end where the model ends them, as they do in our engine."""

from pathlib import Path

from mlx_harmony.worker.stock import many, open_model

PROMPTS = [[1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_answers_that_the_model_never_ends_are_as_long_as_they_may_be(fx1: Path) -> None:
    opened = open_model(str(fx1), fitted=True)._replace(stops=())
    assert many(opened, PROMPTS, 12)["tokens"] == 12 * len(PROMPTS)


def test_only_the_tokens_are_counted_that_were_written(fx1: Path) -> None:
    opened = open_model(str(fx1), fitted=True)
    assert many(opened._replace(stops=range(opened.vocabulary)), PROMPTS, 12)["tokens"] == len(PROMPTS)


def test_the_tokens_that_end_an_answer_are_known_either_way(fx1: Path) -> None:
    ends = [set(open_model(str(fx1), fitted).stops) for fitted in (True, False)]
    assert ends[0] and ends[1]
