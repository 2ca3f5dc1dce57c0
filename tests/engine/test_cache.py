"""The prompt cache over the wire: asked while the model answers, kept over an unload, a crash's question answered with an error."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest

from mlx_harmony.cache_records import CacheEntry, CacheRequest, CacheState, Reuse
from mlx_harmony.engine.process import WorkerHome
from mlx_harmony.engine.provider import EngineProvider, worker_provider
from mlx_harmony.engine.supervisor import start_worker
from mlx_harmony.engine.wire import CacheFrame, FrameReader, encode
from mlx_harmony.errors import EngineCrashed, InvalidRequest
from mlx_harmony.events import Finished, TextDelta
from mlx_harmony.records import GenerationRequest, LoadOptions, ModelEntry, Sampling, TokenPrompt
from mlx_harmony.settings import Settings

PROMPT = tuple(range(20, 220))


def request(name: str, max_tokens: int = 4) -> GenerationRequest:
    sampling = Sampling(temperature=0.0, logit_bias={1: -100.0})
    return GenerationRequest(id=name, prompt=TokenPrompt(tokens=PROMPT), max_tokens=max_tokens, sampling=sampling, loop_detection="off")


def entry(folder: Path) -> ModelEntry:
    return ModelEntry(id=folder.name, path=str(folder), bytes=1, architecture="llama", format="template", source="folder")


async def answered(provider: EngineProvider, folder: Path, name: str) -> tuple[str, Finished]:
    events = [event async for event in provider.generate(entry(folder), request(name))]
    assert isinstance(events[-1], Finished)
    return "".join(event.text for event in events if isinstance(event, TextDelta)), events[-1]


def test_a_state_crosses_the_wire_as_itself() -> None:
    reuse = Reuse(prompt=9, memory=2, disk=3, matched=5, reason="differs", position=5, kept=(1,), asked=(2,), detail="so")
    kept = CacheEntry(id="a", parent="", start=0, end=9, where="disk", snapshots=(4, 9), text="Hi")
    state = CacheState(misses={"differs": 1}, entries=(kept,), recent=(CacheRequest(at=1.0, reuse=reuse, kept_text="x"),))
    assert FrameReader().feed(encode(CacheFrame(id="q", state=state))) == [CacheFrame(id="q", state=state)]


@pytest.mark.integration
async def test_what_was_read_survives_an_unload_and_a_restart_of_the_program(fx1: Path, tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path))
    provider = worker_provider(settings)
    first, finished = await answered(provider, fx1, "first")
    assert finished.reuse == Reuse(prompt=200, reason="nothing")
    assert await provider.cache("nobody") is None
    await provider.unload(fx1.name)
    assert await provider.cache(fx1.name) is None
    again, finished = await answered(provider, fx1, "again")
    assert again == first
    assert finished.reuse == Reuse(prompt=200, disk=199, matched=200, reason="whole")
    await provider.close()
    other = worker_provider(msgspec.structs.replace(settings, cache_memory_mb=0, sources={"cache_memory_mb": "file"}))
    once_more, finished = await answered(other, fx1, "once more")
    assert (once_more, finished.usage.cached_tokens) == (first, 199)
    state = await other.cache(fx1.name)
    assert state is not None
    assert (state.memory_bytes, state.memory_budget, state.tokens_from_disk) == (0, 0, 199)
    await other.close()


@pytest.mark.integration
async def test_the_cache_is_looked_at_and_cleared_while_the_model_answers(fx1: Path, tmp_path: Path) -> None:
    engine = await start_worker("tiny", LoadOptions(path=str(fx1)), WorkerHome.of(str(tmp_path)), lambda _stage, _fraction: None)
    async with aclosing(engine.generate(request("long", 2000))) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
        state = await asyncio.wait_for(engine.cache(), 5)
        assert state.entries
        assert (state.requests, state.recent[0].reuse.prompt) == (1, 200)
        assert (await engine.cache("clear")).entries == ()
    asked = asyncio.create_task(engine.cache())
    engine._process.kill()
    with pytest.raises(EngineCrashed):
        await asked
        await engine.cache()
    await engine.close()


@pytest.mark.integration
async def test_an_entry_is_saved_in_one_home_and_loaded_in_another(fx1: Path, fx2: Path, tmp_path: Path) -> None:
    provider, file = worker_provider(Settings(home=str(tmp_path / "one"))), str(tmp_path / "saved.kv")
    assert await provider.save_cache(fx1.name, "a", file) is None
    first, _ = await answered(provider, fx1, "first")
    state = await provider.cache(fx1.name)
    assert state is not None
    name = max(state.entries, key=lambda kept: kept.end).id
    with pytest.raises(InvalidRequest, match="no such entry"):
        await provider.save_cache(fx1.name, "zz", file)
    saved = await provider.save_cache(fx1.name, name, file)
    assert saved is not None and saved.tokens >= 200
    with pytest.raises(InvalidRequest, match="is there already"):
        await provider.save_cache(fx1.name, name, file)
    await provider.close()
    other = worker_provider(Settings(home=str(tmp_path / "two"), cache_disk_mb=0))
    await other.load_cache(entry(fx1), file)
    again, finished = await answered(other, fx1, "again")
    assert (again, finished.usage.cached_tokens) == (first, 199)
    with pytest.raises(InvalidRequest, match="another model: its weights, chat template or tokenizer, KV format is not the same"):
        await other.load_cache(entry(fx2), file)
    await other.close()


@pytest.mark.integration
async def test_a_forgotten_chat_is_gone_from_a_loaded_model_and_its_files(fx1: Path, tmp_path: Path) -> None:
    provider = worker_provider(Settings(home=str(tmp_path)))
    mine = msgspec.structs.replace(request("mine"), chat="a")
    async with aclosing(provider.generate(entry(fx1), mine)) as events:
        assert [event async for event in events]
    state = await provider.cache(fx1.name)
    assert state is not None and [kept.chats for kept in state.entries if kept.chats] == [("a",)]
    await provider.forget_chats(("a",))
    state = await provider.cache(fx1.name)
    assert state is not None and state.entries == ()
    assert list((tmp_path / "cache").rglob("*.kv")) == []
    await provider.close()
