"""A chat's life with a cache: every answer is that of a model without one, and no step reads more than what is new in it."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from mlx_harmony.cache_records import Reuse
from mlx_harmony.events import Finished, TextDelta
from mlx_harmony.records import ChatPrompt, GenerationRequest, Message, Sampling, Tool, ToolCall
from mlx_harmony.worker.generation import Desk, Generation
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.pace import Pace
from mlx_harmony.worker.prompt_cache import PromptCache
from tests.worker.cache.reading import cache_on, shelf_at

SLACK = 32
SYSTEM = Message(role="system", content="You are a helpful assistant. The user asks and the assistant answers. " * 3)
WEATHER = Tool(kind="function", name="get_weather", parameters={"type": "object", "properties": {}})

Messages = tuple[Message, ...]


def user(text: str) -> Message:
    return Message(role="user", content=text)


def said(text: str) -> Message:
    return Message(role="assistant", content=text, reasoning="The user asks, I think about it. " * 4)


class Done(NamedTuple):
    text: str
    end: Finished


def never() -> bool:
    return False


class Life:
    """Asks a model with a cache and one without; remembers every prompt, to know what is new in the next."""

    def __init__(self, loaded: LoadedModel, cache: PromptCache) -> None:
        self.loaded = loaded
        self.cache = cache
        self.read = 0
        self._prompts: list[list[int]] = []

    def ask(self, messages: Messages, tools: tuple[Tool, ...] = (), seed: int | None = None) -> Reuse:
        """One step: the answers agree, and what was read is what is new. Returns the record."""
        sampling = Sampling(temperature=0.0) if seed is None else Sampling(temperature=0.8, seed=seed)
        prompt = ChatPrompt(messages=messages, tools=tools, start_date="2026-11-22")
        request = GenerationRequest(id="r", prompt=prompt, sampling=sampling, max_tokens=12)
        warm = self.run(request)
        assert warm.text == _run(Desk(self.loaded, PromptCache(0), Pace()), request).text
        tokens = self.loaded.format.render(prompt).tokens
        new = len(tokens) - max((agreeing(tokens, other) for other in self._prompts), default=0)
        assert warm.end.timings.prompt_n <= new + SLACK, (warm.end.timings.prompt_n, new)
        self._prompts.append(tokens)
        self.read += warm.end.timings.prompt_n
        reuse = warm.end.reuse
        assert reuse is not None
        assert (reuse.prompt, reuse.reused) == (len(tokens), warm.end.usage.cached_tokens)
        return reuse

    def stop(self, messages: Messages, steps: int) -> None:
        """A step that the person stops."""
        calls = itertools.count()
        prompt = ChatPrompt(messages=messages, start_date="2026-11-22")
        self.run(GenerationRequest(id="r", prompt=prompt, max_tokens=12), lambda: next(calls) >= steps)

    def run(self, request: GenerationRequest, cancelled: Callable[[], bool] = never) -> Done:
        return _run(Desk(self.loaded, self.cache, Pace()), request, cancelled)


def _run(desk: Desk, request: GenerationRequest, cancelled: Callable[[], bool] = never) -> Done:
    events = list(Generation(desk, request, cancelled, time.perf_counter()).run())
    assert isinstance(events[-1], Finished)
    return Done("".join(event.text for event in events if isinstance(event, TextDelta)), events[-1])


def agreeing(first: list[int], second: list[int]) -> int:
    return next((at for at, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), min(len(first), len(second)))


def chat(turns: int) -> Messages:
    """A chat of so many turns that ends in a question."""
    spoken: list[Message] = [SYSTEM]
    for turn in range(turns):
        spoken += [
            user(f"Number {turn}: tell me more about the quick brown fox. " * 2),
            said(f"It jumps over {turn} lazy dogs, again. " * 2),
        ]
    return tuple(spoken[:-1])


def live(life: Life, restart: Callable[[], None]) -> None:
    """New turns, stops, regenerating, an edit three turns back, another version, a fork, a second chat, a seed, a restart."""
    for turns in range(1, 6):
        life.ask(chat(turns))
    assert life.ask(chat(5)).reason == "whole"
    life.stop(chat(6), 3)
    life.ask(chat(6))
    life.ask(chat(6), seed=11)
    life.ask(chat(6), seed=12)
    edited = (*chat(4)[:-1], user("How are you today?"))
    life.ask(edited)
    life.ask((*edited, said("I am fine, thank you very much."), user("Good.")))
    life.ask((*chat(6)[:-2], said("Another version of it."), user("And then?")))
    life.ask((*chat(5)[:-1], user("A fork goes its own way.")))
    restart()
    life.ask(chat(7))
    other = (SYSTEM, user("Hello there, this is another chat."))
    assert life.ask(other).reused > 20
    life.ask((*other, said("Hello."), user("Tell me.")))


def test_a_life_of_a_chat_is_that_without_a_cache_and_reads_only_what_is_new(family: LoadedModel, tmp_path: Path) -> None:
    life = Life(family, cache_on(shelf_at(tmp_path), family))

    def restart() -> None:
        life.cache.flush()
        life.cache = cache_on(shelf_at(tmp_path), family)

    live(life, restart)
    state = life.cache.look()
    assert state.tokens_from_disk > 100


def test_calls_of_tools_read_only_what_is_new(gpt_oss: LoadedModel) -> None:
    life, messages = Life(gpt_oss, PromptCache()), (SYSTEM, user("What is the weather like?"))
    for number in range(2):
        life.ask(messages, (WEATHER,))
        call = ToolCall(id=f"c{number}", name="get_weather", arguments="{}")
        messages = (*messages, Message(role="assistant", reasoning="Look it up.", tool_calls=(call,)))
        messages = (*messages, Message(role="tool", tool_call_id=f"c{number}", content="Sunny, 21 degrees."))
    life.ask(messages, (WEATHER,))
    life.ask((*messages, said("It is sunny."), user("Thank you.")), (WEATHER,))


@pytest.mark.parametrize("on_disk", [True, False])
def test_other_chats_push_a_chat_out_of_memory_and_it_comes_back_from_the_disk(gpt_oss: LoadedModel, tmp_path: Path, on_disk: bool) -> None:
    cache = cache_on(shelf_at(tmp_path), gpt_oss, 400_000) if on_disk else PromptCache(400_000)
    desk = Desk(gpt_oss, cache, Pace())

    def ask(messages: Messages) -> Reuse:
        prompt = ChatPrompt(messages=messages, start_date="2026-11-22")
        request = GenerationRequest(id="r", prompt=prompt, sampling=Sampling(temperature=0.0), max_tokens=4)
        done = _run(desk, request)
        assert done.text == _run(Desk(gpt_oss, PromptCache(0), Pace()), request).text
        assert cache.bytes <= cache.budget_bytes
        assert done.end.reuse is not None
        return done.end.reuse

    ask(chat(3))
    for other in range(10):
        ask((Message(role="system", content=f"{other} is another system prompt."), user(f"Chat {other}. " * 30)))
    cache.flush()
    again = ask(chat(4))
    assert cache.look().evictions > 0
    if on_disk:
        assert again.disk > 100
    else:
        assert again.reason == "evicted"
        assert again.reused < again.matched - 100, "no more than the system message, which all of them share"


def test_where_prompts_part_the_next_ones_need_not_read_what_they_share(gpt_oss: LoadedModel) -> None:
    life = Life(gpt_oss, PromptCache())
    desk = Desk(gpt_oss, life.cache, Pace())

    def read(question: str) -> int:
        prompt = ChatPrompt(messages=(SYSTEM, user("The quick brown fox. " * 20 + question)), start_date="2026-11-22")
        return _run(desk, GenerationRequest(id="r", prompt=prompt, max_tokens=2)).end.timings.prompt_n

    first, second, third = (read(question) for question in ("Hello.", "Thank you.", "Why?"))
    assert first > second > third
    assert third < SLACK
