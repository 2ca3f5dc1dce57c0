"""What can be done to messages: editing, going on in a cut answer, deleting while answering, forking."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import pytest

from mlx_harmony.conversation.forking import forked
from mlx_harmony.conversation.records import ChatMessage, TurnOptions, TurnStarted
from mlx_harmony.conversation.store import Store
from mlx_harmony.conversation.turn import Turns
from mlx_harmony.engine.protocols import Provider
from mlx_harmony.errors import ChatNotFound, InvalidRequest, Unavailable
from mlx_harmony.events import Event, Failed, Finished, MessageEnded, MessageStarted, TextDelta, Trimmed
from mlx_harmony.records import ChatPrompt, GenerationRequest, Message, Sampling
from tests.conversation.conftest import gather
from tests.fixtures.provider import ScriptedProvider
from tests.fixtures.scripted import call, finished, say

TurnsOver = Callable[[Provider], Turns]


@pytest.fixture
async def chat_id(store: Store) -> str:
    return (await store.create_chat("c", TurnOptions())).summary.id


async def messages(store: Store) -> tuple[ChatMessage, ...]:
    return (await store.read_chat("c")).messages


def cut(text: str, channel: str = "final") -> list[Event]:
    """An answer that the length limit ends."""
    started = MessageStarted(index=0, channel=channel)  # type: ignore[arg-type]
    delta = TextDelta(index=0, channel=channel, text=text)  # type: ignore[arg-type]
    return [started, delta, MessageEnded(index=0, raw=text, tokens=2), finished("length")]


def cut_then(*answers: Sequence[Event]) -> Callable[[GenerationRequest], Sequence[Event]]:
    """A script that gives one list of events after another."""
    left = iter(answers)
    return lambda request: next(left)


async def test_an_edited_message_is_a_version_of_its_own_with_its_own_answer(store: Store, turns_over: TurnsOver, chat_id: str) -> None:
    provider = ScriptedProvider()
    turns = turns_over(provider)
    await gather(turns.send(chat_id, "one", TurnOptions()))
    await gather(turns.send(chat_id, "two", TurnOptions()))
    first = (await messages(store))[0]
    events = await gather(turns.edit(chat_id, first.id, "uno", TurnOptions()))
    assert isinstance(events[0], TurnStarted) and isinstance(events[-1], Finished)
    edited, answer = await messages(store)
    assert (edited.content, answer.content) == ("uno", "You said: uno")
    assert edited.versions == (first.id, edited.id) and events[0].user_message_id == edited.id
    prompt = provider.engine.requests[-1].prompt
    assert isinstance(prompt, ChatPrompt) and [each.content for each in prompt.messages] == ["uno"]
    await store.show(chat_id, first.id)
    assert [each.content for each in await messages(store)] == ["one", "You said: one", "two", "You said: two"]
    with pytest.raises(InvalidRequest, match="Only a message of yours"):
        await gather(turns.edit(chat_id, answer.id, "x", TurnOptions()))
    with pytest.raises(InvalidRequest, match="Type a message"):
        await gather(turns.edit(chat_id, first.id, " ", TurnOptions()))


async def test_a_cut_answer_goes_on_in_the_same_message(store: Store, turns_over: TurnsOver, chat_id: str) -> None:
    provider = ScriptedProvider(cut_then(cut("Once upon"), say(" a time.")))
    turns = turns_over(provider)
    await gather(turns.send(chat_id, "Tell", TurnOptions()))
    answer = (await messages(store))[-1]
    events = await gather(turns.continue_answer(chat_id, answer.id, TurnOptions()))
    assert isinstance(events[0], TurnStarted) and events[0].resumed and events[0].assistant_message_id == answer.id
    whole = (await messages(store))[-1]
    assert (whole.id, whole.content, whole.state) == (answer.id, "Once upon a time.", "complete")
    (lane,) = whole.lanes
    assert lane.text == "Once upon a time." and lane.stop_token == "<|return|>" and lane.raw.startswith("Once upon")
    assert whole.usage and whole.usage.completion_tokens == 16 and whole.provenance and whole.provenance.continued
    prompt = provider.engine.requests[-1].prompt
    assert isinstance(prompt, ChatPrompt) and prompt.continue_last
    assert prompt.messages == (Message(role="user", content="Tell"), Message(role="assistant", content="Once upon"))


async def test_an_answer_cut_while_thinking_goes_on_thinking(store: Store, turns_over: TurnsOver, chat_id: str) -> None:
    turns = turns_over(ScriptedProvider(cut_then(cut("Let me", "analysis"), say("Four.", thinking=" see."))))
    await gather(turns.send(chat_id, "2+2", TurnOptions()))
    await gather(turns.continue_answer(chat_id, (await messages(store))[-1].id, TurnOptions()))
    whole = (await messages(store))[-1]
    assert (whole.reasoning, whole.content) == ("Let me see.", "Four.")
    assert [lane.channel for lane in whole.lanes] == ["analysis", "final"]


@pytest.mark.parametrize("then", [[Failed(code="engine_crashed", message="Gone.")], [finished("cancelled")]])
async def test_an_answer_that_gets_no_further_stays_as_it_was(store: Store, turns_over: TurnsOver, chat_id: str, then: list[Event]) -> None:
    turns = turns_over(ScriptedProvider(cut_then(cut("Half"), then)))
    await gather(turns.send(chat_id, "Tell", TurnOptions()))
    before = (await messages(store))[-1]
    events = await gather(turns.continue_answer(chat_id, before.id, TurnOptions()))
    after = (await messages(store))[-1]
    assert type(events[-1]) is type(then[-1]) and (after.state, after.content, after.error) == ("length", "Half", None)


async def test_an_answer_whose_going_on_could_not_be_kept_stays_as_it_was(store: Store, turns_over: TurnsOver, chat_id: str) -> None:
    turns = turns_over(ScriptedProvider(cut_then(cut("Half"), say(" more."))))
    await gather(turns.send(chat_id, "Tell", TurnOptions()))
    before = await store.read_chat(chat_id)
    await store.trash_chat(chat_id)
    with pytest.raises(ChatNotFound):
        await store.resume_turn(msgspec.structs.replace(before.messages[-1], state="streaming"), TurnOptions())
    await store.restore_chat(chat_id)
    assert await messages(store) == before.messages


async def test_only_what_was_cut_in_its_text_can_go_on(store: Store, turns_over: TurnsOver, chat_id: str) -> None:
    cut_call = [event for event in call("python", "python", "{'x': 1}") if not isinstance(event, Finished)]
    turns = turns_over(ScriptedProvider(cut_then(say("Done."), [*cut_call, finished("length")])))
    await gather(turns.send(chat_id, "one", TurnOptions()))
    await gather(turns.send(chat_id, "two", TurnOptions()))
    for message in await messages(store):
        with pytest.raises(InvalidRequest, match="Only an answer that was cut"):
            await gather(turns.continue_answer(chat_id, message.id, TurnOptions()))


async def test_the_turn_says_what_the_model_no_longer_sees(store: Store, turns_over: TurnsOver, chat_id: str) -> None:
    script = cut_then(say("1"), say("2"), [Trimmed(messages=(1, 2)), *say("3")])
    provider = ScriptedProvider(script)
    turns = turns_over(provider)
    for text in ("one", "two", "three"):
        events = await gather(turns.send(chat_id, text, TurnOptions(instructions="Be brief.")))
    whole = await messages(store)
    (trimmed,) = [event for event in events if isinstance(event, Trimmed)]
    assert trimmed.message_ids == (whole[0].id, whole[1].id)
    assert whole[-1].seen_from == whole[2].id and whole[3].seen_from is None
    assert all(request.trim for request in provider.engine.requests)
    fork = forked(await store.read_chat(chat_id), whole)
    assert fork.messages[-1].seen_from == fork.messages[2].id != whole[2].id


async def test_nothing_is_deleted_or_edited_under_an_answer_that_is_coming(store: Store, turns_over: TurnsOver, chat_id: str) -> None:
    turns = turns_over(ScriptedProvider(pause_s=0.05))
    running = asyncio.create_task(gather(turns.send(chat_id, "one", TurnOptions())))
    await asyncio.sleep(0.1)
    user = (await messages(store))[0]
    with pytest.raises(Unavailable):
        await turns.delete(chat_id, user.id)
    with pytest.raises(Unavailable):
        await gather(turns.edit(chat_id, user.id, "x", TurnOptions()))
    await running
    token = await turns.delete(chat_id, user.id)
    assert await messages(store) == ()
    await store.restore_message(token)
    assert len(await messages(store)) == 2
    with pytest.raises(ChatNotFound):
        await turns.delete(chat_id, "nothing")


async def test_a_replay_uses_what_made_the_answer_and_leaves_the_chat_as_it_was(store: Store, turns_over: TurnsOver, chat_id: str) -> None:
    provider = ScriptedProvider()
    turns = turns_over(provider)
    made = TurnOptions(sampling=Sampling(temperature=0.3), instructions="Be brief.", max_context_tokens=900)
    await gather(turns.send(chat_id, "one", made))
    await store.save_options(chat_id, TurnOptions(sampling=Sampling(temperature=1.7), max_context_tokens=500))
    first = (await messages(store))[-1]
    assert isinstance((await gather(turns.replay(chat_id, first.id)))[-1], Finished)
    chat = await store.read_chat(chat_id)
    again = chat.messages[-1]
    assert again.versions == (first.id, again.id)
    assert again.note == "Replay: the same answer as before, to the last token."
    assert [(each.sampling.temperature, each.max_context_tokens) for each in provider.engine.requests] == [(0.3, 900)] * 2
    assert chat.options.sampling.temperature == 1.7
    with pytest.raises(InvalidRequest, match="not known"):
        await gather(turns.replay(chat_id, chat.messages[0].id))


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (say("one"), say("two"), "another answer than before. Another device"),
        (cut("on"), say("one"), "the same as before, as far as that answer goes"),
    ],
)
async def test_a_replay_that_came_out_different_says_so(
    store: Store, turns_over: TurnsOver, chat_id: str, first: list[Event], second: list[Event], said: str
) -> None:
    turns = turns_over(ScriptedProvider(cut_then(first, second)))
    await gather(turns.send(chat_id, "one", TurnOptions()))
    await gather(turns.replay(chat_id, (await messages(store))[-1].id))
    assert said in (await messages(store))[-1].note
