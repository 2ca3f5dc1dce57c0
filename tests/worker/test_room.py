"""A model that would not fit steps back or is refused with the figures, before the system has to end it."""

import json
import shutil
from pathlib import Path

import pytest

from mlx_harmony.errors import OutOfMemory
from mlx_harmony.models.anatomy import anatomy_of
from mlx_harmony.models.catalog import starter_folder
from mlx_harmony.models.forecast import Forecast, forecast
from mlx_harmony.records import LoadOptions
from mlx_harmony.worker.device import Device, free_bytes
from mlx_harmony.worker.load import LoadedModel, load
from tests.worker.test_load import quantised

GIGABYTE = 10**9


def opened(folder: Path, device: Device, free: int | None, **options: int) -> LoadedModel:
    return load(LoadOptions(path=str(folder), **options), device, lambda _stage, _fraction: None, lambda _device: free)  # type: ignore[arg-type]


def foreseen(folder: Path, device: Device, free: int, context: int = 1024) -> Forecast:
    anatomy = anatomy_of(folder, json.loads((folder / "config.json").read_text()))
    assert anatomy is not None
    return forecast(anatomy, device.kind, context, free)


def with_context(folder: Path, into: Path, context: int) -> Path:
    shutil.copytree(folder, into)
    config = json.loads((into / "config.json").read_text()) | {"max_position_embeddings": context}
    (into / "config.json").write_text(json.dumps(config))
    return into


@pytest.mark.parametrize("free", [250_000_000, 20 * GIGABYTE])
@pytest.mark.parametrize("kind", ["cpu", "metal"])
def test_the_forecast_of_the_weights_is_what_the_worker_then_has(fx1: Path, fx2: Path, tmp_path: Path, free: int, kind: str) -> None:
    device = Device(kind=kind, blas="none")  # type: ignore[arg-type]
    for folder in (fx1, fx2, quantised(fx1, tmp_path / "q")):
        told = opened(folder, device, free).card.weight_bytes
        assert foreseen(folder, device, free).weights == pytest.approx(told, rel=0.25)


def test_the_forecast_holds_for_the_starter(device: Device) -> None:
    told = opened(starter_folder(), device, 20 * GIGABYTE).card
    assert foreseen(starter_folder(), device, 20 * GIGABYTE).weights == pytest.approx(told.weight_bytes, rel=0.05)


def test_a_model_that_cannot_fit_is_refused_with_the_figures_before_its_weights_are_read(fx1: Path, device: Device) -> None:
    stages: list[str] = []
    with pytest.raises(OutOfMemory) as refused:
        load(LoadOptions(path=str(fx1)), device, lambda stage, _fraction: stages.append(stage), lambda _device: 100_000_000)
    assert stages == ["Checking files"]
    assert "needs at least 0.2 GB" in refused.value.message and "0.1 GB are free" in refused.value.message
    assert "1024 tokens" in refused.value.message and "smaller quantisation" in refused.value.hint


def test_load_anyway_asks_for_no_room(fx1: Path, device: Device) -> None:
    assert opened(fx1, device, 100_000_000, force=True).card.weight_bytes > 0


def test_where_keys_and_values_of_the_whole_context_do_not_fit_the_context_is_shorter(fx1: Path, device: Device, tmp_path: Path) -> None:
    folder = with_context(fx1, tmp_path / "long", 10_000_000)
    card = opened(folder, device, 2 * GIGABYTE).card
    assert 1_000_000 < card.context_length < 10_000_000 and card.context_length % 1024 == 0
    needed = foreseen(folder, device, 2 * GIGABYTE, card.context_length)
    assert 1.9 * GIGABYTE < needed.kv + needed.working <= 2 * GIGABYTE
    assert f"The context is {card.context_length:,} tokens instead of 10,000,000" in card.notes[-1]
    assert opened(folder, device, 20 * GIGABYTE).card.context_length == 10_000_000
    assert opened(folder, device, 2 * GIGABYTE, max_context_tokens=5000).card.context_length == 5000


def test_where_the_memory_is_not_known_nothing_is_refused(fx1: Path, device: Device) -> None:
    card = opened(fx1, Device(kind="cuda"), None).card
    assert card.context_length == 8192 and card.notes == ()
    assert free_bytes(device) is not None
