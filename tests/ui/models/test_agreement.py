"""The Models tab and the terminal agree row by row: the same models in the same order, with the same figures, in words or as numbers."""

import html
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from mlx_harmony.cli.main import main
from mlx_harmony.models import outlook
from mlx_harmony.service import Service
from mlx_harmony.settings import load_settings
from mlx_harmony_ui import listing, words
from mlx_harmony_ui.tabs.models import Models
from tests.fixtures.hub_cache import build
from tests.fixtures.provider import ScriptedProvider

ROW = re.compile(r'<tr data-key="[^"]*" data-model-row="([^"]*)".*?</tr>', re.DOTALL)
CELL = re.compile(r'<td data-label="(\w+)"[^>]*>(.*?)</td>', re.DOTALL)
TAG = re.compile(r"<span class=\"small fit.*?</span>|<[^>]*>", re.DOTALL)


@pytest.fixture
async def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    """FX4, with two revisions that share their weights, and an alias."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "aliases.json").write_text('{"pair": {"models": ["org/A", "starter"]}}')
    monkeypatch.setenv("MLX_HARMONY_HOME", str(home))
    monkeypatch.setenv("HF_HUB_CACHE", str(build(tmp_path / "hub").root))
    # Both ask how much is free, one after the other.
    monkeypatch.setattr(outlook, "available_bytes", lambda: 10**10)
    opened = await Service.open(load_settings(), ScriptedProvider())
    yield opened
    await opened.close()


async def in_the_tab(service: Service, **wanted: object) -> dict[str, dict[str, str]]:
    """The cells of each row, by their heads; `all` is everything that stands in it."""
    drawn, _ = await Models(service).look(gr.EventData(None, {"wanted": wanted}))
    rows = {}
    for found in ROW.finditer(str(drawn)):
        cells = {name: html.unescape(TAG.sub("", cell)).strip() for name, cell in CELL.findall(found[0])}
        rows[html.unescape(found[1])] = cells | {"all": html.unescape(TAG.sub(" ", found[0]))}
    return rows


def in_the_terminal(capsys: pytest.CaptureFixture[str], *asked: str) -> list[dict[str, Any]]:
    assert main(["models", "list", *asked, "--json"]) == 0
    return [row for row in json.loads(capsys.readouterr().out) if row["source"] != "alias"]


def needed(forecast: dict[str, int]) -> int:
    return forecast["weights"] + forecast["kv"] + forecast["working"]


@pytest.mark.parametrize(
    ("wanted", "flags"),
    [
        ({}, ()),
        ({"text": "org/*"}, ("org/*",)),
        ({"text": "b"}, ("b",)),
        ({"format": "harmony"}, ("--format", "harmony")),
        *(({"sort": name}, ("--sort", name)) for name in ("id", "size", "bits", "context", "used", "format")),
        ({"sort": "size", "reverse": True}, ("--sort", "size", "--reverse")),
        ({"text": "nothing so called"}, ("nothing so called",)),
    ],
    ids=str,
)
async def test_row_by_row(wanted: dict[str, Any], flags: tuple[str, ...], service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    tab, terminal = await in_the_tab(service, **wanted), in_the_terminal(capsys, *flags)
    assert list(tab) == [row["id"] for row in terminal]
    for row in terminal:
        shown = tab[row["id"]]
        assert shown["Size"] == words.size(row["bytes"])
        assert shown["Bits"] == str(row["bits"] or "—")
        assert shown["Kind"] == listing.FORMATS[row["format"]]
        assert shown["Memory"] == (words.size(needed(row["memory"]["forecast"])) if row["memory"] else "—")
        assert (row["problem"] or row["lacks"]) in shown["all"]
        assert row["architecture"] in shown["all"]
