"""The documents keep pace: links lead somewhere, every module, error and roadmap row has its place, and named tests exist."""

import re
from pathlib import Path

import pytest

from mlx_harmony.api.errors import ANSWERS, HTTP_CODES
from mlx_harmony.cli.main import COMMANDS
from mlx_harmony.errors import ERRORS
from tests.test_house_layering import ARROWS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md")), *sorted((ROOT / ".github").rglob("*.md"))]
ROWS = [*(f"R{number:03}" for number in range(1, 237)), *(f"N{number}" for number in range(1, 9))]
STATES = {"done", "partly", "planned"}

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?)\s*$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    text = FENCE.sub("", page.read_text("utf-8"))
    plain = (re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in HEADING.findall(text))
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", heading)) for heading in plain}


def roadmap() -> dict[str, tuple[str, str]]:
    """State and proof of each row."""
    rows = {}
    for line in (DOCS / "roadmap.md").read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and re.fullmatch(r"R\d{3}|N\d", cells[0]):
            assert cells[0] not in rows, f"{cells[0]} stands there twice"
            rows[cells[0]] = (cells[2], cells[3])
    return rows


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_every_error_has_a_section_in_troubleshooting() -> None:
    codes = {*ERRORS, *(answer.code for answer in ANSWERS.values()), *(code for _, code in HTTP_CODES.values())}
    assert codes - anchors(DOCS / "troubleshooting.md") == set()


def test_every_room_stands_in_both_drawings_of_the_architecture() -> None:
    text = (DOCS / "architecture.md").read_text("utf-8")
    drawings = FENCE.findall(text[: text.index("## The life of one request")])
    assert len(drawings) == 2
    for drawing in drawings:
        assert set(ARROWS) - {"__main__"} - set(re.findall(r"\w+", drawing)) == set()


def test_every_module_stands_in_the_architecture_page() -> None:
    text = (DOCS / "architecture.md").read_text("utf-8")
    modules = [
        path.relative_to(root).as_posix()
        for root in (ROOT / "backend" / "mlx_harmony", ROOT / "ui" / "mlx_harmony_ui")
        for path in sorted(root.rglob("*.py"))
        if path.name != "__init__.py"
    ]
    assert [module for module in modules if f"`{module}`" not in text] == []


def test_the_architecture_page_names_no_module_that_is_gone() -> None:
    named = re.findall(r"^\| `([\w/]+\.py)` \|", (DOCS / "architecture.md").read_text("utf-8"), re.MULTILINE)
    homes = (ROOT / "backend" / "mlx_harmony", ROOT / "ui" / "mlx_harmony_ui")
    assert [name for name in named if not any((home / name).is_file() for home in homes)] == []


def test_every_row_of_the_roadmap_has_a_state() -> None:
    table = roadmap()
    assert sorted(table) == sorted(ROWS)
    assert {state for state, _ in table.values()} <= STATES


def test_what_is_done_names_a_test_that_exists() -> None:
    unproved = [row for row, (state, proof) in roadmap().items() if state != "planned" and "`tests/" not in proof and "`.ci/" not in proof]
    assert unproved == []
    named = {name for _, proof in roadmap().values() for name in re.findall(r"`([\w./-]+)`", proof)}
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_command_has_a_section_in_the_terminal_guide() -> None:
    assert set(COMMANDS) - anchors(DOCS / "guides" / "terminal.md") == set()


def test_the_readme_opens_with_the_two_commands() -> None:
    opening = (ROOT / "README.md").read_text("utf-8")[:1200]
    assert "make run" in opening and "make test" in opening


def test_the_changelog_knows_this_version() -> None:
    from importlib.metadata import version

    assert f"## [{version('mlx-harmony')}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
