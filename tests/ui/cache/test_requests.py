"""Recent prompts as shown: what was reused, why no more in a sentence, and both sides of the first difference."""

from typing import get_args

import msgspec
import pytest

from mlx_harmony.cache_reasons import explained
from mlx_harmony.cache_records import CacheRequest, Reuse, ReuseReason
from mlx_harmony_ui.cache.requests import SHOWN, advised, difference, request_rows
from tests.fixtures.kept import NOW, RECENT, TITLES


def request(reason: ReuseReason = "new", place: str = "", detail: str = "", position: int | None = None) -> CacheRequest:
    return CacheRequest(at=NOW, reuse=Reuse(prompt=100, reason=reason, detail=detail, position=position), place=place)


def test_a_prompt_tells_whose_it_was_and_what_of_it_was_reused() -> None:
    first, second, third = request_rows(RECENT, TITLES, NOW)
    assert (first.whose, first.chat, first.when) == ("What should I plant in May?", "garden", "just now")
    assert first.figures == "1,200 of 1,240 tokens reused, about 1.4 s spared"
    assert (first.memory, first.disk, first.outcome) == (88.71, 8.06, "kept")
    assert first.label == "1,100 tokens from memory, 100 from disk, 40 read"
    assert (second.outcome, second.figures, second.position) == ("partly", "40 of 900 tokens reused", "from token 41")
    assert (third.whose, third.chat, third.outcome) == ("A program", "", "read")


def test_a_prompt_of_a_chat_that_is_gone_leads_nowhere() -> None:
    first = request_rows(RECENT[:1], {}, NOW)[0]
    assert (first.whose, first.chat) == ("A chat that is gone", "")
    alone = msgspec.structs.replace(RECENT[0], chat="prompt-1a")
    assert request_rows((alone,), {}, NOW)[0].whose == "A prompt for a file"


def test_only_the_newest_prompts_are_listed() -> None:
    many = tuple(CacheRequest(at=NOW - at, reuse=Reuse(prompt=10)) for at in range(50))
    assert len({row.key for row in request_rows(many, {}, NOW)}) == SHOWN


def test_a_change_is_named_with_its_place() -> None:
    assert explained(request("differs", "the system message", position=812)) == "The system message changed at token 812."
    assert explained(request("differs", position=812)) == "The prompt goes on otherwise than what was kept, from token 812 on."
    assert (
        explained(request("differs", "message 3 (yours)", position=90))
        == "Message 3 (yours) is not the one that was kept, from token 90 on."
    )
    assert explained(request("damaged", detail="It was cut short.")) == "What was kept of it could not be used. It was cut short."


@pytest.mark.parametrize("reason", get_args(ReuseReason))
def test_every_reason_is_a_sentence(reason: ReuseReason) -> None:
    said = explained(request(reason))
    assert said[0].isupper() and said.endswith(".")


def test_advice_is_given_where_there_is_one() -> None:
    assert advised(request("evicted"))[1] and advised(request("off"))[1]
    assert "Instructions" in advised(request("differs", "the developer message"))[0]
    assert "Tools" in advised(request("differs", "the tool declarations"))[0]
    assert advised(request("differs", "message 3 (yours)")) == ("", False)
    assert advised(request("new")) == ("", False)


def test_both_sides_of_a_difference_are_marked_where_they_differ() -> None:
    kept, asked = difference("on Sunday, 21 May", "on Monday, 22 May")
    assert [(piece.text, piece.marked) for piece in kept] == [
        ("on ", False),
        ("Sunday", True),
        (", ", False),
        ("21", True),
        (" May", False),
    ]
    assert "".join(piece.text for piece in asked if piece.marked) == "Monday22"
    assert difference("", "") == ((), ())
    assert difference("", "more")[0] == ()
    assert [(piece.text, piece.marked) for piece in difference("a b c d", "a b c d and on")[1]] == [("a b c d", False), (" and on", False)]


def test_sides_with_little_in_common_are_marked_whole() -> None:
    kept, asked = difference("What does the slider do?", "Spell the word.")
    assert [(piece.text, piece.marked) for piece in kept] == [("What does the slider do?", True)]
    assert [(piece.text, piece.marked) for piece in asked] == [("Spell the word.", True)]


def test_equal_sides_have_no_mark() -> None:
    assert [piece.marked for piece in difference("same", "same")[1]] == [False]
