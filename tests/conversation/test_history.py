"""What a model is told of a chat, and what a chat is called."""

import pytest

from mlx_harmony.conversation.history import prompt_of, title_of
from mlx_harmony.conversation.records import ChatMessage, MessageState, TurnOptions
from mlx_harmony.records import Role, ToolCall


def said(role: Role, content: str, state: MessageState = "complete", **others: object) -> ChatMessage:
    return ChatMessage(id=content, chat_id="c", role=role, content=content, created_at=0.0, state=state, **others)  # type: ignore[arg-type]


def told(*path: ChatMessage, options: TurnOptions | None = None) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in prompt_of(path, options or TurnOptions(), 0.0).messages]


def test_what_was_shown_is_told_and_empty_answers_are_left_out() -> None:
    path = [
        said("user", "one"),
        said("assistant", "", "failed"),
        said("user", "two"),
        said("assistant", "part", "cancelled"),
        said("user", "three"),
        said("assistant", " \n", "interrupted"),
        said("user", "four"),
    ]
    assert told(*path) == [("user", "one"), ("user", "two"), ("assistant", "part"), ("user", "three"), ("user", "four")]


def test_thinking_goes_along_for_the_format_to_decide() -> None:
    prompt = prompt_of((said("user", "one"), said("assistant", "two", reasoning="hmm")), TurnOptions(), 0.0)
    assert prompt.messages[1].reasoning == "hmm"


def test_a_call_counts_only_where_a_result_followed() -> None:
    call = ToolCall(id="1", name="python", arguments="{}")
    asked = said("assistant", "", tool_calls=(call,))
    assert told(said("user", "one"), asked, said("user", "two")) == [("user", "one"), ("user", "two")]
    result = said("tool", "4", tool_call_id="1")
    prompt = prompt_of((said("user", "one"), asked, result), TurnOptions(), 0.0)
    assert prompt.messages[1].tool_calls == (call,) and prompt.messages[2].tool_call_id == "1"


def test_instructions_stand_at_the_head() -> None:
    assert told(said("user", "one"), options=TurnOptions(instructions="Be brief.")) == [("developer", "Be brief."), ("user", "one")]
    assert told(said("user", "one"), options=TurnOptions(instructions="  ")) == [("user", "one")]


def test_a_chat_keeps_the_date_it_began_on() -> None:
    first = prompt_of((said("user", "one"),), TurnOptions(), 1_700_000_000.0)
    assert first.start_date is not None and first.start_date.startswith("2023-11-1")


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Hello", "Hello"),
        ("  two\n\nlines\t", "two lines"),
        ("x" * 100, "x" * 59 + "…"),
        ("word " * 30, "word word word word word word word word word word word word…"[:60]),
        ("a" * 60, "a" * 60),
    ],
)
def test_a_title_is_one_line_cut_at_a_word(text: str, title: str) -> None:
    assert title_of(text) == title and len(title_of(text)) <= 60
