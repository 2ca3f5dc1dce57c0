"""The door over a real worker process: a killed worker costs the rest of one reply, and chats outlive the program."""

import os
import signal
from contextlib import aclosing
from pathlib import Path

import pytest

from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.events import Event, Failed, Finished, TextDelta
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
    assert before[-1].provenance and before[-1].provenance.fingerprint and before[-1].provenance.seed == 1
    await service.close()

    again = await Service.open(settings)
    assert (await again.read_chat(chat_id)).messages == before and again.notices() == ()
    await again.close()
