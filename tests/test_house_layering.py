"""The arrows of the house: who may import whom. Reads the imports, runs nothing."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BACKEND = ROOT / "backend" / "mlx_harmony"
UI = ROOT / "ui" / "mlx_harmony_ui"

SHARED = {"cache_reasons", "cache_records", "records", "events", "errors", "settings", "context", "field", "kv_ranges", "ranges"}
SHARED |= {"__version__"}
"""What every room may use; these know each other only."""

ARROWS: dict[str, set[str]] = {
    "engine": {"shelf"},
    "worker": {"engine.wire", "engine.protocols", "models.kind", "models.memory", "models.anatomy", "models.forecast", "shelf"},
    "models": {"jobs.records"},
    "jobs": set(),
    "getting": {"jobs", "models"},
    "shelf": set(),
    "prompting": set(),
    "conversation": {"engine.protocols", "models", "prompting"},
    "caches": {"engine.protocols", "reading", "shelf"},
    "reading": {"shelf.bundle"},
    "cleaning": {"engine.protocols", "models"},
    "comparing": {"conversation"},
    "routing": {"conversation.records", "engine.protocols", "models.info", "prompting.reading", "prompting.records"},
    "library": {"conversation.beginning", "conversation.records", "models", "prompting", "routing.aliases", "routing.records"},
    "service": {"caches", "cleaning", "comparing", "getting", "jobs", "library", "conversation", "engine", "models", "prompting", "shelf"}
    | {"routing.door"},
    "bench": {"engine"},
    "api": {"service", "conversation.records", "conversation.single", "reading", "engine.protocols", "models.filtering", "models.info"}
    | {"conversation.profiled", "routing.door", "routing.listing"},
    "cli": {"service", "library", "jobs", "api", "bench", "models", "conversation", "prompting", "reading", "shelf"}
    | {"routing", "engine.counting", "worker.inprocess", "worker.raw_prompt"},
    "__main__": {"cli"},
    "ui": {"service", "conversation.records", "conversation.commands", "engine.protocols", "prompting.adding"}
    | {"models.filtering", "models.holdings", "models.info", "models.outlook", "models.removal", "models.trash"}
    | {"comparing", "getting", "jobs.records", "models.hub.fit", "models.hub.offers", "routing.choosing", "routing.records"},
}
"""What each room may import beside the shared modules and itself: a room, or one module of it. Arrows never point back."""

HEAVY = {
    "mlx": {"worker", "convert"},
    "mlx_lm": {"worker", "convert"},
    "transformers": {"worker", "convert"},
    "tokenizers": {"worker", "convert"},
    "openai_harmony": {"worker"},
    "splintr": {"worker"},
    "gradio": {"ui"},
    "fastapi": {"api"},
    "mlx_harmony_ui": {"ui"},
}
"""Packages that only these rooms may import."""


def sources() -> Iterator[tuple[str, Path]]:
    """Every product file with the room it stands in."""
    for path in sorted(BACKEND.rglob("*.py")):
        first = path.relative_to(BACKEND).parts[0]
        yield first.removesuffix(".py"), path
    for path in sorted(UI.rglob("*.py")):
        yield "ui", path


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of each absolute import, `from a import b` as `a.b`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, name.name) for name in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from ((node.lineno, f"{module}.{name.name}") for name in names)
            case ast.ImportFrom(level=level) if level:
                yield node.lineno, "relative import"


def within(name: str, homes: set[str]) -> bool:
    return any(name == home or name.startswith(f"{home}.") for home in homes)


def broken_arrows() -> list[str]:
    broken = []
    for room, path in sources():
        allowed = SHARED | ARROWS.get(room, set()) | ({room} if room not in SHARED else set())
        for line, name in imports(path):
            package, _, rest = name.partition(".")
            inward = package == "mlx_harmony" and room != "__init__"
            bad = name == "relative import" or (package in HEAVY and room not in HEAVY[package]) or (inward and not within(rest, allowed))
            if bad:
                broken.append(f"{path.relative_to(ROOT)}:{line} ({room}) imports {name}")
    return broken


def test_arrows_never_point_back() -> None:
    assert broken_arrows() == []


def test_every_room_has_its_arrows() -> None:
    rooms = {room for room, _ in sources()} - SHARED - {"__init__"}
    assert rooms <= set(ARROWS), "a new room says here what it may import"


@pytest.mark.parametrize("line", ["import mlx.core as mx", "from mlx_harmony.service import Service", "from gradio import Blocks"])
def test_a_wrong_arrow_is_seen(line: str, tmp_path: Path) -> None:
    file = tmp_path / "wrong.py"
    file.write_text(line)
    (found,) = [name for _, name in imports(file)]
    package, _, rest = found.partition(".")
    assert "engine" not in HEAVY.get(package, set())
    assert not within(rest, SHARED | ARROWS["engine"])
