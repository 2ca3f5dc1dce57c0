"""What guessing from the conversation brings at given costs of a pass, by counting: an edit is much faster, and nothing is much slower."""

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mlx_harmony.worker.speculation import ngrams
from mlx_harmony.worker.speculation.drafting import Drafting, Lookup
from mlx_harmony.worker.speculation.gain import Gain

Cost = Callable[[int], float]
SOURCE = Path(ngrams.__file__).read_text("utf-8")


def steeper(each: float) -> Cost:
    """What a pass costs in plain steps where each further token adds so much."""
    return lambda width: 1 + each * (width - 1)


def tokens(text: str, ids: dict[str, int]) -> list[int]:
    """Words, blanks and signs, as a tokenizer of a large vocabulary cuts them."""
    return [ids.setdefault(piece, len(ids)) for piece in re.findall(r"\w+|\s+|[^\w\s]", text)]


def edit() -> tuple[list[int], list[int]]:
    """A file, and the file with a name changed, some lines put in and some left out."""
    ids: dict[str, int] = {}
    lines = SOURCE.replace("tokens", "words").split("\n")
    changed = [f"{line}\n# checked" if number % 20 == 0 else line for number, line in enumerate(lines) if number % 33]
    return tokens(SOURCE, ids), tokens("\n".join(changed), ids)


def nothing_to_copy() -> tuple[list[int], list[int]]:
    """Words that come as often as in a language, in no order: short runs recur, and mean nothing."""
    draw = random.Random(5)
    words = draw.choices(range(2000), [1 / (rank + 1) for rank in range(2000)], k=4000)
    return words[:1000], words[1000:]


def times_faster(text: tuple[list[int], list[int]], cost: Cost) -> float:
    """Plain steps over what the passes cost, for an answer that is known."""
    prompt, answer = text
    gain, spent, at, known = Gain(), 0.0, 0, False
    drafting = Drafting([Lookup(prompt)], gain)
    while at < len(answer):
        room = len(answer) - at - 2
        wanted = room > 0 and (known or drafting.hopes(room, False))
        drafting.saw(answer[at])
        at += 1
        guesses = drafting.guess(room, False) if wanted else []
        right = next((place for place, guess in enumerate(guesses) if answer[at + place] != guess), len(guesses))
        if guesses:
            drafting.checked(len(guesses), right)
        for token in answer[at : at + right]:
            drafting.saw(token)
        at, known = at + right, bool(guesses)
        spent += cost(1 + len(guesses))
        gain.learn(1 + len(guesses), cost(1 + len(guesses)))
    return len(answer) / spent


@pytest.mark.parametrize(("each", "least"), [(0.0, 4.0), (0.05, 3.5), (0.125, 2.8), (0.3, 1.8)])
def test_an_edit_is_written_much_faster(each: float, least: float) -> None:
    assert times_faster(edit(), steeper(each)) > least


def test_an_edit_pays_also_where_two_tokens_cost_twice_as_much_as_one() -> None:
    assert times_faster(edit(), lambda width: 1 if width == 1 else 2.2 + 0.08 * width) > 1.8


@pytest.mark.parametrize("each", [0.0, 0.05, 0.125, 0.3, 0.6, 1.0, 2.0])
def test_nothing_is_written_much_slower_whatever_a_pass_costs(each: float) -> None:
    assert times_faster(nothing_to_copy(), steeper(each)) > 0.97
    assert times_faster(edit(), steeper(each)) > 0.97
