"""A store in a temporary home and turns over a scripted provider."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from mlx_harmony.conversation.store import Store
from mlx_harmony.conversation.turn import Turns
from mlx_harmony.engine.protocols import Provider
from mlx_harmony.errors import ModelNotFound
from mlx_harmony.records import ModelEntry

STARTER = ModelEntry(id="starter", path="/starter", bytes=1, architecture="gpt_oss", format="harmony", source="bundled")


def find_starter(model_id: str | None) -> ModelEntry:
    if model_id not in (None, "starter"):
        raise ModelNotFound(f"No model {model_id}.")
    return STARTER


async def gather(stream: AsyncGenerator[Any, None]) -> list[Any]:
    """All events of a stream."""
    async with aclosing(stream) as events:
        return [event async for event in events]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "chats.sqlite3")
    yield opened
    await opened.close()


@pytest.fixture
def turns_over(store: Store) -> Callable[[Provider], Turns]:
    return lambda provider: Turns(store, provider, find_starter)
