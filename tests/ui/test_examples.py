"""What the empty page offers to say, said to the Starter as the page says it: at its own temperature, over several seeds."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec
import pytest
import pytest_asyncio

from mlx_harmony.models.catalog import starter_folder
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from mlx_harmony_ui.tabs.chat import EXAMPLES

pytestmark = [
    pytest.mark.integration,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not (starter_folder() / "config.json").exists(), reason="this checkout has no Starter yet"),
]

SEEDS = range(8)
TELLING, FOLLOW_UP = "My cat is called Pixel. Please remember that.", "What is my cat called?"
MUST_SAY = {
    "What does the temperature slider do?": "random",
    TELLING: "Pixel|in mind|remember",
    "Sort these words: pear, apple, fig, cherry.": "apple, cherry, fig, pear",
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    service = await Service.open(Settings(home=str(tmp_path_factory.mktemp("home"))))
    await service.load(service.find_model(None).id)
    yield service
    await service.close()


async def said(service: Service, seed: int, *messages: str) -> str:
    """The answer to the last of these messages in a new chat with the page's defaults."""
    chat = await service.create_chat()
    usual = service.default_options()
    options = msgspec.structs.replace(usual, sampling=msgspec.structs.replace(usual.sampling, seed=seed))
    for message in messages:
        async with aclosing(service.send(chat.summary.id, message, options)) as turn:
            async for _ in turn:
                pass
    return (await service.read_chat(chat.summary.id)).messages[-1].content


async def over_seeds(service: Service, *messages: str) -> list[str]:
    return list(await asyncio.gather(*(said(service, seed, *messages) for seed in SEEDS)))


@pytest.mark.parametrize("example", [text for _, text in EXAMPLES])
async def test_the_starter_answers_the_example(service: Service, example: str) -> None:
    answers = await over_seeds(service, example)
    assert all(re.search(MUST_SAY[example], answer) for answer in answers), answers


async def test_the_starter_still_knows_what_an_example_told_it(service: Service) -> None:
    answers = await over_seeds(service, TELLING, FOLLOW_UP)
    assert all("Pixel" in answer for answer in answers), answers
