"""What a cache spares is told in tokens and seconds, over time, and before a prompt is sent; a difference is told with its place."""

import itertools
import time
from pathlib import Path

import pytest

from mlx_harmony.cache_records import CachePoint, Reuse
from mlx_harmony.records import ChatPrompt, GenerationRequest, Message, Sampling, Tool
from mlx_harmony.worker.cache.account import Account, Asker
from mlx_harmony.worker.cache.history import MOST, History
from mlx_harmony.worker.generation import Desk, Generation, count_prompt
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.pace import Pace
from mlx_harmony.worker.prompt_cache import PromptCache
from tests.worker.cache.reading import cache_on, read, shelf_at, tokens

SYSTEM = Message(role="system", content="You are a helpful assistant. " * 6)
WEATHER = Tool(kind="function", name="get_weather", description="The weather", parameters={"type": "object", "properties": {}})


def test_seconds_are_what_reading_the_reused_tokens_would_have_taken() -> None:
    account = Account(lambda ids: "")
    account.note(Reuse(prompt=100, memory=50, reason="new"), Asker("a"))
    assert (account.seconds_saved, account.recent[0].seconds) == (0.0, 0.0), "the pace is not known yet"
    account.learn(0.01)
    assert account.seconds_saved == pytest.approx(0.5)
    account.note(Reuse(prompt=100, disk=80, reason="new"), Asker("a"))
    account.learn(0.5)
    assert (account.seconds_saved, account.recent[0].seconds) == (pytest.approx(1.3), pytest.approx(0.8))


def test_the_pace_is_that_of_late() -> None:
    pace = Pace()
    assert pace.token_s == 0.0
    pace.learn(100, 1.0, 0.1)
    assert pace.token_s == pytest.approx(0.01)
    for _ in range(50):
        pace.learn(100, 2.0, 0.1)
    assert pace.token_s == pytest.approx(0.02, rel=0.02)


def test_history_is_bounded_renews_its_newest_moment_and_keeps_its_first() -> None:
    clock = itertools.count()
    history = History(every_s=2.0, clock=lambda: float(next(clock)))

    def point(at: float) -> CachePoint:
        return CachePoint(at=at, memory_bytes=0, disk_bytes=0, tokens_asked=0, tokens_reused=0, seconds_saved=0.0)

    for _ in range(3):
        history.note(point)
    assert [each.at for each in history.points()] == [1.0, 2.0]
    for _ in range(4 * MOST):
        history.note(point)
    times = [each.at for each in history.points()]
    assert len(times) <= MOST
    assert times == sorted(times)
    assert (times[0], times[-1]) == (1.0, 4 * MOST + 2)


def test_a_state_tells_seconds_and_history_and_the_pace_survives_a_restart(llama: LoadedModel, tmp_path: Path) -> None:
    cache = cache_on(shelf_at(tmp_path), llama)
    cache.put(tokens(60), read(llama, tokens(60))[0])
    cache.learn(0.25)
    cache.lookup(tokens(60))
    state = cache.look()
    assert (state.seconds_saved, state.recent[0].seconds) == (pytest.approx(59 / 4), pytest.approx(59 / 4))
    assert [(point.tokens_asked, point.tokens_reused, point.memory_bytes) for point in state.history] == [(60, 59, state.memory_bytes)]
    cache.close()
    again = cache_on(shelf_at(tmp_path), llama)
    again.lookup(tokens(60))
    assert again.look().seconds_saved == pytest.approx(59 / 4)


def run(desk: Desk, prompt: ChatPrompt, chat: str = "") -> None:
    request = GenerationRequest(id="r", prompt=prompt, sampling=Sampling(temperature=0.0), max_tokens=4, chat=chat)
    list(Generation(desk, request, lambda: False, time.perf_counter()).run())


def chat_of(*texts: str, system: str = SYSTEM.content, tools: tuple[Tool, ...] = ()) -> ChatPrompt:
    said = tuple(Message(role="assistant" if at % 2 else "user", content=text) for at, text in enumerate(texts))
    return ChatPrompt(messages=(Message(role="system", content=system), *said), tools=tools, start_date="2026-11-22")


FIRST = chat_of("Hello there, how are you today?", "I am fine.", "Tell me about the fox.")
DIFFERENCES = [
    (chat_of("Hello there, how are you?", system="You are a lazy dog. " * 6), "the system message"),
    (chat_of("Hello there, who are you?"), "message 1 (yours)"),
    (chat_of("Hello there, how are you today?", "I am lazy.", "Why?"), "message 2 (the model's)"),
    (chat_of("Hello there, how are you today?", "I am fine.", "Tell me about the dog."), "message 3 (yours)"),
]


@pytest.mark.parametrize(("prompt", "place"), DIFFERENCES, ids=[place for _, place in DIFFERENCES])
@pytest.mark.parametrize("name", ["llama", "gpt_oss"])
def test_the_first_difference_is_told_with_its_place(families: dict[str, LoadedModel], name: str, prompt: ChatPrompt, place: str) -> None:
    loaded = families[name]
    rendered = [loaded.format.render(each) for each in (FIRST, prompt)]
    position = next(at for at, pair in enumerate(zip(*(each.tokens for each in rendered), strict=False)) if pair[0] != pair[1])
    expected = "the developer message" if name == "gpt_oss" and "system" in place else place
    assert rendered[1].place(position) == expected
    assert rendered[1].place(len(rendered[1].tokens) - 1) == "the end of the prompt"


def test_in_harmony_the_date_stands_in_the_system_message_and_tools_in_their_declarations(gpt_oss: LoadedModel) -> None:
    def parted(first: ChatPrompt, second: ChatPrompt) -> str:
        one, other = (gpt_oss.format.render(each) for each in (first, second))
        return other.place(next(at for at, pair in enumerate(zip(one.tokens, other.tokens, strict=False)) if pair[0] != pair[1]))

    tomorrow = ChatPrompt(messages=FIRST.messages, start_date="2026-11-23")
    assert parted(FIRST, tomorrow) == "the system message"
    other = Tool(kind="function", name="get_weather", description="The forecast", parameters={"type": "object", "properties": {}})
    assert parted(chat_of("Hi", tools=(WEATHER,)), chat_of("Hi", tools=(other,))) == "the tool declarations"


def test_a_request_remembers_its_chat_and_where_it_parted(llama: LoadedModel) -> None:
    desk = Desk(llama, PromptCache(spell=llama.format.tokens.text_of), Pace())
    run(desk, FIRST, "a")
    run(desk, chat_of("Hello there, who are you?"), "b")
    newest, first = desk.cache.look().recent
    assert (first.chat, first.place, newest.chat, newest.place) == ("a", "", "b", "message 1 (yours)")
    assert newest.seconds > 0
    assert newest.reuse.position is not None
    assert newest.kept_text != newest.asked_text
    run(desk, chat_of("Hello there, how are you today?", "I am fine.", "Tell me about the fox.", "Another answer.", "Go on."), "a")
    assert desk.cache.look().recent[0].place == "an answer of the model"


@pytest.mark.parametrize("name", ["llama", "gpt_oss"])
def test_what_a_prompt_would_cost_is_told_before_it_is_sent_and_counts_as_no_use(families: dict[str, LoadedModel], name: str) -> None:
    desk = Desk(families[name], PromptCache(), Pace())
    request = GenerationRequest(id="r", prompt=FIRST, max_tokens=4)
    count = count_prompt(desk, request)
    assert (count.reused, count.seconds) == (0, None)
    run(desk, FIRST)
    before = desk.cache.look()
    longer = chat_of("Hello there, how are you today?", "I am fine.", "Tell me about the fox.", "No.", "Why not?")
    count = count_prompt(desk, GenerationRequest(id="r", prompt=longer, max_tokens=4))
    assert desk.cache.look() == before
    assert count.reused > count.sent / 2
    assert count.seconds == pytest.approx((count.sent - count.reused) * desk.cache.token_s)
    list(Generation(desk, GenerationRequest(id="r", prompt=longer, max_tokens=4), lambda: False, time.perf_counter()).run())
    assert desk.cache.look().recent[0].reuse.reused == count.reused


def test_what_lies_on_the_disk_is_counted_without_being_opened(llama: LoadedModel, tmp_path: Path) -> None:
    cache = cache_on(shelf_at(tmp_path), llama)
    cache.put(tokens(60), read(llama, tokens(60))[0])
    cache.flush()
    again = cache_on(shelf_at(tmp_path), llama)
    assert again.peek([*tokens(60), 9]) == 60
    assert (again.bytes, again.peek([7, 8, 9])) == (0, 0)


def test_a_long_prompt_is_looked_up_in_milliseconds(llama: LoadedModel) -> None:
    cache = PromptCache()
    cache.put(tokens(2000), read(llama, tokens(2000))[0])
    prompt = [*tokens(2000), *tokens(58_000, seed=3)]
    times = []
    for _ in range(7):
        began = time.thread_time()
        cache.peek(prompt)
        times.append(time.thread_time() - began)
    assert min(times) < 0.005
