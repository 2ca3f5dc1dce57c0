"""Answers of template models: thinking tags, mlx-lm's own tool parsers, whole characters, and nothing lost that cannot be read."""

import json
from pathlib import Path

import pytest
from mlx_lm.tokenizer_utils import load

from mlx_harmony.events import Event, MessageEnded, TextDelta, TokenLogprob, ToolCallDelta
from mlx_harmony.records import ChatPrompt, Message, TextPrompt, Tool
from mlx_harmony.worker.formats import TurnParser
from mlx_harmony.worker.templates.format import RawFormat, TemplateFormat
from mlx_harmony.worker.tokens import Tokens
from tests.fixtures.formats import parse, told, write_tokenizer
from tests.fixtures.models import TEMPLATE

SPECIALS = ("<s>", "</s>", "<|user|>", "<|assistant|>", "<|tool_call_start|>", "<|tool_call_end|>", "[TOOL_CALLS]", "[ARGS]")
WEATHER = Tool(
    kind="function", name="get_weather", description="", parameters={"type": "object", "properties": {"city": {"type": "string"}}}
)
HERMES = TEMPLATE + "{# tools <tool_call> tool_call.name #}"
CODER = TEMPLATE + "{# tools <tool_call>\n<function= #}"
MISTRAL = TEMPLATE + "{# tools [TOOL_CALLS] #}"
PYTHONIC = TEMPLATE + "{# tools <|tool_call_start|> #}"
MINICPM = TEMPLATE + '{# tools <function name=" <param name=" #}'
OPEN_THINKING = TEMPLATE + "{% if add_generation_prompt %}<think>\n{% endif %}"
THINK = ("<think>", "</think>")
CALL = ("<tool_call>", "</tool_call>")


def format_for(folder: Path, template: str, plain: tuple[str, ...] = THINK + CALL) -> TemplateFormat:
    names = {"bos_token": "<s>", "eos_token": "</s>"}
    return TemplateFormat(Tokens(load(write_tokenizer(folder, SPECIALS, template=template, plain=plain, **names))))


def answer(prompt_format: TemplateFormat, text: str, *, tools: tuple[Tool, ...] = ()) -> tuple[list[Event], TurnParser]:
    prompt = ChatPrompt(messages=(Message(role="user", content="Hi"),), tools=tools)
    prompt_format.render(prompt)
    parser = prompt_format.parser(prompt)
    return parse(parser, prompt_format.tokens.encode_markup(text)), parser


def arguments(events: list[Event]) -> list[tuple[str, object]]:
    """Each call as (name, arguments)."""
    made: dict[str, tuple[str, str]] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            name, text = made.get(event.call_id, ("", ""))
            made[event.call_id] = (name + event.name, text + event.arguments)
    return [(name, json.loads(text)) for name, text in made.values()]


def test_an_answer_is_one_final_message(tmp_path: Path) -> None:
    events, parser = answer(format_for(tmp_path, TEMPLATE), "Hello 👩‍👩‍👧 there.\n\nBye.</s>")

    assert told(events) == [("final", None, "Hello 👩‍👩‍👧 there.\n\nBye.")]
    [ended] = [event for event in events if isinstance(event, MessageEnded)]
    assert (ended.stop_token, ended.raw) == ("</s>", "Hello 👩‍👩‍👧 there.\n\nBye.</s>")
    assert parser.repaired == ""


@pytest.mark.parametrize("plain", [THINK, ()])
def test_thinking_goes_to_analysis(tmp_path: Path, plain: tuple[str, ...]) -> None:
    specials = plain or THINK
    prompt_format = format_for(tmp_path, TEMPLATE, specials)

    events, parser = answer(prompt_format, "<think>\nHm, 😀.\n</think>\n\nHello.</s>")

    assert told(events) == [("analysis", None, "Hm, 😀."), ("final", None, "Hello.")]
    assert parser.reasoning_tokens > 0


def test_a_prompt_that_opens_the_thinking_tag_begins_in_thought(tmp_path: Path) -> None:
    events, parser = answer(format_for(tmp_path, OPEN_THINKING), "Hm.</think>Hello.</s>")

    assert told(events) == [("analysis", None, "Hm."), ("final", None, "Hello.")]
    assert parser.repaired == ""


def test_thinking_that_is_cut_off_stays_thinking(tmp_path: Path) -> None:
    assert told(answer(format_for(tmp_path, OPEN_THINKING), "Hm, let me")[0]) == [("analysis", None, "Hm, let me")]


def test_a_stray_end_of_thinking_is_not_shown(tmp_path: Path) -> None:
    events, parser = answer(format_for(tmp_path, TEMPLATE), "Hello</think> there</s>")

    assert told(events) == [("final", None, "Hello there")]
    assert parser.repaired


def test_an_answer_of_white_space_has_no_message(tmp_path: Path) -> None:
    assert told(answer(format_for(tmp_path, TEMPLATE), "<think>\n\n</think>\n\n</s>")[0]) == []


@pytest.mark.parametrize(
    ("template", "written"),
    [
        (HERMES, '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Zürich 😀"}}\n</tool_call>'),
        (CODER, "<tool_call>\n<function=get_weather>\n<parameter=city>\nZürich 😀\n</parameter>\n</function>\n</tool_call>"),
        (MISTRAL, '[TOOL_CALLS]get_weather[ARGS]{"city": "Zürich 😀"}'),
        (MISTRAL, '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Zürich 😀"}}]'),
        (PYTHONIC, "<|tool_call_start|>[get_weather(city='Zürich 😀')]<|tool_call_end|>"),
        (MINICPM, '<function name="get_weather"><param name="city">Zürich 😀</param></function>'),
    ],
)
def test_calls_are_read_by_mlx_lms_own_parsers(tmp_path: Path, template: str, written: str) -> None:
    events, parser = answer(format_for(tmp_path, template), f"Let me look.\n{written}</s>", tools=(WEATHER,))

    assert arguments(events) == [("get_weather", {"city": "Zürich 😀"})]
    assert [(channel, recipient) for channel, recipient, _ in told(events)] == [("final", None), ("commentary", "functions.get_weather")]
    assert parser.called_tool
    assert parser.repaired == ""


def test_several_calls_are_several_messages(tmp_path: Path) -> None:
    one = '<tool_call>{"name": "get_weather", "arguments": {"city": "%s"}}</tool_call>'

    events, _ = answer(format_for(tmp_path, HERMES), f"<think>Both.</think>{one % 'A'}\n{one % 'B'}</s>", tools=(WEATHER,))

    assert arguments(events) == [("get_weather", {"city": "A"}), ("get_weather", {"city": "B"})]
    assert [channel for channel, _, _ in told(events)] == ["analysis", "commentary", "commentary"]


@pytest.mark.parametrize("inner", ["{broken", "[1]", '"text"', '{"arguments": {}}', '{"name": 5}', '{"name": "f", "arguments": "nope"}'])
def test_a_call_that_cannot_be_read_is_shown_and_marked(tmp_path: Path, inner: str) -> None:
    events, parser = answer(format_for(tmp_path, HERMES), f"<tool_call>{inner}</tool_call></s>", tools=(WEATHER,))

    assert told(events) == [("final", None, inner)]
    assert "could not be read" in parser.repaired
    assert not parser.called_tool


def test_a_call_that_is_cut_off_is_shown_and_marked(tmp_path: Path) -> None:
    events, parser = answer(format_for(tmp_path, HERMES), 'Look: <tool_call>{"name": "get_wea', tools=(WEATHER,))

    assert told(events)[-1] == ("final", None, '{"name": "get_wea')
    assert "cut off" in parser.repaired
    assert not parser.called_tool


def test_a_whole_call_that_only_lacks_its_end_tag_is_still_a_call(tmp_path: Path) -> None:
    events, parser = answer(format_for(tmp_path, HERMES), '<tool_call>{"name": "get_weather", "arguments": {}}', tools=(WEATHER,))

    assert arguments(events) == [("get_weather", {})]
    assert "not ended" in parser.repaired
    assert parser.finish() == []


def test_control_tokens_are_never_shown(tmp_path: Path) -> None:
    events, _ = answer(format_for(tmp_path, TEMPLATE), "Hello<|user|> there<|tool_call_start|></s>")

    assert told(events) == [("final", None, "Hello there")]


def test_tags_written_as_text_stay_text(tmp_path: Path) -> None:
    prompt_format = format_for(tmp_path, HERMES)
    prompt = ChatPrompt(messages=(Message(role="user", content="Hi"),))
    parser = prompt_format.parser(prompt)

    events = parse(parser, prompt_format.tokens.encode_text("Write <think> and <tool_call>."))

    assert told(events) == [("final", None, "Write <think> and <tool_call>.")]


def test_only_what_could_become_a_tag_is_held_back(tmp_path: Path) -> None:
    prompt_format = format_for(tmp_path, MINICPM, THINK)
    parser = prompt_format.parser(ChatPrompt(messages=(Message(role="user", content="Hi"),)))
    shown = ""
    for token in prompt_format.tokens.encode_text("a <function x"):
        shown += "".join(event.text for event in parser.feed(token) if isinstance(event, TextDelta))

    assert shown == "a <function x"


def test_an_emoji_split_over_tokens_is_never_half_shown(tmp_path: Path) -> None:
    prompt_format = format_for(tmp_path, TEMPLATE)
    text = "👩‍👩‍👧 日本"
    tokens = prompt_format.tokens.encode_text(text)
    for end in range(len(tokens) + 1):
        parser = prompt_format.parser(ChatPrompt(messages=(Message(role="user", content="Hi"),)))
        shown = "".join(message[2] for message in told(parse(parser, tokens[:end])))
        assert "\ufffd" not in shown
        assert text.startswith(shown)


def test_log_probabilities_reach_the_text(tmp_path: Path) -> None:
    prompt_format = format_for(tmp_path, TEMPLATE)
    parser = prompt_format.parser(ChatPrompt(messages=(Message(role="user", content="Hi"),)))
    content = prompt_format.tokens.encode_text("a 😀 b")
    events = [event for token in content for event in parser.feed(token, TokenLogprob(token="", token_id=token, logprob=-1.0))]

    assert [each.token_id for event in events if isinstance(event, TextDelta) for each in event.logprobs] == content


def test_a_raw_chat_ends_where_the_model_begins_the_users_line(tmp_path: Path) -> None:
    tokens = format_for(tmp_path, TEMPLATE).tokens
    parser = RawFormat(tokens).parser(ChatPrompt(messages=(Message(role="user", content="Hi"),)))
    events: list[Event] = []
    for token in tokens.encode_text(" Hello there.\nuser: and more"):
        events += parser.feed(token)
        if parser.done:
            break
    events += parser.finish()

    assert parser.done
    assert told(events) == [("final", None, "Hello there.")]


def test_raw_text_goes_on_as_it_is(tmp_path: Path) -> None:
    prompt_format = format_for(tmp_path, TEMPLATE)
    parser = prompt_format.parser(TextPrompt(text="Once"))

    events = parse(parser, prompt_format.tokens.encode_markup(" upon\nuser: a time</s>"))

    assert told(events) == [("final", None, " upon\nuser: a time")]
    assert not parser.called_tool
