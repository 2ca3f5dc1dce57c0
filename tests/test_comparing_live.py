"""Comparing over real workers: each side says what it says when it is asked alone, also where one model answers twice at once."""

from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest

from mlx_harmony.conversation.records import TurnOptions, TurnStarted
from mlx_harmony.events import Finished, Loading
from mlx_harmony.records import Sampling
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings

PROMPT = "The quick brown fox jumps over"
SURE = TurnOptions(max_tokens=24, sampling=Sampling(temperature=0.0))
DRAWN = TurnOptions(max_tokens=24, sampling=Sampling(temperature=1.0, seed=7))


def with_model(options: TurnOptions, folder: Path) -> TurnOptions:
    return msgspec.structs.replace(options, model=folder.name)


async def alone(service: Service, options: TurnOptions) -> tuple[str, ...]:
    """What a chat of its own is answered, lane by lane."""
    chat_id = (await service.create_chat(options)).summary.id
    async with aclosing(service.send(chat_id, PROMPT, options)) as turn:
        assert isinstance([event async for event in turn][-1], Finished)
    return tuple(lane.raw for lane in (await service.read_chat(chat_id)).messages[-1].lanes)


async def compared(service: Service, left: TurnOptions, right: TurnOptions) -> dict[str, tuple[str, ...]]:
    """What both sides of a comparison are answered, and that each had its own figures."""
    chats: dict[str, str] = {}
    async with aclosing(service.comparing.begin(PROMPT, left, right).events()) as events:
        async for side, event in events:
            if isinstance(event, TurnStarted):
                chats[side] = event.chat_id
            if isinstance(event, Finished):
                assert event.usage.completion_tokens and event.timings.first_token_ms > 0 and event.timings.predicted_per_second > 0
    answers = {side: (await service.comparing.keep(chat_id)).messages[-1] for side, chat_id in chats.items()}
    assert all(answer.provenance and answer.provenance.fingerprint and answer.timings for answer in answers.values())
    return {side: tuple(lane.raw for lane in answer.lanes) for side, answer in answers.items()}


@pytest.mark.integration
async def test_each_side_says_what_it_says_alone(tmp_path: Path, fx1: Path, fx2: Path) -> None:
    service = await Service.open(Settings(home=str(tmp_path), models_dirs=(str(fx1.parent), str(fx2.parent))))
    left, right = with_model(SURE, fx1), with_model(SURE, fx2)
    both = await compared(service, left, right)
    assert {state.id for state in service.model_states() if state.phase == "awake"} == {fx1.name, fx2.name}
    assert both == {"left": await alone(service, left), "right": await alone(service, right)}
    assert both["left"] != both["right"]

    drawn = with_model(DRAWN, fx2)
    assert await compared(service, right, drawn) == {"left": both["right"], "right": await alone(service, drawn)}
    await service.close()


@pytest.mark.integration
async def test_where_only_one_fits_the_other_says_so_and_answers_after_it(tmp_path: Path, fx1: Path, fx2: Path) -> None:
    settings = Settings(home=str(tmp_path), models_dirs=(str(fx1.parent), str(fx2.parent)), max_models=1)
    service = await Service.open(settings)
    waited: list[str] = []
    reasons: dict[str, str] = {}
    async with aclosing(service.comparing.begin(PROMPT, with_model(SURE, fx1), with_model(SURE, fx2)).events()) as events:
        async for side, event in events:
            if isinstance(event, Loading) and event.stage.startswith("Waiting until"):
                waited.append(event.stage)
            if isinstance(event, Finished):
                reasons[side] = event.reason
    assert set(waited) in ({f"Waiting until {fx1.name} has answered"}, {f"Waiting until {fx2.name} has answered"})
    assert set(reasons) == {"left", "right"} and "cancelled" not in reasons.values()
    await service.close()
