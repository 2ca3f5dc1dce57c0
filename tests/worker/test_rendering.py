"""A long prompt is rendered beside the answers: they go on meanwhile, nobody else uses the tokenizer, and what fails fails alone."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from mlx_harmony.errors import InvalidRequest
from mlx_harmony.events import Counted, Failed, TextDelta
from mlx_harmony.records import ChatPrompt, GenerationRequest, Message, Prompt, Tool, ToolCall
from mlx_harmony.worker import rendering
from mlx_harmony.worker.formats import Rendered
from mlx_harmony.worker.inbox import Inbox
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.rendering import is_long
from tests.worker.company import GREEDY, alone, ask, end, text, together

LATEST_S = 10.0


class Watched:
    """A format whose long prompts take until they are released; knows in which threads it rendered, and how many at once."""

    def __init__(self, inner: Any, error: Exception | None = None) -> None:
        self._inner = inner
        self._error = error
        self._at_once = 0
        self.released = threading.Event()
        self.most_at_once = 0
        self.waited: list[bool] = []
        self.threads: list[str] = []

    def render(self, prompt: Prompt) -> Rendered:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        self.threads.append(threading.current_thread().name)
        try:
            if is_long(prompt) and not self.waited:
                self.waited.append(self.released.wait(LATEST_S))
                if self._error is not None:
                    raise self._error
            return self._inner.render(prompt)
        finally:
            self._at_once -= 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.fixture(autouse=True)
def two_hundred_characters_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "LONG_CHARACTERS", 200)


def chat(name: str, words: int) -> GenerationRequest:
    prompt = ChatPrompt(messages=(Message(role="user", content="hello there " * words),))
    return GenerationRequest(id=name, prompt=prompt, sampling=GREEDY, max_tokens=5, loop_detection="off")


def watched(loaded: LoadedModel, error: Exception | None = None) -> tuple[LoadedModel, Watched]:
    spoken = Watched(loaded.format, error)
    return loaded._replace(format=spoken), spoken


def after(spoken: Watched, act: Callable[[Inbox], None]) -> dict[tuple[str, int], Callable[[Inbox], None]]:
    """Something is put at the writer's tenth event; the long prompt is released at its thirtieth."""
    return {("writer", 10): act, ("writer", 30): lambda _inbox: spoken.released.set()}


WRITER = ask("writer", max_tokens=70)


def test_answers_go_on_while_a_long_prompt_is_rendered(llama: LoadedModel) -> None:
    slow, spoken = watched(llama)
    heard = together(slow, [WRITER], after(spoken, lambda inbox: inbox.put(chat("long", 40))), expected=2)
    assert spoken.waited == [True]
    assert [name.startswith("rendering") for name in spoken.threads[-1:]] == [True]
    assert text(heard["writer"]) == text(alone(llama, WRITER))
    assert text(heard["long"]) == text(alone(llama, chat("long", 40)))
    assert end(heard["long"]).usage.prompt_tokens > 40


def test_who_comes_meanwhile_is_rendered_afterwards(llama: LoadedModel) -> None:
    slow, spoken = watched(llama)

    def both(inbox: Inbox) -> None:
        inbox.put(chat("long", 40))
        inbox.put(chat("short", 2))
        inbox.put_count(chat("count", 3))

    heard = together(slow, [WRITER], after(spoken, both), expected=4)
    assert spoken.waited == [True]
    assert spoken.most_at_once == 1
    for name, words in (("long", 40), ("short", 2)):
        assert text(heard[name]) == text(alone(llama, chat(name, words)))
    assert isinstance(heard["count"][-1], Counted)


def test_a_long_prompt_is_counted_beside_the_answers_too(llama: LoadedModel) -> None:
    slow, spoken = watched(llama)
    heard = together(slow, [WRITER], after(spoken, lambda inbox: inbox.put_count(chat("count", 40))), expected=2)
    assert spoken.waited == [True]
    (counted,) = heard["count"]
    assert isinstance(counted, Counted)
    assert counted.count.total == len(llama.format.render(chat("count", 40).prompt).tokens)
    assert text(heard["writer"]) == text(alone(llama, WRITER))


@pytest.mark.parametrize("put", [Inbox.put, Inbox.put_count])
def test_a_rendering_that_fails_fails_its_own_request_only(llama: LoadedModel, put: Callable[[Inbox, GenerationRequest], None]) -> None:
    slow, spoken = watched(llama, InvalidRequest("The template refuses this."))
    heard = together(slow, [WRITER], after(spoken, lambda inbox: put(inbox, chat("long", 40))), expected=2)
    assert isinstance(heard["long"][-1], Failed)
    assert (heard["long"][-1].code, heard["long"][-1].message) == ("invalid_request", "The template refuses this.")
    assert text(heard["writer"]) == text(alone(llama, WRITER))


def test_a_request_that_is_left_while_it_is_rendered_ends_without_an_answer(llama: LoadedModel) -> None:
    slow, spoken = watched(llama)
    acts = after(spoken, lambda inbox: inbox.put(chat("long", 40))) | {("writer", 20): lambda inbox: inbox.cancel("long")}
    heard = together(slow, [WRITER], acts, expected=2)
    assert end(heard["long"]).reason == "cancelled"
    assert not any(isinstance(event, TextDelta) for event in heard["long"])
    assert end(heard["writer"]).usage.completion_tokens == 70


def test_an_answer_that_ends_meanwhile_leaves_the_long_prompt_its_turn(llama: LoadedModel) -> None:
    slow, spoken = watched(llama)
    short = ask("writer", max_tokens=20)
    acts: dict[tuple[str, int], Callable[[Inbox], None]] = {
        ("writer", 10): lambda inbox: inbox.put(chat("long", 40)),
        ("writer", 20): lambda _inbox: threading.Timer(0.2, spoken.released.set).start(),
    }
    heard = together(slow, [short], acts, expected=2)
    assert text(heard["long"]) == text(alone(llama, chat("long", 40)))


def test_where_nobody_is_being_answered_it_needs_no_thread(llama: LoadedModel) -> None:
    slow, spoken = watched(llama)
    spoken.released.set()
    together(slow, [chat("long", 40)])
    assert not any(name.startswith("rendering") for name in spoken.threads)


def test_every_text_of_a_prompt_counts() -> None:
    long = "x" * 201
    user = Message(role="user", content="hi")
    called = Message(role="assistant", tool_calls=(ToolCall(id="a", name="f", arguments=long),))
    assert not is_long(ChatPrompt(messages=(user,)))
    assert is_long(ChatPrompt(messages=(Message(role="user", content=long),)))
    assert is_long(ChatPrompt(messages=(user, Message(role="assistant", reasoning=long))))
    assert is_long(ChatPrompt(messages=(user, called)))
    assert is_long(ChatPrompt(messages=(user,), tools=(Tool(kind="function", name="f", description=long),)))
