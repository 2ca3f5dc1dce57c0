"""The door over a real worker process: a killed worker costs the rest of one reply, and chats outlive the program."""

import json
import os
import signal
from contextlib import aclosing
from importlib.metadata import version
from pathlib import Path

import pytest

from mlx_harmony.conversation.history import can_continue
from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.events import Event, Failed, Finished, TextDelta, Trimmed
from mlx_harmony.records import Sampling
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings

LONG = TurnOptions(max_tokens=400, sampling=Sampling(seed=1))
SHORT = TurnOptions(max_tokens=8, sampling=Sampling(seed=1))


async def sent(service: Service, chat_id: str, options: TurnOptions, kill_at: int | None = None) -> list[Event]:
    """All events of one turn; at delta number `kill_at` the model's process is killed."""
    events: list[Event] = []
    async with aclosing(service.send(chat_id, "Go on", options)) as turn:
        async for event in turn:
            events.append(event)  # type: ignore[arg-type]
            deltas = sum(isinstance(each, TextDelta) for each in events)
            if deltas == kill_at and isinstance(event, TextDelta):
                (state,) = service.model_states()
                assert state.pid is not None
                os.kill(state.pid, signal.SIGKILL)
    return events


def long_chat(turns: int) -> bytes:
    """A conversation file with one chat of many long turns."""
    messages = [
        {"id": f"m{at}", "parent_id": f"m{at - 1}" if at else None, "role": role, "content": f"{at} the quick brown fox " * 12}
        for at, role in enumerate(("user", "assistant") * turns)
    ]
    return json.dumps({"schema_version": 2, "chats": {"long": {"chat_id": "long", "metadata": {}, "messages": messages}}}).encode()


@pytest.mark.integration
async def test_a_chat_longer_than_the_context_goes_on_and_says_what_is_not_seen(tmp_path: Path, fx2: Path) -> None:
    service = await Service.open(Settings(home=str(tmp_path), model=str(fx2)))
    await service.import_chats(long_chat(50))
    asleep = await service.context("long", "And now?", SHORT)
    assert asleep and asleep.counted == "estimate" and not asleep.trimmed
    await service.load(service.find_model(None).id)
    use = await service.context("long", "Go on", SHORT)
    assert use and use.sent <= use.limit < use.total and len(use.messages) == 100 and use.draft > 0
    assert sum(tokens for _, tokens in use.messages) < use.total and use.trimmed[0] == "m0"
    assert await service.count_text("", None) == 0 and (await service.count_text("Hello there", None) or 0) > 1

    events = await sent(service, "long", SHORT)
    (trimmed,) = [event for event in events if isinstance(event, Trimmed)]
    assert trimmed.message_ids == use.trimmed and isinstance(events[-1], Finished)
    assert events[-1].usage.prompt_tokens == use.sent
    answer = (await service.read_chat("long")).messages[-1]
    assert answer.seen_from == f"m{len(use.trimmed)}"
    await service.close()


@pytest.mark.integration
async def test_a_cut_answer_goes_on_over_a_real_model(tmp_path: Path, fx2: Path) -> None:
    service = await Service.open(Settings(home=str(tmp_path), model=str(fx2)))
    chat_id = (await service.create_chat()).summary.id
    for _ in range(6):
        assert isinstance((await sent(service, chat_id, SHORT))[-1], Finished)
    cut = [message for message in (await service.read_chat(chat_id)).messages if can_continue(message)]
    assert cut, "a random model of 8 tokens an answer leaves some cut in their text"
    async with aclosing(service.continue_answer(chat_id, cut[-1].id, SHORT)) as turn:
        events = [event async for event in turn]
    assert isinstance(events[-1], Finished)
    whole = next(message for message in (await service.read_chat(chat_id)).messages if message.id == cut[-1].id)
    shown = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert "".join(lane.text for lane in whole.lanes) == "".join(lane.text for lane in cut[-1].lanes) + shown != ""
    await service.close()


@pytest.mark.integration
async def test_a_killed_worker_costs_the_rest_of_one_reply_and_chats_outlive_the_program(tmp_path: Path, fx2: Path) -> None:
    settings = Settings(home=str(tmp_path), model=str(fx2))
    service = await Service.open(settings)
    chat_id = (await service.create_chat()).summary.id

    events = await sent(service, chat_id, LONG, kill_at=3)
    assert isinstance(events[-1], Failed) and events[-1].code == "engine_crashed" and events[-1].hint
    answer = (await service.read_chat(chat_id)).messages[-1]
    shown = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert answer.state == "failed" and answer.error == events[-1]
    assert "".join(lane.text for lane in answer.lanes) == shown != ""

    assert isinstance((await sent(service, chat_id, SHORT))[-1], Finished)
    before = (await service.read_chat(chat_id)).messages
    made = before[-1].provenance
    assert made and made.fingerprint and made.seed == 1
    assert "cpu" in made.numerics.device and made.numerics.types == "float32" and made.numerics.mlx == version("mlx")
    await service.close()

    again = await Service.open(settings)
    assert (await again.read_chat(chat_id)).messages == before and again.notices() == ()
    await again.close()
