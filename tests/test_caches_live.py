"""What is kept of chats, over a real worker: the next message's cost is known, chats are leaves, and an emptied trash leaves nothing."""

from contextlib import aclosing
from pathlib import Path

import pytest

from mlx_harmony.cache_records import CacheState
from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.events import Finished
from mlx_harmony.records import Sampling
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings

SHARED = TurnOptions(instructions="You are a helpful assistant. " * 12, max_tokens=6, sampling=Sampling(temperature=0.0), effort="low")
SECRET = "Nobody but me knows that the lazy dog jumps over the quick brown fox. " * 4


async def sent(service: Service, chat_id: str, text: str) -> Finished:
    async with aclosing(service.send(chat_id, text, SHARED)) as turn:
        events = [event async for event in turn]
    assert isinstance(events[-1], Finished)
    return events[-1]


def leaves(state: CacheState) -> set[str]:
    return {chat for entry in state.entries for chat in entry.chats}


@pytest.mark.integration
@pytest.mark.parametrize("name", ["fx1", "fx2"])
async def test_a_deleted_chat_is_gone_from_the_cache_and_the_disk_when_the_trash_is_emptied(
    request: pytest.FixtureRequest, tmp_path: Path, name: str
) -> None:
    folder: Path = request.getfixturevalue(name)
    settings = Settings(home=str(tmp_path), model=str(folder))
    service = await Service.open(settings)
    mine, other = [(await service.create_chat(SHARED)).summary.id for _ in range(2)]
    await sent(service, mine, SECRET)
    await sent(service, other, "Hello there, how are you today?")
    use = await service.context(other, "And now?", SHARED)
    assert use and use.reused and use.seconds is not None and 0 < use.seconds < 60
    second = await sent(service, other, "And now?")
    assert second.usage.cached_tokens == use.reused
    model = service.find_model(None).id
    state = await service.caches.look(model)
    assert leaves(state) == {mine, other}
    assert [each.chat for each in state.recent] == [other, other, mine]
    assert state.seconds_saved > 0 and state.history
    await service.delete_chat(mine)
    assert leaves(await service.caches.look(model)) == {mine, other}, "it can be brought back"
    await service.empty_trash()
    state = await service.caches.look(model)
    assert (leaves(state), {each.chat for each in state.recent}) == ({other}, {other})
    await service.close()

    again = await Service.open(settings)
    assert leaves(await again.caches.look(model)) == {other}
    fresh = (await again.create_chat(SHARED)).summary.id
    finished = await sent(again, fresh, SECRET)
    assert finished.reuse is not None
    assert 20 < finished.reuse.matched < finished.usage.prompt_tokens - 60, "what all chats begin with stays, the question is not known"
    third = await sent(again, other, "And then?")
    assert third.usage.cached_tokens >= second.usage.prompt_tokens - 10
    await again.close()
