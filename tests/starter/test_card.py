"""The card says what the benchmarks say: one table, in both, row by row."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def rows(file: str, heading: str) -> list[str]:
    """The first table under a heading."""
    text = (ROOT / file).read_text(encoding="utf-8")
    lines = text.partition(f"\n{heading}\n")[2].splitlines()
    first = next(at for at, line in enumerate(lines) if line.startswith("|"))
    end = next(at for at, line in enumerate([*lines[first:], ""]) if not line.startswith("|"))
    return lines[first : first + end]


def test_the_cards_figures_are_those_of_the_benchmarks() -> None:
    measured = rows("docs/benchmarks.md", "## The Starter")
    assert len(measured) > 20
    assert rows("assets/starter/README.md", "## Figures") == measured, "copy the table of the benchmarks into the card"
