"""The lanes of an answer, token by token."""

import pytest

from mlx_harmony.conversation.records import ChatMessage, Lane, Provenance
from mlx_harmony.records import Numerics, Sampling, Tool, Usage
from mlx_harmony_ui.details import MOST_TOKENS, Fact, Token, details, written
from mlx_harmony_ui.render import render


def answer(*lanes: Lane, repaired: str = "") -> ChatMessage:
    return ChatMessage(id="a", chat_id="c", role="assistant", content="x", created_at=0.0, lanes=lanes, repaired=repaired)


def test_every_token_is_told_with_its_text() -> None:
    raw = "<|channel|>final<|message|>é"
    lane = Lane(channel="final", text="é", raw=raw, ids=(5, 70, 8, 90, 91), sizes=(11, 5, 11, 1, 1))
    assert written(lane) == (
        Token(id=5, text="<|channel|>", control=True),
        Token(id=70, text="final"),
        Token(id=8, text="<|message|>", control=True),
        Token(id=90, text="\\xc3"),
        Token(id=91, text="\\xa9"),
    )


def test_tokens_whose_texts_cannot_be_told_apart_are_told_by_their_ids() -> None:
    assert written(Lane(channel="final", text="x", raw="x", ids=(5, 6), sizes=(9, 9))) == (Token(id=5, text=""), Token(id=6, text=""))
    assert written(Lane(channel="final", text="x", raw="x")) == ()


@pytest.mark.parametrize(
    ("lane", "holds"),
    [
        (Lane(channel="final", text="x", raw="<|x|>", ids=(7,), sizes=(5,)), 'title="Token 7"><b>&lt;|x|&gt;</b><i>7</i>'),
        (Lane(channel="final", text="x", raw="<b>"), "&lt;b&gt;"),
        (Lane(channel="final", text="x"), "What the model wrote here was not kept."),
        (Lane(channel="final", text="x", stop_token="<|return|>"), "closed by <code>&lt;|return|&gt;</code>"),
        (Lane(channel="final", text="x"), "not closed by the model"),
        (
            Lane(channel="commentary", text="x", recipient="functions.f", content_type="json"),
            "to <code>functions.f</code></span><span>json",
        ),
    ],
)
def test_a_lane_tells_how_it_was_written(lane: Lane, holds: str) -> None:
    assert holds in render("details", view=details(answer(lane), raw=True))


def test_what_was_mended_is_marked() -> None:
    html = render("details", view=details(answer(Lane(channel="final", text="x"), repaired="a header never ended")))
    assert "Mended: a header never ended" in html


def test_a_very_long_lane_is_cut_and_says_by_how_much() -> None:
    lane = Lane(channel="final", text="x", raw="x" * (MOST_TOKENS + 5), ids=(1,) * (MOST_TOKENS + 5), sizes=(1,) * (MOST_TOKENS + 5))
    view = details(answer(lane), raw=True).lanes[0]
    assert (len(view.written), view.more) == (MOST_TOKENS, 5)
    assert details(answer(lane)).lanes[0].written == ()


def test_all_that_made_an_answer_and_is_not_as_usual_is_told() -> None:
    made = Provenance(
        model="starter",
        sampling=Sampling(top_k=7, logit_bias={3: 1.0}, xtc_special_tokens=(3, 4)),
        max_tokens=50,
        max_context_tokens=900,
        analysis_budget=0,
        identity="You are Ada.",
        instructions="Answer in one sentence, and never in two of them.",
        stop=("END",),
        end_tokens=("<|end|>",),
        channels=("analysis", "final"),
        loop_detection="off",
        tools=(Tool(kind="python"),),
    )
    told = {fact.label: fact.value for fact in _made_with(made)}
    expected = {
        "Longest answer": "50 tokens",
        "Context limit": "900 tokens",
        "Thinking budget": "0 tokens",
        "Top K": "7",
        "Token biases": "1",
        "Spared by XTC": "3, 4",
    }
    expected |= {"Identity": "You are Ada.", "Stop at": "END", "End tokens": "<|end|>", "Loop detection": "off", "Tools": "python"}
    assert expected.items() <= told.items() and told["Channels"] == "analysis, final"
    assert made.instructions in {fact.title for fact in _made_with(made)}
    assert set(told) - {"When", "Model", "Effort", "Seed"} == {*expected, "Instructions", "Channels"}
    assert {fact.label for fact in _made_with(Provenance(model="starter"))} == {"When", "Model", "Effort", "Seed"}


def test_what_computed_an_answer_is_told_and_nothing_of_it_where_it_was_not_kept() -> None:
    made = Provenance(model="starter", numerics=Numerics(device="Apple M2 Max (metal)", types="bfloat16", mlx="0.32.4", mlx_lm="0.32.2"))
    told = {fact.label: fact.value for fact in _made_with(made)}
    assert {"Device": "Apple M2 Max (metal)", "Computed in": "bfloat16", "mlx": "0.32.4", "mlx-lm": "0.32.2"}.items() <= told.items()
    assert not {"Device", "Computed in", "mlx", "mlx-lm"} & {fact.label for fact in _made_with(Provenance(model="starter"))}


def _made_with(made: Provenance) -> tuple[Fact, ...]:
    message = ChatMessage(id="a", chat_id="c", role="assistant", content="x", created_at=0.0, provenance=made)
    return details(message).tables[-1].rows


@pytest.mark.parametrize(("cached", "leads"), [(10, True), (95, False)])
def test_an_answer_whose_prompt_was_read_again_leads_to_the_cache(cached: int, leads: bool) -> None:
    usage = Usage(prompt_tokens=100, completion_tokens=5, cached_tokens=cached)
    made = Provenance(model="some/model")
    message = ChatMessage(id="a", chat_id="c", role="assistant", content="x", created_at=0.0, usage=usage, provenance=made)
    html = render("details", view=details(message))
    assert ('data-do="cache-of" data-model="some/model" data-of-chat="c"' in html) == leads
