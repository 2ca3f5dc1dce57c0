"""/metrics: counts by model as Prometheus reads them, nothing of what was said, and names that cannot break out of their labels."""

from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mlx_harmony.api.metrics_route import Known, _written
from mlx_harmony.cache_records import CacheKeeper
from mlx_harmony.engine.protocols import ModelState
from mlx_harmony.engine.tally import Counts
from tests.api.serving import Options, Serving, serving
from tests.fixtures.kept import STATE

Values = dict[str, dict[tuple[str, ...], float]]


def values(text: str) -> Values:
    """Every sample by its name and the values of its labels."""
    found: Values = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


async def asked(server: Serving) -> tuple[httpx.Response, Values]:
    async with httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.get("/metrics")
    return answer, values(answer.text)


@pytest.mark.integration
async def test_a_real_model_s_requests_tokens_and_cache_are_counted(fx2: Path, tmp_path: Path) -> None:
    async with serving(tmp_path, Options(real=True, models_dirs=(str(fx2.parent),))) as server:
        _, before = await asked(server)
        assert "mlx_harmony_tokens_read_total" not in before
        messages = [{"role": "user", "content": "a secret prompt that comes twice, and is long enough to be kept"}]
        usages = [
            (await server.client.chat.completions.create(model=fx2.name, messages=messages, max_tokens=3)).usage  # type: ignore[call-overload]
            for _ in range(2)
        ]
        answer, told = await asked(server)
        prompt, model = usages[0].prompt_tokens, (fx2.name,)
        assert told["mlx_harmony_tokens_read_total"][model] + told["mlx_harmony_tokens_reused_total"][model] == 2 * prompt
        assert told["mlx_harmony_tokens_reused_total"][model] == usages[1].prompt_tokens_details.cached_tokens > 0
        assert told["mlx_harmony_tokens_written_total"][model] == sum(usage.completion_tokens for usage in usages)
        assert sum(told["mlx_harmony_requests_total"].values()) == 2
        assert told["mlx_harmony_requests_running"][model] == told["mlx_harmony_requests_waiting"][model] == 0
        assert told["mlx_harmony_model_loaded"][model] == told["mlx_harmony_model_loads_total"][model] == 1
        assert told["mlx_harmony_model_memory_bytes"][model] > 10**7
        assert told["mlx_harmony_model_restarts_total"][model] == 0
        assert (told["mlx_harmony_cache_lookups_total"][model], told["mlx_harmony_cache_hits_total"][model]) == (2, 1)
        assert told["mlx_harmony_cache_tokens_asked_total"][model] == 2 * prompt
        assert 0 < told["mlx_harmony_cache_memory_bytes"][model] <= told["mlx_harmony_cache_memory_budget_bytes"][model]
        assert told["mlx_harmony_cache_disk_budget_bytes"][()] == server.service.settings.cache_disk_mb * 1_000_000
        assert told["mlx_harmony_cache_evictions_total"][model] == 0
        assert answer.headers["content-type"].startswith("text/plain; version=")
        assert "secret" not in answer.text


async def test_it_can_be_read_and_nothing_else(server: Serving) -> None:
    async with httpx.AsyncClient(base_url=server.url) as client:
        assert (await client.head("/metrics")).status_code == 200
        refused = await client.post("/metrics")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


def test_a_name_cannot_break_out_of_its_label() -> None:
    hostile = 'a"} 1\nmlx_harmony_requests_running{model="b\\'
    state = ModelState(id=hostile, phase="busy", counts=Counts(running=3, outcomes={"stop": 2}))
    keeper = CacheKeeper(model=hostile, folder="/m", disk_bytes=7)
    text = _written(Known((state,), {hostile: STATE}, (keeper,), 10**9))[0].decode()
    told = values(text)
    assert told["mlx_harmony_requests_running"] == {(hostile,): 3.0}
    assert told["mlx_harmony_requests_total"] == {(hostile, "stop"): 2.0}
    assert told["mlx_harmony_cache_misses_total"] == {(hostile, "differs"): 1.0, (hostile, "evicted"): 1.0}
    assert told["mlx_harmony_cache_disk_bytes"] == {(hostile,): 7.0}
    said = (piece for entry in STATE.entries for piece in (entry.text, *entry.chats))
    assert not any(piece in text for piece in said if piece)
