"""What the page is measured with: a chat of a thousand messages, and answers whose every token carries its number. Knows no page."""

import uuid
from collections.abc import Iterator

from mlx_harmony.conversation.records import Chat, ChatMessage, ChatSummary
from mlx_harmony.records import Timings, Usage

MESSAGES = 1000
LONG = 60
_SENTENCE = "A sentence with **weight**, `code`, a [link](https://example.org/page) and enough words to fill a line of the column. "
_CODE = "def area(width: float, height: float) -> float:\n    return width * height  # in square metres\n\n"
_ROW = "| width | height | area |\n|---|---|--:|\n"

SHAPES = ("mixed", "fence")
"""An answer as models write it; one block of code from its first line to its last."""


def long_answer(number: int) -> str:
    """About 4,000 characters: headings, paragraphs, lists, a table and code."""
    parts = []
    for section in range(3):
        parts += [f"## Part {number}.{section}", _SENTENCE * 5, "\n".join(f"- point {point}: {_SENTENCE[:70]}" for point in range(5))]
        parts += [_ROW + "\n".join(f"| {row} | {row * 2} | {row * row * 2} |" for row in range(6)), f"```python\n{_CODE * 4}```"]
    return "\n\n".join(parts)


def long_chat(messages: int = MESSAGES, long: int = LONG) -> list[tuple[str, str]]:
    """(role, text) of every message; the last `long` answers are long ones, the others two sentences."""
    turns = messages // 2
    texts = []
    for turn in range(turns):
        answer = long_answer(turn) if turn >= turns - long else f"Answer {turn}. {_SENTENCE * 2}"
        texts += [("user", f"Question {turn}: what comes of it?"), ("assistant", answer)]
    return texts


def chat_of(title: str, texts: list[tuple[str, str]], now: float) -> Chat:
    """The texts as a chat to be kept."""
    chat_id = uuid.uuid4().hex
    messages: list[ChatMessage] = []
    for at, (role, text) in enumerate(texts):
        answered = {"usage": Usage(prompt_tokens=900, completion_tokens=700), "timings": TIMINGS} if role == "assistant" else {}
        parent = messages[-1].id if messages else None
        messages.append(
            ChatMessage(id=uuid.uuid4().hex, chat_id=chat_id, role=role, content=text, created_at=now + at, parent_id=parent, **answered)  # type: ignore[arg-type]
        )
    return Chat(summary=ChatSummary(id=chat_id, title=title, created_at=now, updated_at=now), messages=tuple(messages))


TIMINGS = Timings(prompt_n=900, cached_n=0, prompt_ms=300.0, predicted_n=700, predicted_ms=7000.0, first_token_ms=320.0)


def tokens(shape: str, count: int, name: str = "w") -> Iterator[str]:
    """The answer's tokens; each ends in `name` and its number, so that what is on the screen tells how many have come."""
    for number in range(count):
        yield f"{_before_in_code(number) if shape == 'fence' else _before(number)}{name}{number} "


def _before(number: int) -> str:
    """What stands before a token of an answer that goes through paragraphs, a list, a table and code, 200 tokens a round."""
    at = number % 200
    match at:
        case 0:
            return "\n\n## "
        case 6 | 60:
            return "\n\n"
        case _ if 100 <= at < 140 and at % 8 == 4:
            return "\n\n- " if at == 100 else "\n- "
        case 140:
            return "\n\n| a | b | c |\n|---|---|---|\n| "
        case _ if 140 < at < 160:
            return "|\n| " if at % 3 == 2 else "| "
        case 160:
            return "\n\n```python\nx = "
        case _ if 160 < at < 198:
            return "\ny = " if at % 6 == 4 else "+ "
        case 198:
            return "\n```\n\n"
        case _:
            return ""


def _before_in_code(number: int) -> str:
    if number == 0:
        return "```python\nx = "
    return "\n    y = " if number % 8 == 0 else "+ "
