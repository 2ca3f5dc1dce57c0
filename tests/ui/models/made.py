"""Models, holdings and needs as the tests of the Models tab know them."""

from mlx_harmony.models.forecast import Forecast
from mlx_harmony.models.holdings import Holding, HoldingKind, Revision
from mlx_harmony.models.info import ModelInfo
from mlx_harmony.models.outlook import Needs, Verdict
from mlx_harmony.records import ModelEntry

NOW = 1_800_000_000.0
DAY = 86_400.0
GB = 1_000_000_000


def entry(name: str = "org/Qwen-4bit", **others: object) -> ModelEntry:
    known = {"path": f"/hub/{name}", "bytes": GB, "architecture": "qwen3", "format": "template", "source": "hub_cache", "bits": 4}
    return ModelEntry(id=name, **(known | {"context_length": 32_768, "modified_at": NOW - 9 * DAY} | others))  # type: ignore[arg-type]


def info(name: str = "org/Qwen-4bit", **others: object) -> ModelInfo:
    own = {key: others.pop(key) for key in tuple(others) if key in ("problem", "format", "source", "adapter", "base", "context_length")}
    return ModelInfo(entry=entry(name, **own), family="Qwen", disk_bytes=GB, **others)  # type: ignore[arg-type]


STARTER = info("starter", source="bundled", format="harmony")


def holding(name: str, size: int = GB, *, days: float = 1.0, kind: HoldingKind = "model", **others: object) -> Holding:
    """One that was last used so many days ago."""
    at = NOW - days * DAY
    known = {"path": f"/hub/{name}", "root": "/hub", "last_used_at": at, "modified_at": at, "family": name.split("-")[0], "mlx": True}
    return Holding(id=name, kind=kind, bytes=size, **(known | others))  # type: ignore[arg-type]


def revision(commit: str, size: int, *refs: str) -> Revision:
    return Revision(commit=commit, path=f"/hub/x/snapshots/{commit}", refs=refs, bytes=size, own_bytes=size, modified_at=NOW - DAY)


def needs(verdict: Verdict = "fits", free: int | None = 3 * GB, context: int = 4096) -> Needs:
    told = Forecast(weights=2 * GB, kv=context * 100_000, working=300_000_000, context=context)
    return Needs(forecast=told, verdict=verdict, free=free)
