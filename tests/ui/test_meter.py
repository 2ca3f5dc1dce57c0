"""The context meter as shown: how full, in which tone, and how sure it is of that."""

import pytest

from mlx_harmony.conversation.records import ContextUse
from mlx_harmony_ui.meter import cost, meter
from mlx_harmony_ui.render import render


@pytest.mark.parametrize(
    ("use", "share", "tone", "text"),
    [
        (ContextUse(total=100, sent=100, limit=1000, context_length=2000), 10.0, "calm", "100 of 1,000 tokens"),
        (ContextUse(total=800, sent=800, limit=1000, context_length=2000), 80.0, "near", "800 of 1,000 tokens"),
        (
            ContextUse(total=1500, sent=900, limit=1000, context_length=2000, trimmed=("a", "b")),
            90.0,
            "over",
            "900 of 1,000 sent · 1,500 in all · oldest 2 unseen",
        ),
        (
            ContextUse(total=1500, sent=1000, limit=1000, context_length=2000, counted="estimate"),
            100.0,
            "over",
            "≈ 1,000 of 1,000 sent · 1,500 in all · oldest unseen",
        ),
        (ContextUse(total=100, sent=100, limit=1000, context_length=2000, counted="estimate"), 10.0, "calm", "≈ 100 of 1,000 tokens"),
        (ContextUse(total=1, sent=1, limit=0, context_length=0, counted="before"), 100.0, "near", "1 of 0 tokens"),
    ],
)
def test_it_says_how_full_the_context_is(use: ContextUse, share: float, tone: str, text: str) -> None:
    view = meter(use)
    assert (view.share, view.tone, view.text) == (share, tone, text)


def test_it_says_how_sure_it_is() -> None:
    titles = {
        counted: meter(ContextUse(total=1, sent=1, limit=10, context_length=20, counted=counted)).title
        for counted in ("now", "before", "estimate")
    }
    assert "last awake" in titles["before"] and "estimate" in titles["estimate"] and not {"awake", "estimate"} & set(titles["now"].split())


SENDS = "Of {} tokens with what you are typing, the next message sends 280: it may send 300, so the {} not seen by the model."
ROOM = "The context holds 400, of which 100 stay free for the answer."
ALL = "What the next message sends, of {} tokens that it may."
ELEVEN = tuple("abcdefghijk")


@pytest.mark.parametrize(
    ("use", "sends", "room"),
    [
        (ContextUse(total=585, sent=280, limit=300, context_length=400, trimmed=ELEVEN), SENDS.format(585, "oldest 11 messages are"), ROOM),
        (ContextUse(total=310, sent=280, limit=300, context_length=400, trimmed=("a",)), SENDS.format(310, "oldest message is"), ROOM),
        (ContextUse(total=9, sent=9, limit=300, context_length=400), ALL.format(300), ROOM),
        (
            ContextUse(total=9, sent=9, limit=300, context_length=850),
            ALL.format(300),
            "The context holds 850; this chat’s prompts are kept shorter than that.",
        ),
        (ContextUse(total=1, sent=1, limit=3, context_length=3), ALL.format(3), ""),
    ],
)
def test_it_says_why_not_the_whole_context_is_there_for_a_prompt(use: ContextUse, sends: str, room: str) -> None:
    assert meter(use).title == f"{sends} {room}".strip()


@pytest.mark.parametrize(
    ("reused", "seconds", "said"),
    [
        (1204, 0.2, "1,204 tokens reused, 36 to read, about 0.2 s"),
        (1, None, "1 token reused, 1,239 to read"),
        (0, 75.0, "1,240 to read, about 1 min 15 s"),
        (None, None, ""),
        (2000, 0.0, "2,000 tokens reused, 0 to read, about 0.1 s"),
    ],
)
def test_it_says_what_sending_costs_where_that_is_known(reused: int | None, seconds: float | None, said: str) -> None:
    use = ContextUse(total=1240, sent=1240, limit=3000, context_length=4000, reused=reused, seconds=seconds)
    assert cost(use) == said
    html = render("meter", view=meter(use), chat="c")
    assert ('class="cost"' in html) == bool(said) and said in html


def test_beside_a_longer_meter_the_cost_is_shorter() -> None:
    use = ContextUse(total=585, sent=280, limit=300, context_length=400, trimmed=("a",), reused=200, seconds=0.4)
    assert meter(use).cost == "200 reused, 80 to read, about 0.4 s"
