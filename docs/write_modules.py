"""Writes the tables of modules in docs/architecture.md from the docstrings: `make docs`. The rest of that page is written by hand."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
PACKAGES = (ROOT / "backend" / "mlx_harmony", ROOT / "ui" / "mlx_harmony_ui")
BEGIN, END = "<!-- modules -->", "<!-- end of modules -->"
ROOMS = {
    "shared": "Shared, and the door",
    "conversation": "conversation",
    "prompting": "prompting: prompt configs, placeholders, profiles",
    "models": "models",
    "engine": "engine: the server's side of the wire",
    "worker": "worker: the model's process",
    "bench": "bench: measuring, beside mlx-lm too",
    "api": "api",
    "cli": "cli",
    "ui": "ui",
}
"""The order in which a newcomer reads them; a room that is not named here comes last, under its own name."""


def modules() -> Iterator[tuple[str, str, str]]:
    """Room, path and first sentences of every module."""
    for package in PACKAGES:
        for path in sorted(package.rglob("*.py")):
            name = path.relative_to(package).as_posix()
            if path.name != "__init__.py":
                room = "ui" if package.name == "mlx_harmony_ui" else name.partition("/")[0] if "/" in name else "shared"
                said = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").split("\n\n")[0]
                yield room, name, " ".join(said.split()).replace("|", "\\|")


def tables() -> str:
    """One table a room."""
    rows: dict[str, list[str]] = {room: [] for room in ROOMS}
    for room, name, said in modules():
        rows.setdefault(room, []).append(f"| `{name}` | {said} |")
    return "\n\n".join(f"### {ROOMS.get(room, room)}\n\n| module | owns |\n|---|---|\n" + "\n".join(lines) for room, lines in rows.items())


def main() -> None:
    head, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    tail = rest.partition(END)[2]
    PAGE.write_text(f"{head}{BEGIN}\n\n{tables()}\n\n{END}{tail}", "utf-8")


if __name__ == "__main__":
    main()
