"""A draft model in a real worker process: it loads with progress in the middle of a request, guesses, and goes when it is told to."""

from contextlib import aclosing
from pathlib import Path

import pytest

from mlx_harmony.engine.process import WorkerHome
from mlx_harmony.engine.supervisor import start_worker
from mlx_harmony.events import Event, Finished, Loading
from mlx_harmony.records import DraftChoice, GenerationRequest, LoadOptions, Sampling, TextPrompt
from tests.fixtures.models import build_llama

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]


async def test_it_is_loaded_for_the_request_that_asks_for_it_and_let_go_by_one_that_wants_none(fx1: Path, tmp_path: Path) -> None:
    twin = DraftChoice(id="twin", path=str(build_llama(tmp_path / "twin", seed=9)))
    engine = await start_worker("tiny", LoadOptions(path=str(fx1)), WorkerHome.of(str(tmp_path)), lambda _stage, _fraction: None)

    async def ask(draft_model: str | None) -> list[Event]:
        drafts = (twin,) if draft_model else ()
        sampling = Sampling(temperature=0.0, logit_bias={1: -100.0})
        prompt = TextPrompt(text="hello hello")
        request = GenerationRequest(
            id=f"r{draft_model}", prompt=prompt, max_tokens=12, sampling=sampling, draft_model=draft_model, drafts=drafts
        )
        async with aclosing(engine.generate(request)) as events:
            return [event async for event in events]

    def loads(events: list[Event]) -> int:
        return sum(isinstance(event, Loading) for event in events)

    first, again, without, after = [await ask(name) for name in ("twin", "twin", "", "twin")]
    await engine.close()
    assert loads(first) > 2 and loads(after) > 2
    assert loads(again) == loads(without) == 0
    end = first[-1]
    assert isinstance(end, Finished) and end.speculation is not None
    assert end.speculation.draft_model == "twin"
