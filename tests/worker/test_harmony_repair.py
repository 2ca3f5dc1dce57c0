"""What models write wrong: it is mended and marked, no answer is lost, and no control token is ever shown."""

import json
import random
from typing import Any

import pytest

from mlx_harmony.events import Event, MessageEnded, MessageStarted, TextDelta, TokenLogprob, ToolCallDelta
from mlx_harmony.records import ChatPrompt, Message, TextPrompt, TokenPrompt, Tool
from mlx_harmony.worker.formats import TurnParser
from tests.fixtures.formats import harmony_format, harmony_tokens, parse, told

PROMPT = ChatPrompt(messages=(Message(role="user", content="Hi"),), tools=(Tool(kind="function", name="f"), Tool(kind="apply_patch")))
NAMES = (
    "<|return|>",
    "<|constrain|>",
    "<|channel|>",
    "<|start|>",
    "<|end|>",
    "<|message|>",
    "<|call|>",
    "<|endoftext|>",
    "<|startoftext|>",
)


def answer(text: str, prompt: Any = PROMPT) -> tuple[list[Event], TurnParser]:
    parser = harmony_format().parser(prompt)
    return parse(parser, harmony_tokens().encode_markup(text)), parser


@pytest.mark.parametrize(
    ("written", "messages"),
    [
        # Without a header.
        ("Hello there.", [("final", None, "Hello there.")]),
        ("Hi<|return|>", [("final", None, "Hi")]),
        ("to be or not to be<|return|>", [("final", None, "to be or not to be")]),
        ("Final score: 3<|end|>", [("final", None, "Final score: 3")]),
        ("<|message|>Hello<|return|>", [("final", None, "Hello")]),
        ("assistant<|channel|>final<|message|>x<|return|>", [("final", None, "x")]),
        # Headers that never end.
        ("<|channel|>analysis We need to think.<|end|>", [("analysis", None, "We need to think.")]),
        ("<|channel|>final\nHello\n<|return|>", [("final", None, "Hello\n")]),
        ("<|channel|>final Hello<|return|>", [("final", None, "Hello")]),
        ("<|channel|>final Hello", [("final", None, "Hello")]),
        ("<|channel|>Hello there my dear friend<|return|>", [("final", None, "Hello there my dear friend")]),
        (
            '<|channel|>commentary to=functions.f <|constrain|>json{"a": 1}<|call|>',
            [("commentary", "functions.f", '{"a": 1}')],
        ),
        ("to=python print(1)\nprint(2)<|call|>", [("commentary", "python", '{"code": "print(1)\\nprint(2)"}')]),
        # Headers in odd forms.
        ("final<|message|>x<|return|>", [("final", None, "x")]),
        ("<|channel|>analysis<|channel|>final<|message|>x<|return|>", [("final", None, "x")]),
        ("<|channel|>Final<|message|>x<|return|>", [("final", None, "x")]),
        ("<|channel|>finalanswer<|message|>x<|return|>", [("final", None, "x")]),
        ("<|channel|>speech<|message|>x<|return|>", [("final", None, "x")]),
        ("<|channel|><|message|>x<|return|>", [("final", None, "x")]),
        ("<|start|>assistant<|channel|>final<|message|>x<|return|>", [("final", None, "x")]),
        (
            "<|channel|>final<|message|>x<|end|>assistant<|channel|>final<|message|>y<|return|>",
            [("final", None, "x"), ("final", None, "y")],
        ),
        (
            "<|channel|>analysis<|message|>t<|end|><|start|>assistantfinal<|message|>x<|return|>",
            [("analysis", None, "t"), ("final", None, "x")],
        ),
        ("<|channel|>analysis<|message|>t<|end|><|channel|>final<|message|>x<|return|>", [("analysis", None, "t"), ("final", None, "x")]),
        ("<|channel|>analysis<|message|>t<|end|><|message|>x<|return|>", [("analysis", None, "t"), ("final", None, "x")]),
        # Messages that never end, and junk.
        (
            "<|channel|>analysis<|message|>t<|start|>assistant<|channel|>final<|message|>x<|return|>",
            [("analysis", None, "t"), ("final", None, "x")],
        ),
        ("<|channel|>analysis<|message|>t<|channel|>final<|message|>x<|return|>", [("analysis", None, "t"), ("final", None, "x")]),
        (
            "<|channel|>analysis<|message|>t<|end|>It is five, of course.<|return|>",
            [("analysis", None, "t"), ("final", None, "It is five, of course.")],
        ),
        ("<|channel|>final<|message|>a<|message|>b<|constrain|>c<|startoftext|>d<|return|>", [("final", None, "abcd")]),
        ("<|channel|><|startoftext|>final<|message|>x<|return|>", [("final", None, "x")]),
        ("<|channel|>final<|message|>done<|call|>", [("final", None, "done")]),
        ("<|start|>Hello<|return|>", [("final", None, "Hello")]),
        # Somebody else's role.
        ("<|channel|>final<|message|>x<|end|><|start|>user<|message|>More!<|end|>", [("final", None, "x")]),
        ("<|start|>user<|message|>Hello<|end|>", [("final", None, "Hello")]),
        # Calls.
        ('<|channel|>commentary to=functions.f<|message|>{"a": 1}<|end|>', [("commentary", "functions.f", '{"a": 1}')]),
        (
            '<|channel|>commentary to=functions.f<|message|>{"a": 1}<|start|>functions.f to=assistant<|message|>made up',
            [("commentary", "functions.f", '{"a": 1}')],
        ),
    ],
)
def test_it_is_mended_and_marked(written: str, messages: list[tuple[str, str | None, str]]) -> None:
    events, parser = answer(written)

    assert told(events) == messages
    assert parser.repaired


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("<|channel|>analysis to=python code<|message|>1<|call|>", ("analysis", "python", '{"code": "1"}')),
        (" to=functions.f<|channel|>commentary json<|message|>{}<|call|>", ("commentary", "functions.f", "{}")),
        (" to=functions.f<|channel|>final <|constrain|>json<|message|>{}<|call|>", ("final", "functions.f", "{}")),
        (" to=functions.f<|message|>{}<|call|>", ("commentary", "functions.f", "{}")),
        (" to=functions.f code<|message|>{}<|call|>", ("commentary", "functions.f", "{}")),
        (" to=functions.f<|constrain|>json<|channel|>commentary<|message|>{}<|call|>", ("commentary", "functions.f", "{}")),
        ("<|channel|>commentary to=functions.f<|constrain|>json<|message|><|call|>", ("commentary", "functions.f", "{}")),
        ("<|channel|>final to=user<|message|>Hello<|return|>", ("final", "user", "Hello")),
        ('<|channel|>analysis to=python json<|message|>{"code": "1"}<|call|>', ("analysis", "python", '{"code": "1"}')),
        ("<|channel|>final<|message|>Hello<|endoftext|>", ("final", None, "Hello")),
    ],
)
def test_calls_are_routed_by_recipient_whatever_their_header_looks_like(written: str, message: tuple[str, str | None, str]) -> None:
    events, parser = answer(written)

    assert told(events) == [message]
    assert parser.repaired == ""


@pytest.mark.parametrize(
    ("content", "patch"),
    [
        ("*** Begin Patch\n*** End Patch", "*** Begin Patch\n*** End Patch"),
        ('{"patch": "*** Begin Patch"}', "*** Begin Patch"),
        (' "*** Begin\\nPatch"', "*** Begin\nPatch"),
        ("", ""),
    ],
)
def test_a_patch_may_come_as_text_or_as_json(content: str, patch: str) -> None:
    events, parser = answer(f" to=functions.apply_patch<|channel|>commentary<|message|>{content}<|call|>")

    [(_, _, arguments)] = told(events)
    names = [event.name for event in events if isinstance(event, ToolCallDelta) and event.name]
    assert names == ["apply_patch"]
    assert json.loads(arguments) == {"patch": patch}
    assert parser.called_tool


def test_calls_carry_openais_names_and_ids_of_their_own() -> None:
    ids = set()
    for recipient, name in (("functions.f", "f"), ("python", "python"), ("browser.open", "browser.open"), ("functions", "functions")):
        events, _ = answer(f" to={recipient}<|channel|>commentary<|message|>{{}}<|call|>")
        deltas = [event for event in events if isinstance(event, ToolCallDelta)]
        assert deltas[0].name == name
        assert {delta.name for delta in deltas[1:]} <= {""}
        assert len({delta.call_id for delta in deltas}) == 1
        ids.add(deltas[0].call_id)
    assert len(ids) == 4


def test_a_call_that_was_cut_off_is_no_call() -> None:
    events, parser = answer(" to=python<|channel|>analysis code<|message|>rm -r")

    [(_, _, arguments)] = told(events)
    assert not parser.called_tool
    assert "cut off" in parser.repaired
    with pytest.raises(json.JSONDecodeError):
        json.loads(arguments)


@pytest.mark.parametrize(
    "written", ["", "<|return|>", "<|channel|>", "<|channel|>fin", "<|start|>assistant", "<|end|>", "<|start|>user", " to=python"]
)
def test_a_turn_without_a_word_has_no_message(written: str) -> None:
    assert told(answer(written)[0]) == []


def test_what_closed_a_message_and_what_was_written_is_told() -> None:
    events, parser = answer("<|channel|>analysis<|message|>a b<|end|><|start|>assistant<|channel|>final<|message|>x")

    thinking, final = (event for event in events if isinstance(event, MessageEnded))
    assert (thinking.stop_token, thinking.raw) == ("<|end|>", "<|channel|>analysis<|message|>a b<|end|>")
    assert (final.stop_token, final.raw) == ("", "<|start|>assistant<|channel|>final<|message|>x")
    for ended in (thinking, final):
        assert list(ended.ids) == harmony_tokens().encode_markup(ended.raw)
        assert [len(harmony_tokens().piece(token)) for token in ended.ids] == list(ended.sizes) and sum(ended.sizes) == len(ended.raw)
    assert parser.reasoning_tokens == len(harmony_tokens().encode_text("a b"))
    assert not parser.repaired


def test_the_answer_is_over_when_the_model_plays_the_tool() -> None:
    parser = harmony_format().parser(PROMPT)
    tokens = harmony_tokens().encode_markup('<|channel|>commentary to=functions.f<|message|>{"a": 1}<|end|>')

    for token in tokens:
        assert not parser.done
        parser.feed(token)

    assert parser.done
    assert parser.called_tool
    assert parser.feed(tokens[0]) == []
    assert parser.finish() == []


def test_an_emoji_split_over_tokens_is_never_half_shown() -> None:
    text = "👩‍👩‍👧‍👦 é 日本"
    tokens = harmony_tokens().encode_markup("<|channel|>final<|message|>") + harmony_tokens().encode_text(text)
    for end in range(3, len(tokens) + 1):
        events = parse(harmony_format().parser(PROMPT), tokens[:end])
        shown = "".join(event.text for event in events if isinstance(event, TextDelta))
        assert "\ufffd" not in shown
        assert text.startswith(shown)


def test_log_probabilities_reach_the_text_they_belong_to() -> None:
    parser = harmony_format().parser(PROMPT)
    content = harmony_tokens().encode_text("a 😀 b")
    events: list[Event] = []
    for token in harmony_tokens().encode_markup("<|channel|>final<|message|>") + content:
        events += parser.feed(token, TokenLogprob(token="", token_id=token, logprob=-1.0))

    assert [each.token_id for event in events if isinstance(event, TextDelta) for each in event.logprobs] == content


def test_a_continued_answer_goes_on_where_it_stopped() -> None:
    prompt = ChatPrompt(messages=(*PROMPT.messages, Message(role="assistant", content="Once ")), continue_last=True)

    assert told(answer("upon a time<|return|>", prompt)[0]) == [("final", None, "upon a time")]

    thinking = ChatPrompt(messages=(*PROMPT.messages, Message(role="assistant", reasoning="Let")), continue_last=True)
    text = " me<|end|><|start|>assistant<|channel|>final<|message|>x<|return|>"
    assert told(answer(text, thinking)[0]) == [("analysis", None, " me"), ("final", None, "x")]


def test_raw_prompts_are_answered_in_kind() -> None:
    harmonious = "<|start|>user<|message|>Hi<|end|><|start|>assistant"
    written = "<|channel|>final<|message|>x<|return|>"

    assert told(answer(written, TextPrompt(text=harmonious))[0]) == [("final", None, "x")]
    tokens = tuple(harmony_tokens().encode_markup(harmonious))
    assert told(answer(written, TokenPrompt(tokens=tokens))[0]) == [("final", None, "x")]
    assert told(answer("upon a time<|end|>", TextPrompt(text="Once "))[0]) == [("final", None, "upon a time")]


@pytest.mark.parametrize("seed", range(20))
def test_no_noise_breaks_the_order_or_shows_a_control_token(seed: int) -> None:
    rng = random.Random(seed)
    tokens = harmony_tokens()
    words = [
        "analysis",
        "final",
        "commentary",
        " to=python",
        " to=functions.f",
        "assistant",
        "user",
        "json",
        " code",
        "Hello",
        " ",
        "\n",
        "😀",
        "{}",
    ]
    for _ in range(100):
        pieces = rng.choices([*NAMES, *words], k=rng.randint(1, 25))
        ids = [token for piece in pieces for token in tokens.encode_markup(piece)]
        ids += rng.choices(range(len(NAMES), 380), k=rng.randint(0, 5))
        parser = harmony_format().parser(PROMPT)

        events = parse(parser, ids)

        for _, _, text in told(events):
            assert not any(name in text for name in NAMES)
            assert "\ufffd" not in text
        started = [event.index for event in events if isinstance(event, MessageStarted)]
        assert started == list(range(len(started)))


def test_no_visible_letter_is_lost_in_noise() -> None:
    rng = random.Random(7)
    for _ in range(300):
        pieces = rng.choices(["<|channel|>final", "<|message|>", "<|end|>", "<|start|>assistant", "Unmistakable words of an answer."], k=8)
        events, _ = answer("".join(pieces))
        said = "".join(text for _, _, text in told(events))
        assert said.count("Unmistakable") == pieces.count("Unmistakable words of an answer."), pieces
