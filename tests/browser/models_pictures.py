"""The pictures of docs/guides/models.md: the real app over a made-up cache whose weights are empty, and a hub on this machine.

`screenshots` takes them with the others.
"""

import json
import os
import re
import struct
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser, Page

from tests.browser.guide_pictures import SIZE, shoot
from tests.browser.visit import Visit
from tests.fixtures.hub_cache import HubCache
from tests.fixtures.hub_server import HubServer

DAY_S = 86_400
GB = 10**9


class Made(NamedTuple):
    """A model as it lies in the cache: when it was used, its weights' bytes, and the shape in its config."""

    id: str
    days: float
    size: int
    layers: int
    width: int
    type: str = "qwen3"
    bits: int = 4


MADE = (
    Made("mlx-community/Qwen3-4B-4bit", 0.2, int(2.26 * GB), 36, 2560),
    Made("mlx-community/Qwen3-4B-8bit", 41, int(4.27 * GB), 36, 2560, bits=8),
    Made("mlx-community/Qwen3-0.6B-4bit", 3, int(0.34 * GB), 28, 1024),
    Made("mlx-community/Llama-3.2-3B-Instruct-4bit", 130, int(1.81 * GB), 28, 3072, "llama"),
    Made("mlx-community/gemma-3-12b-it-4bit", 12, int(6.4 * GB), 48, 3840, "llama"),
)
SENT = 240_000_000
ROOM = 500


class Offered(NamedTuple):
    """A model as the hub tells of it, with its weights' bytes."""

    id: str
    size: int
    bits: int = 4


OFFERED = (
    Offered("mlx-community/Qwen3-8B-4bit", int(4.61 * GB)),
    Offered("mlx-community/Qwen3-8B-8bit", int(8.71 * GB), 8),
    Offered("mlx-community/Qwen3-30B-A3B-4bit", int(17.2 * GB)),
    Offered("mlx-community/Qwen3-235B-A22B-4bit", int(132 * GB)),
)


def environment(root: Path, hub: HubServer) -> dict[str, str]:
    """Lay the cache out and fill the hub; what the app is to be started with."""
    cache = HubCache(root / "hub")
    for made in MADE:
        _lay(cache, made, "1f0a")
    _lay(cache, MADE[0]._replace(days=200), "0c3d", main=False)
    half = cache.incomplete(OFFERED[1].id, 100, age_s=5 * DAY_S)
    _fallow(half, int(1.2 * GB))
    os.utime(half, (time.time() - 5 * DAY_S,) * 2)
    _fill(hub)
    return {"HF_HUB_CACHE": str(cache.root), "HF_HOME": str(root / "hf"), "HF_ENDPOINT": hub.address}


def take(browser: Browser, address: str) -> None:
    """The list with the disk, a model's drawer, the question before deleting, the hub, the jobs, two answers side by side, the trash."""
    with Visit.to(browser, address, SIZE) as visit:
        page = visit.page
        page.get_by_role("tab", name="Models", exact=True).click()
        page.locator("[data-model-row]").first.wait_for()
        shoot(page, "guide-models")
        deleting(page)
        getting(page)
        comparing(page)


def deleting(page: Page) -> None:
    page.get_by_role("button", name="Llama-3.2-3B-Instruct-4bit", exact=True).click()
    page.locator("#drawer-name").wait_for()
    shoot(page, "guide-models-drawer", page.locator(".drawer"), height=640)
    page.keyboard.press("Escape")
    page.locator(".could-go .chip-button", has_text="Duplicates").click()
    page.locator(".pick-bar").wait_for()
    page.locator(".pick-bar").get_by_role("button", name="Delete…").click()
    page.locator("#removal-question").wait_for()
    shoot(page, "guide-models-delete", page.locator("#removal-question"))
    page.locator("#removal-question [data-do=models-remove]").click()
    page.locator("#removal-question").wait_for(state="hidden")
    page.get_by_role("tab", name=re.compile("^Trash")).click()
    page.locator("[data-discarded]").first.wait_for()
    shoot(page, "guide-models-trash", page.locator(".discarded"), height=260)


def getting(page: Page) -> None:
    page.get_by_role("tab", name="Get models").click()
    page.locator("#get-text").fill("qwen3")
    page.keyboard.press("Enter")
    page.locator(".finds .opener").nth(1).click()
    page.locator("#offer-name").wait_for()
    shoot(page, "guide-models-get", height=620)
    page.get_by_role("button", name="Download").click()
    page.locator("#jobs-open").click()
    page.locator(".job-text", has_text="MB of").wait_for()
    shoot(page, "guide-models-jobs", page.locator("#jobs-tray"), height=260)


def comparing(page: Page) -> None:
    page.get_by_role("tab", name="Compare", exact=True).click()
    page.get_by_label("Second model", exact=True).select_option("starter")
    for label, value in (("Temperature, first model", "0"), ("Temperature, second model", "1"), ("Seed, second model", "7")):
        page.get_by_label(label).fill(value)
    page.get_by_label("Prompt for both models").fill("What does top k do?")
    page.keyboard.press("Enter")
    for side in ("left", "right"):
        page.locator(f"#compare-{side} .figures").wait_for(timeout=60_000)
    shoot(page, "guide-models-compare")


def _lay(cache: HubCache, made: Made, revision: str, *, main: bool = True) -> None:
    config = {
        "model_type": made.type,
        "hidden_size": made.width,
        "num_hidden_layers": made.layers,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 40_960,
        "quantization": {"bits": made.bits, "group_size": 64},
    }
    weights = f"model-{revision}.safetensors" if not main else "model.safetensors"
    snapshot = cache.revision(
        made.id, revision, {"config.json": json.dumps(config).encode(), weights: _header(made.size, made.bits)}, main=main
    )
    blob = (snapshot / weights).resolve()
    _fallow(blob, made.size)
    for path in snapshot.iterdir():
        os.utime(path.resolve(), (time.time() - made.days * DAY_S,) * 2)


def _header(size: int, bits: int) -> bytes:
    """The beginning of a safetensors file of so many bytes, which one quantised tensor fills."""
    groups = int((size - ROOM) / (8 * bits + 4)) // 2 * 2
    parts = (("weight", "U32", groups * 2 * bits), ("scales", "BF16", groups), ("biases", "BF16", groups))
    at, tensors = 0, {}
    for name, dtype, count in parts:
        end = at + count * (4 if dtype == "U32" else 2)
        tensors[f"model.layers.0.mlp.up_proj.{name}"] = {"dtype": dtype, "shape": [count], "data_offsets": [at, end]}
        at = end
    text = json.dumps(tensors).encode().ljust(ROOM - 8)
    return struct.pack("<Q", len(text)) + text


def _parameters(size: int, bits: int) -> int:
    return int(size / (bits / 8 + 4 / 64))


def _fallow(path: Path, size: int) -> None:
    """Let a file take so many bytes of the disk, without writing them."""
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, size)


def _fill(hub: HubServer) -> None:
    """Models on the hub: what is told of them are the sizes of real ones, what is sent stops after a while."""
    sent = bytes(SENT)
    for rank, offered in enumerate(OFFERED):
        config = json.dumps({"model_type": "qwen3", "quantization": {"bits": offered.bits, "group_size": 64}}).encode()
        told = {
            "safetensors": {"parameters": {"U32": _parameters(offered.size, offered.bits) * offered.bits // 32}},
            "lastModified": "2026-08-14T10:00:00.000Z",
        }
        files = {"config.json": config, "model.safetensors": sent, "tokenizer.json": b"{}"}
        model = hub.add(offered.id, files, tags=["mlx", "license:apache-2.0"], downloads=90_000 - rank * 17_000, **told)
        model.listing = partial(_sized, offered.size)
    hub.trouble("model.safetensors", stall_after=SENT // 2)


def _sized(size: int, siblings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [_with_size(each, size) if each["rfilename"] == "model.safetensors" else each for each in siblings]


def _with_size(sibling: dict[str, Any], size: int) -> dict[str, Any]:
    return sibling | {"size": size} | ({"lfs": sibling["lfs"] | {"size": size}} if "lfs" in sibling else {})
