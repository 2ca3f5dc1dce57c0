"""mlx-lm in a process of its own: its loops and its server do what is asked, and its end is told in words."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from mlx_harmony.bench.client import streamed
from mlx_harmony.bench.servers import environment, our_server, stock_server
from mlx_harmony.bench.sides import Unmeasured
from mlx_harmony.bench.stock import start_stock
from mlx_harmony.bench.work import prompt_ids

pytestmark = pytest.mark.integration

ASKED = {"messages": [{"role": "user", "content": "hello there"}], "max_tokens": 5, "temperature": 0}


@pytest.mark.parametrize("fitted", [True, False])
async def test_its_loops_answer_one_and_many(fx1: Path, tmp_path: Path, fitted: bool) -> None:
    stock = await start_stock(str(fx1), fitted, environment(tmp_path))
    one = await stock.one(prompt_ids(1, 20, stock.vocabulary), 6)
    assert (one.tokens, len(one.gaps_ms)) == (6, 5)
    assert one.first_token_s > 0
    assert one.decode_per_second > 0
    assert await stock.many([prompt_ids(at, 10 + at, stock.vocabulary) for at in range(3)], 4) > 0
    assert stock.load_s > 0
    assert (stock.peak_memory_bytes() or 0) > 10_000_000
    await stock.close()


async def test_a_model_that_it_cannot_load_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(Unmeasured, match=r"ended \(.*config.json"):
        await start_stock(str(tmp_path), False, environment(tmp_path / "home"))


async def test_an_end_in_the_middle_is_told(fx1: Path, tmp_path: Path) -> None:
    stock = await start_stock(str(fx1), False, environment(tmp_path))
    asked = asyncio.create_task(stock.one(prompt_ids(1, 20, stock.vocabulary), 8000))
    await asyncio.sleep(0.3)
    os.kill(stock.pid, signal.SIGKILL)
    with pytest.raises(Unmeasured, match="mlx-lm's process ended"):
        await asked
    with pytest.raises(Unmeasured):
        await stock.one(prompt_ids(1, 20, stock.vocabulary), 1)
    await stock.close()


async def test_both_servers_answer_the_same_request_with_the_same_words(fx1: Path, tmp_path: Path) -> None:
    async with our_server(str(fx1), tmp_path / "ours") as mine, stock_server(str(fx1), tmp_path / "stock", fitted=True) as theirs:
        ours, stock = await streamed(mine.port, ASKED), await streamed(theirs.port, ASKED)
    assert ours.tokens == stock.tokens == 5
    assert ours.prompt_tokens == stock.prompt_tokens
    for server in (mine, theirs):
        with pytest.raises(ProcessLookupError):
            os.kill(server.pid, 0)


async def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(Unmeasured, match=r"did not start: ."):
        async with our_server(str(tmp_path / "nowhere"), tmp_path / "ours"):
            pass


async def test_a_server_of_ours_takes_the_settings_it_is_given(fx1: Path, tmp_path: Path) -> None:
    async with our_server(str(fx1), tmp_path / "ours", cache_memory_mb=0, cache_disk_mb=0) as server:
        answers = [await streamed(server.port, ASKED) for _ in range(2)]
    assert [answer.cached_tokens for answer in answers] == [0, 0]
