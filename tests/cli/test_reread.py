"""Why a prompt was read again is said in one sentence, where it is worth one."""

import pytest

from mlx_harmony.cache_records import CacheRequest, Reuse, ReuseReason
from mlx_harmony.cli.reread import reread


def asked(reason: ReuseReason, place: str = "", position: int | None = None, prompt: int = 1300, detail: str = "") -> CacheRequest:
    reuse = Reuse(prompt=prompt, memory=57, matched=57, reason=reason, position=position, detail=detail)
    return CacheRequest(at=0.0, reuse=reuse, kept_text="Current date:\n2026-11-21", asked_text="Current date: 2026-11-22", place=place)


def test_a_difference_is_told_with_its_place_and_both_sides() -> None:
    assert reread(asked("differs", "the system message", 57)) == (
        "1,243 tokens were read: the system message changed at token 57; "
        "it was “Current date: 2026-11-21”, now it is “Current date: 2026-11-22”."
    )
    assert reread(asked("differs", "", 57)).startswith("1,243 tokens were read: the prompt changed at token 57;")


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("evicted", "make room"),
        ("damaged", "damaged (a flipped bit)"),
        ("other_model", "as it was before"),
        ("boundary", "an earlier place"),
    ],
)
def test_every_other_loss_is_told(reason: ReuseReason, words: str) -> None:
    assert words in reread(asked(reason, detail="a flipped bit" if reason == "damaged" else ""))


def test_what_is_little_new_or_the_person_s_own_making_is_not_told() -> None:
    assert reread(asked("evicted", prompt=300)) == ""
    assert reread(asked("differs", "message 3 (yours)", 57)) == ""
    for reason in ("new", "whole", "answer", "nothing", "off"):
        assert reread(asked(reason)) == ""  # type: ignore[arg-type]
