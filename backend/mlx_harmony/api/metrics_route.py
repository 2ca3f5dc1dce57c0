"""GET /metrics: what this program does, in the text format that Prometheus reads. It tells counts by model, and nothing of what was said.

Models are named by their ids; no prompt, answer, chat or key stands in it. Behind the gate as every other address.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from mlx_harmony import __version__
from mlx_harmony.cache_records import CacheKeeper, CacheState
from mlx_harmony.engine.protocols import ModelState
from mlx_harmony.service import Service

if TYPE_CHECKING:
    from prometheus_client import Metric

LOADED = ("awake", "busy")
CACHE_WITHIN_S = 1.0
MEGABYTE = 1_000_000


class Known(NamedTuple):
    """All that is told: how the models stand, their caches in memory by id, and who keeps something on disk within which budget."""

    states: Sequence[ModelState]
    caches: dict[str, CacheState]
    keepers: Sequence[CacheKeeper]
    disk_budget: int


class Family(NamedTuple):
    """One metric. `rows` are its values with those of its `labels`; a counter's name gets `_total` by itself."""

    kind: str
    name: str
    help: str
    labels: tuple[str, ...]
    rows: Sequence[tuple[tuple[str, ...], float]]


async def metrics(request: Request) -> Response:
    """Everything that is counted, of this moment."""
    if request.method not in ("GET", "HEAD"):
        raise HTTPException(405, headers={"allow": "GET, HEAD"})
    service: Service = request.app.state.service
    known = Known(
        states=service.model_states(),
        caches=await service.caches.awake(CACHE_WITHIN_S),
        keepers=await service.caches.kept(),
        disk_budget=service.settings.cache_disk_mb * MEGABYTE,
    )
    text, content_type = await asyncio.to_thread(_written, known)
    return Response(text, headers={"content-type": content_type, "cache-control": "no-store"})


def families(known: Known) -> Iterator[Family]:
    """All metrics, those of requests, models and caches."""
    yield Family("gauge", "mlx_harmony_info", "The version that runs.", ("version",), [((__version__,), 1)])
    yield from _of_requests(known.states)
    yield from _of_models(known.states)
    yield from _of_caches(known)


def _of_requests(states: Sequence[ModelState]) -> Iterator[Family]:
    counts = [(state.id, state.counts) for state in states]
    gauges = (
        ("running", "Requests that are being read or answered."),
        ("waiting", "Requests that wait for their turn or for the model."),
    )
    for name, told in gauges:
        yield Family("gauge", f"mlx_harmony_requests_{name}", told, ("model",), [((id,), getattr(each, name)) for id, each in counts])
    outcomes = [((id, why), amount) for id, each in counts for why, amount in sorted(each.outcomes.items())]
    told = "Requests that are over, by why: a reason to finish, failed, or refused for a full queue."
    yield Family("counter", "mlx_harmony_requests", told, ("model", "outcome"), outcomes)
    tokens = (
        ("read", "Tokens of prompts that were read."),
        ("reused", "Tokens of prompts that were kept and not read again."),
        ("written", "Tokens that the model wrote."),
    )
    for name, told in tokens:
        rows = [((id,), getattr(each, f"tokens_{name}")) for id, each in counts]
        yield Family("counter", f"mlx_harmony_tokens_{name}", f"{told} Of answers that ended.", ("model",), rows)


def _of_models(states: Sequence[ModelState]) -> Iterator[Family]:
    loaded = [((state.id,), float(state.phase in LOADED)) for state in states]
    yield Family("gauge", "mlx_harmony_model_loaded", "1 while the model is in memory.", ("model",), loaded)
    taken = [((state.id,), state.memory_bytes) for state in states if state.phase in LOADED]
    yield Family("gauge", "mlx_harmony_model_memory_bytes", "The most memory that its process was seen to take.", ("model",), taken)
    loads = [((state.id,), state.counts.loads) for state in states]
    yield Family("counter", "mlx_harmony_model_loads", "How often the model was loaded.", ("model",), loads)
    restarts = [((state.id,), state.counts.restarts) for state in states]
    yield Family("counter", "mlx_harmony_model_restarts", "Loads after the model's process had died.", ("model",), restarts)


def _of_caches(known: Known) -> Iterator[Family]:
    caches = sorted(known.caches.items())
    for name, told in (
        ("memory_bytes", "Memory that its prompt cache takes."),
        ("memory_budget", "Memory that its prompt cache may take."),
    ):
        rows = [((id,), getattr(cache, name)) for id, cache in caches]
        yield Family("gauge", f"mlx_harmony_cache_{name.removesuffix('_bytes')}_bytes", told, ("model",), rows)
    disk = [((keeper.model,), keeper.disk_bytes) for keeper in known.keepers]
    yield Family("gauge", "mlx_harmony_cache_disk_bytes", "What is kept of it on disk.", ("model",), disk)
    yield Family("gauge", "mlx_harmony_cache_disk_budget_bytes", "What all models may keep on disk.", (), [((), known.disk_budget)])
    counted = (
        ("requests", "lookups", "Prompts that were looked up since the model was loaded."),
        ("hits", "hits", "Prompts of which something was reused."),
        ("tokens_asked", "tokens_asked", "Tokens of all prompts that were looked up."),
        ("tokens_reused", "tokens_reused", "Tokens of them that were kept."),
        ("evictions", "evictions", "What went from memory to make room."),
        ("seconds_saved", "seconds_saved", "What reading the reused tokens would have taken."),
    )
    for field, name, told in counted:
        rows = [((id,), getattr(cache, field)) for id, cache in caches]
        yield Family("counter", f"mlx_harmony_cache_{name}", told, ("model",), rows)
    misses = [((id, why), amount) for id, cache in caches for why, amount in sorted(cache.misses.items())]
    told = "Prompts of which something was read again, by why no more was reused."
    yield Family("counter", "mlx_harmony_cache_misses", told, ("model", "reason"), misses)


def _written(known: Known) -> tuple[bytes, str]:
    """The text and its type. The library is imported at the first asking, which is why this is called in a thread."""
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.registry import Collector

    kinds = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily}

    class Told(Collector):
        def collect(self) -> "Iterator[Metric]":
            for family in families(known):
                metric = kinds[family.kind](family.name, family.help, labels=family.labels)
                for values, amount in family.rows:
                    metric.add_metric(values, amount)
                yield metric

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Told())
    return generate_latest(registry), CONTENT_TYPE_LATEST
