"""Harmony lanes over the Starter: the ids that are shown are the model's own, and the text that is shown encodes to them again."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from mlx_harmony.conversation.records import ChatMessage, TurnOptions
from mlx_harmony.records import Sampling, Tool
from mlx_harmony_ui.details import written
from tests.api.serving import Options, Serving, serving

pytestmark = pytest.mark.integration
STARTER = Path(__file__).parent.parent / "assets" / "starter"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Serving]:
    async with serving(tmp_path / "home", Options(real=True)) as running:
        yield running


async def answered(server: Serving, text: str, *tools: Tool) -> ChatMessage:
    options = TurnOptions(model="starter", sampling=Sampling(temperature=0.0), max_tokens=200, tools=tools)
    chat_id = (await server.service.create_chat(options)).summary.id
    async with aclosing(server.service.send(chat_id, text, options)) as events:
        async for _ in events:
            pass
    return (await server.service.read_chat(chat_id)).messages[-1]


async def test_the_view_encodes_to_the_tokens_the_model_wrote(server: Serving) -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(STARTER))
    for answer in (await answered(server, "hello"), await answered(server, "What is 417 × 36?", Tool(kind="python"))):
        assert answer.lanes and answer.usage
        assert sum(len(lane.ids) for lane in answer.lanes) == answer.usage.completion_tokens
        for lane in answer.lanes:
            shown = written(lane)
            assert tuple(token.id for token in shown) == lane.ids and len(lane.ids) == lane.tokens
            assert "".join(token.text for token in shown) == lane.raw
            assert tuple(tokenizer.encode(lane.raw, add_special_tokens=False)) == lane.ids
            assert shown[-1].text == lane.stop_token and shown[-1].control
