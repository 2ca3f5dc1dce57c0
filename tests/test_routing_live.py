"""Aliases over real models in worker processes: shared fairly, stood in for where a load fails, and kept with the answer."""

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio
from tokenizers import Tokenizer

from mlx_harmony.conversation.history import can_continue
from mlx_harmony.conversation.records import TurnOptions, TurnStarted
from mlx_harmony.events import Event, Finished, Routed
from mlx_harmony.records import ChatPrompt, GenerationRequest, Message, Sampling
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from tests.api.serving import Options, Serving, serving

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

ALIASES = {
    "both": {"models": ["one", "two"]},
    "safe": {"models": ["torn"], "fallbacks": ["two"]},
    "long": {"models": ["one"], "rules": [{"model": "two", "min_tokens": 200}]},
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(fx1: Path, fx2: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Serving]:
    home, models = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("models")
    shutil.copytree(fx1, models / "one")
    shutil.copytree(fx2, models / "two")
    shutil.copytree(fx2, models / "torn")
    for weights in (models / "torn").glob("*.safetensors"):
        # As long as it was, so that it looks whole until it is loaded.
        weights.write_bytes(b"\xff" * weights.stat().st_size)
    (home / "aliases.json").write_text(json.dumps(ALIASES))
    async with serving(home, Options(real=True, models_dirs=(str(models),))) as running:
        yield running


async def sent(service: Service, chat_id: str, options: TurnOptions) -> list[Event]:
    async with aclosing(service.send(chat_id, "Go on", options)) as turn:
        return [event async for event in turn if not isinstance(event, TurnStarted)]


async def test_requests_at_once_are_shared_half_and_half(server: Serving) -> None:
    asked = {"model": "both", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    answers = await asyncio.gather(*(server.client.chat.completions.create(**asked) for _ in range(20)))
    assert Counter(answer.model for answer in answers) == {"one": 10, "two": 10}


async def test_a_damaged_model_is_stood_in_for_and_the_answer_says_so(server: Serving) -> None:
    answer = await server.client.chat.completions.create(model="safe", messages=[{"role": "user", "content": "Hello"}], max_tokens=2)
    assert answer.model == "two" and answer.note.startswith("two answered for safe. torn could not be used: ")


async def test_a_rule_on_tokens_counts_alike_whether_its_model_sleeps_or_not(server: Serving, fx2: Path) -> None:
    tokenizer = Tokenizer.from_file(str(fx2 / "tokenizer.json"))
    texts = {size: "".join(f"{number} " for number in range(size)) for size in range(1, 200)}
    counts = {size: len(tokenizer.encode(text, add_special_tokens=False).ids) for size, text in texts.items()}
    below, above = max(size for size in counts if counts[size] < 198), min(size for size in counts if counts[size] >= 200)
    for awake in (False, True):
        for size, model in ((below, "one"), (above, "two")):
            await server.service.unload("two")
            if awake:
                await server.service.load("two")
            messages = [{"role": "user", "content": texts[size]}]
            answer = await server.client.chat.completions.create(model="long", messages=messages, max_tokens=1)
            assert answer.model == model, (awake, size, counts[size])
            assert ("at least 200 tokens" in answer.note) == (model == "two")


async def test_a_model_whose_queue_is_full_is_stood_in_for(fx1: Path, fx2: Path, tmp_path: Path) -> None:
    shutil.copytree(fx1, tmp_path / "models" / "one")
    shutil.copytree(fx2, tmp_path / "models" / "two")
    (tmp_path / "aliases.json").write_text('{"first": {"models": ["one"], "fallbacks": ["two"]}}')
    service = await Service.open(Settings(home=str(tmp_path), models_dirs=(str(tmp_path / "models"),), max_waiting=1))
    asked = ChatPrompt(messages=(Message(role="user", content="Hello"),))
    try:

        async def answer(number: int) -> Event:
            request = GenerationRequest(id=str(number), prompt=asked, max_tokens=64)
            async with aclosing(service.generate("first", request)) as events:
                return [event async for event in events][-1]

        ends = await asyncio.gather(*map(answer, range(6)))
        notes = Counter(end.note.partition(":")[0] if isinstance(end, Finished) else str(end) for end in ends)
        assert notes["one answered for first."] == 2, notes
        assert notes["two answered for first. one could not be used"] == 2, notes
        assert sum("No model of the alias first could be used" in said and "queue_full" in said for said in notes.elements()) == 2
    finally:
        await service.close()


async def test_a_chat_keeps_who_answered_and_an_answer_is_ended_by_whoever_began_it(server: Serving) -> None:
    service, options = server.service, TurnOptions(model="both", max_tokens=8, sampling=Sampling(seed=1))
    chat_id = (await service.create_chat(options)).summary.id
    for _ in range(6):
        events = await sent(service, chat_id, options)
        assert isinstance(events[-1], Finished) and sum(isinstance(event, Routed) for event in events) == 1
    chat = await service.read_chat(chat_id)
    made = [message for message in chat.messages if message.role == "assistant"]
    models = [message.provenance.model for message in made if message.provenance]
    assert Counter(models) == {"one": 3, "two": 3} and chat.options.model == "both"
    assert all(message.provenance and message.provenance.fingerprint for message in made)
    assert all(message.note.startswith(f"{model} answered for both") for message, model in zip(made, models, strict=True))
    for message in [each for each in made if can_continue(each)][:2]:
        async with aclosing(service.continue_answer(chat_id, message.id, options)) as turn:
            assert [type(event) async for event in turn][-1] is Finished
        whole = next(each for each in (await service.read_chat(chat_id)).messages if each.id == message.id)
        assert whole.provenance and message.provenance and whole.provenance.model == message.provenance.model
    assert (await service.read_chat(chat_id)).options.model == "both"
    awake = await service.context(chat_id, "And now?", options)
    assert awake is not None and awake.counted == "now"
