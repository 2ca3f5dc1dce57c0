"""A turn from the message to the kept answer: order, saving, leaving, failing, and one answer at a time."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path

import pytest

from mlx_harmony.conversation.records import ChatMessage, TurnOptions, TurnStarted
from mlx_harmony.conversation.store import Store
from mlx_harmony.conversation.turn import Turns
from mlx_harmony.engine.protocols import Provider
from mlx_harmony.errors import ChatChanged, EngineCrashed, HarmonyError, InvalidRequest, ModelNotFound, Unavailable
from mlx_harmony.events import Event, Failed, Finished, MessageStarted, TextDelta
from mlx_harmony.records import ChatPrompt, GenerationRequest, ModelEntry, Sampling
from tests.conversation.conftest import find_starter, gather
from tests.fixtures.provider import ScriptedProvider
from tests.fixtures.scripted import Script, finished, say

TurnsOver = Callable[[Provider], Turns]


@pytest.fixture
async def chat_id(store: Store) -> str:
    return (await store.create_chat("c", TurnOptions())).summary.id


def counting(pieces: int) -> Script:
    """A script that says `pieces` numbers, one a step."""

    def script(request: GenerationRequest) -> Sequence[Event]:
        deltas = [TextDelta(index=0, channel="final", text=f"{number} ") for number in range(pieces)]
        return [MessageStarted(index=0, channel="final"), *deltas, finished("stop")]

    return script


async def answer_of(store: Store, chat_id: str) -> ChatMessage:
    return (await store.read_chat(chat_id)).messages[-1]


async def test_both_ends_of_a_turn_are_on_disk_before_it_is_announced(store: Store, turns_over: TurnsOver, chat_id: str) -> None:
    stream = turns_over(ScriptedProvider()).send(chat_id, "Hello", TurnOptions())
    started = await anext(stream)
    user, answer = (await store.read_chat(chat_id)).messages
    assert started == TurnStarted(chat_id=chat_id, user_message_id=user.id, assistant_message_id=answer.id, model="starter")
    assert (user.content, answer.state, answer.content) == ("Hello", "streaming", "")
    await stream.aclose()
    assert (await answer_of(store, chat_id)).state == "cancelled"


async def test_an_answer_is_kept_with_all_that_made_it(store: Store, turns_over: TurnsOver, chat_id: str) -> None:
    options = TurnOptions(sampling=Sampling(temperature=0.5), effort="high", instructions="Be kind.", max_tokens=9, identity="You are Ada.")
    await gather(turns_over(ScriptedProvider()).send(chat_id, "Hello", options))
    made = (await answer_of(store, chat_id)).provenance
    assert made and made.model == "starter" and made.fingerprint == "scripted" and made.version
    assert (made.sampling, made.effort, made.instructions, made.max_tokens) == (options.sampling, "high", "Be kind.", 9)
    assert (await store.read_chat(chat_id)).options == options


async def test_the_model_hears_the_whole_chat(store: Store, turns_over: TurnsOver, chat_id: str) -> None:
    provider = ScriptedProvider()
    turns = turns_over(provider)
    await gather(turns.send(chat_id, "one", TurnOptions(stop=("END",))))
    await gather(turns.send(chat_id, "two", TurnOptions(instructions="Be brief.", effort="low")))
    first, second = provider.engine.requests
    assert isinstance(first.prompt, ChatPrompt) and isinstance(second.prompt, ChatPrompt) and first.stop == ("END",)
    assert [message.content for message in second.prompt.messages] == ["Be brief.", "one", "You said: one", "two"]
    assert second.prompt.effort == "low" and second.prompt.start_date == first.prompt.start_date


async def test_what_bounds_an_answer_reaches_the_model_and_is_kept(store: Store, turns_over: TurnsOver, chat_id: str) -> None:
    provider = ScriptedProvider()
    chosen = TurnOptions(channels=("final",), end_tokens=("<|end|>",), analysis_budget=7, loop_detection="full")
    await gather(turns_over(provider).send(chat_id, "Hi", chosen))
    request = provider.engine.requests[0]
    assert isinstance(request.prompt, ChatPrompt)
    assert request.prompt.channels == ("final",)
    assert (request.end_tokens, request.analysis_budget, request.loop_detection) == (("<|end|>",), 7, "full")
    chat = await store.read_chat(chat_id)
    made = chat.messages[-1].provenance
    assert made is not None
    assert (made.channels, made.end_tokens, made.analysis_budget, made.loop_detection) == (("final",), ("<|end|>",), 7, "full")
    assert chat.options == chosen


async def test_final_cannot_be_left_out_of_the_channels(turns_over: TurnsOver, chat_id: str) -> None:
    with pytest.raises(InvalidRequest, match="final"):
        await gather(turns_over(ScriptedProvider()).send(chat_id, "Hi", TurnOptions(channels=("analysis",))))


async def test_a_chat_is_named_after_its_first_message_only(store: Store, turns_over: TurnsOver, chat_id: str) -> None:
    turns = turns_over(ScriptedProvider())
    await gather(turns.send(chat_id, "First\nquestion", TurnOptions()))
    await gather(turns.send(chat_id, "Second", TurnOptions()))
    assert (await store.read_chat(chat_id)).summary.title == "First question"
    await store.create_chat("named", TurnOptions())
    await store.rename_chat("named", "Mine")
    await gather(turns.send("named", "Hello", TurnOptions()))
    assert (await store.read_chat("named")).summary.title == "Mine"


async def test_text_is_on_disk_within_a_second_of_being_shown(store: Store, turns_over: TurnsOver, chat_id: str) -> None:
    shown = ""
    stream = turns_over(ScriptedProvider(counting(60), pause_s=0.03)).send(chat_id, "Count", TurnOptions())
    history: list[tuple[float, str]] = []
    while time.monotonic() < (history[0][0] + 1.5 if history else float("inf")):
        event = await anext(stream)
        if isinstance(event, TextDelta):
            shown += event.text
            history.append((time.monotonic(), shown))
    due = [text for at, text in history if at < time.monotonic() - 1.0][-1]
    assert len((await answer_of(store, chat_id)).content) >= len(due) > 0
    await stream.aclose()


async def test_text_that_no_other_follows_is_saved_too(store: Store, turns_over: TurnsOver, chat_id: str) -> None:
    class Stalls(ScriptedProvider):
        async def generate(self, entry: ModelEntry, request: GenerationRequest) -> AsyncGenerator[Event, None]:
            yield TextDelta(index=0, channel="final", text="The only word")
            await asyncio.sleep(60)

    stream = turns_over(Stalls()).send(chat_id, "Go", TurnOptions())
    for _ in range(2):
        await anext(stream)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.9)
    assert (await answer_of(store, chat_id)).content == "The only word"
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_an_answer_under_way_when_the_program_stops_is_interrupted_and_did_not_fail(
    store: Store, turns_over: TurnsOver, chat_id: str
) -> None:
    stopped = asyncio.Event()

    class Stops(ScriptedProvider):
        async def generate(self, entry: ModelEntry, request: GenerationRequest) -> AsyncGenerator[Event, None]:
            yield TextDelta(index=0, channel="final", text="So far")
            await stopped.wait()
            yield Failed(code="engine_crashed", message="The model's process ended unexpectedly.")

    turns = turns_over(Stops())
    turn = asyncio.create_task(gather(turns.send(chat_id, "Go", TurnOptions())))
    while not (await store.read_chat(chat_id)).messages or not (await answer_of(store, chat_id)).content:
        await asyncio.sleep(0.05)
    await turns.close()
    stopped.set()
    assert (await turn)[-1].code == "shutting_down"
    answer = await answer_of(store, chat_id)
    assert (answer.state, answer.content, answer.error) == ("interrupted", "So far", None)


async def test_leaving_keeps_the_text_so_far_and_cancels_the_model(store: Store, turns_over: TurnsOver, chat_id: str) -> None:
    provider = ScriptedProvider(counting(100), pause_s=0.005)
    turns = turns_over(provider)
    stream = turns.send(chat_id, "Count", TurnOptions())
    async for event in stream:
        if isinstance(event, TextDelta) and event.text == "5 ":
            break
    await stream.aclose()
    answer = await answer_of(store, chat_id)
    assert (answer.state, answer.content) == ("cancelled", "0 1 2 3 4 5 ")
    assert provider.engine.cancelled == [answer.id]
    assert isinstance((await gather(turns.send(chat_id, "Again", TurnOptions())))[-1], Finished)


async def test_a_cancelled_task_keeps_the_text_so_far_too(store: Store, turns_over: TurnsOver, chat_id: str) -> None:
    task = asyncio.create_task(gather(turns_over(ScriptedProvider(counting(500), 0.005)).send(chat_id, "Count", TurnOptions())))
    await asyncio.sleep(0.2)
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 1.0
    answer = await answer_of(store, chat_id)
    assert answer.state == "cancelled" and answer.content.startswith("0 1 ")


async def test_a_task_cancelled_while_the_turn_is_stored_leaves_no_answer_that_never_ends(
    store: Store, turns_over: TurnsOver, chat_id: str
) -> None:
    stream = turns_over(ScriptedProvider()).send(chat_id, "Hello", TurnOptions())
    for delay in range(6):
        task = asyncio.ensure_future(anext(stream))
        for _ in range(delay):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await stream.aclose()
        stream = turns_over(ScriptedProvider()).send(chat_id, "Hello", TurnOptions())
    assert all(message.state != "streaming" for message in (await store.read_chat(chat_id)).messages)


async def test_a_second_message_is_refused_while_the_chat_is_answering(store: Store, turns_over: TurnsOver, chat_id: str) -> None:
    turns = turns_over(ScriptedProvider(counting(20), 0.01))
    first = asyncio.create_task(gather(turns.send(chat_id, "one", TurnOptions())))
    await asyncio.sleep(0.05)
    with pytest.raises(Unavailable, match="is answering") as caught:
        await gather(turns.send(chat_id, "two", TurnOptions()))
    assert "Stop it or wait" in caught.value.hint
    await store.create_chat("other", TurnOptions())
    assert isinstance((await gather(turns.send("other", "three", TurnOptions())))[-1], Finished)
    await first
    user, answer = (await store.read_chat(chat_id)).messages
    assert user.content == "one" and answer.content.startswith("0 1 2 ")


async def test_nothing_is_kept_of_what_cannot_be_sent(store: Store, turns_over: TurnsOver, chat_id: str) -> None:
    turns = turns_over(ScriptedProvider())
    for text, options, error in (
        (" \n", TurnOptions(), InvalidRequest),
        ("\ud83d", TurnOptions(), InvalidRequest),
        ("Hi", TurnOptions(sampling=Sampling(temperature=9)), InvalidRequest),
        ("Hi", TurnOptions(max_tokens=0), InvalidRequest),
        ("Hi", TurnOptions(model="nobody"), ModelNotFound),
    ):
        with pytest.raises(error):
            await gather(turns.send(chat_id, text, options))
    assert (await store.read_chat(chat_id)).messages == ()


async def test_a_regenerated_answer_stands_beside_the_first(store: Store, turns_over: TurnsOver, chat_id: str) -> None:
    provider = ScriptedProvider()
    turns = turns_over(provider)
    await gather(turns.send(chat_id, "one", TurnOptions()))
    await gather(turns.send(chat_id, "two", TurnOptions()))
    user, first, *_ = (await store.read_chat(chat_id)).messages
    events = await gather(turns.regenerate(chat_id, first.id, TurnOptions()))
    assert isinstance(events[0], TurnStarted) and events[0].user_message_id == user.id
    again, second = (await store.read_chat(chat_id)).messages
    assert again.id == user.id and second.versions == (first.id, second.id)
    prompt = provider.engine.requests[-1].prompt
    assert isinstance(prompt, ChatPrompt) and [message.content for message in prompt.messages] == ["one"]
    with pytest.raises(InvalidRequest, match="Only an answer"):
        await gather(turns.regenerate(chat_id, user.id, TurnOptions()))


async def test_a_failure_keeps_the_text_so_far_and_the_next_message_works(store: Store, turns_over: TurnsOver, chat_id: str) -> None:
    def breaks_once(request: GenerationRequest) -> Sequence[Event]:
        started = say("A long answer")[:-2]
        return say("Fine") if len(provider.engine.requests) > 1 else [*started, Failed(code="engine_crashed", message="The model died.")]

    provider = ScriptedProvider(breaks_once)
    turns = turns_over(provider)
    events = await gather(turns.send(chat_id, "one", TurnOptions()))
    answer = await answer_of(store, chat_id)
    assert isinstance(events[-1], Failed) and (answer.state, answer.content, answer.error) == ("failed", "A long answer", events[-1])
    assert isinstance((await gather(turns.send(chat_id, "two", TurnOptions())))[-1], Finished)


@pytest.mark.parametrize("error", [EngineCrashed("Gone.", hint="Again."), None])
async def test_a_stream_that_raises_or_just_stops_ends_in_one_failed(
    store: Store, turns_over: TurnsOver, chat_id: str, error: HarmonyError | None
) -> None:
    class Breaks(ScriptedProvider):
        async def generate(self, entry: ModelEntry, request: GenerationRequest) -> AsyncGenerator[Event, None]:
            yield TextDelta(index=0, channel="final", text="So f")
            if error:
                raise error

    events = await gather(turns_over(Breaks()).send(chat_id, "one", TurnOptions()))
    assert [type(event) for event in events] == [TurnStarted, TextDelta, Failed] and events[-1].code == "engine_crashed"
    answer = await answer_of(store, chat_id)
    assert (answer.state, answer.content) == ("failed", "So f")


async def test_an_end_without_an_answer_is_told_and_kept(store: Store, turns_over: TurnsOver, chat_id: str) -> None:
    events = await gather(turns_over(ScriptedProvider(lambda request: say("", thinking="Hmm"))).send(chat_id, "one", TurnOptions()))
    answer = await answer_of(store, chat_id)
    assert answer.state == "complete" and answer.repaired == events[-1].repaired != ""


async def test_what_a_crash_cut_short_is_marked_with_its_text(tmp_path: Path) -> None:
    path = tmp_path / "crashed.sqlite3"
    store = await Store.open(path)
    await store.create_chat("c", TurnOptions())
    half = ChatMessage(id="a", chat_id="c", role="assistant", content="Half a", created_at=0.0, state="streaming")
    await store.begin_turn((half,), TurnOptions())
    await store.close()
    store = await Store.open(path)
    answer = await answer_of(store, "c")
    assert (answer.state, answer.content) == ("interrupted", "Half a")
    await store.close()


async def test_closing_keeps_what_was_said_up_to_then(store: Store, turns_over: TurnsOver, chat_id: str) -> None:
    turns = turns_over(ScriptedProvider(counting(100), 0.01))
    stream = turns.send(chat_id, "Count", TurnOptions())
    async for event in stream:
        if isinstance(event, TextDelta) and event.text == "3 ":
            break
    await turns.close()
    answer = await answer_of(store, chat_id)
    assert (answer.state, answer.content) == ("interrupted", "0 1 2 3 ")
    assert isinstance((await gather(stream))[-1], Failed)


async def test_an_answer_that_is_whole_already_stays_so_when_the_program_stops(store: Store, chat_id: str) -> None:
    class SlowToKeep(Store):
        """The same store; what keeps the end of an answer comes back at `go`."""

        def __init__(self) -> None:
            vars(self).update(vars(store))
            self.keeping, self.go = asyncio.Event(), asyncio.Event()

        async def save_message(self, message: ChatMessage) -> None:
            await store.save_message(message)
            if message.state == "complete" and not self.keeping.is_set():
                self.keeping.set()
                await self.go.wait()

    slow = SlowToKeep()
    turns = Turns(slow, ScriptedProvider(counting(3)), find_starter)
    turn = asyncio.create_task(gather(turns.send(chat_id, "Count", TurnOptions())))
    await slow.keeping.wait()
    await turns.close()
    slow.go.set()
    assert isinstance((await turn)[-1], Finished)
    answer = await answer_of(store, chat_id)
    assert (answer.state, answer.content) == ("complete", "0 1 2 ")


async def test_a_message_too_long_for_the_model_does_not_spoil_the_next(store: Store, turns_over: TurnsOver, chat_id: str) -> None:
    def short_of_context(request: GenerationRequest) -> Sequence[Event]:
        assert isinstance(request.prompt, ChatPrompt)
        length = sum(len(message.content) for message in request.prompt.messages)
        return [Failed(code="context_too_long", message="Too long.")] if length > 100 else say("Fine")

    turns = turns_over(ScriptedProvider(short_of_context))
    assert isinstance((await gather(turns.send(chat_id, "x" * 200, TurnOptions())))[-1], Failed)
    assert isinstance((await gather(turns.send(chat_id, "Hello", TurnOptions())))[-1], Finished)
    first = (await store.read_chat(chat_id)).messages[0]
    assert first.content == "x" * 200


async def test_a_message_that_would_follow_words_its_sender_has_not_seen_is_not_sent(
    store: Store, turns_over: TurnsOver, chat_id: str
) -> None:
    turns = turns_over(ScriptedProvider())
    assert isinstance((await gather(turns.send(chat_id, "one", TurnOptions(), after="")))[-1], Finished)
    seen = (await store.read_chat(chat_id)).messages
    for after in ("", seen[0].id, "unheard-of"):
        with pytest.raises(ChatChanged):
            await gather(turns.send(chat_id, "late", TurnOptions(), after=after))
    assert (await store.read_chat(chat_id)).messages == seen
    assert isinstance((await gather(turns.send(chat_id, "two", TurnOptions(), after=seen[-1].id)))[-1], Finished)
