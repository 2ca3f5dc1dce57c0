"""Code as HTML: whole however long it is, in pieces that do not change while more code comes."""

import re
from html import unescape

import pytest

from mlx_harmony_ui.codeblock import LONGEST_COLOURED, LONGEST_PIECE, LONGEST_WHOLE, GrowingCode, code, pieces
from mlx_harmony_ui.theme import head

FUNCTIONS = "def f():\n    return 1\n\n"


def text_of(html: str) -> str:
    body = html.partition("<code")[2].partition(">")[2].partition("</code>")[0]
    return unescape(re.sub(r"<[^>]*>", "", body))


@pytest.mark.parametrize("lines", [0, 1, 50, 3000])
def test_code_is_shown_whole_and_as_it_was_written(lines: int) -> None:
    source = "x = '<b>' # & \"\n" * lines + "  end"
    assert text_of(code(source, "python")) == source


def test_very_long_code_is_coloured_in_its_beginning_only() -> None:
    html = code("x = 1\n" * LONGEST_COLOURED, "python")
    assert html.count("x</span>") > LONGEST_WHOLE / 6
    assert html.endswith("x = 1\nx = 1\n<!--c]--></span></code></pre></figure>")


def test_long_code_ends_as_it_has_grown() -> None:
    growing, source = GrowingCode("python"), FUNCTIONS * 700
    for end in range(0, len(source), 4000):
        growing.render(source[:end])
    assert len(source) > LONGEST_WHOLE and code(source, "python") == growing.render(source)


def test_code_is_cut_before_a_line_at_the_margin() -> None:
    cut = list(pieces(FUNCTIONS * 40))
    assert "".join(cut) == FUNCTIONS * 40
    assert len(cut) > 4
    assert all(piece.startswith("def") for piece in cut)


def test_code_without_blank_lines_is_cut_too() -> None:
    assert all(piece.count("\n") <= LONGEST_PIECE for piece in pieces("    x = 1\n" * 500))


def test_growing_code_changes_its_last_piece_only() -> None:
    growing = GrowingCode("python")
    source = FUNCTIONS * 60
    spans: list[str] = []
    for end in range(0, len(source), 5):
        now = re.findall(r"<!--\[c-->(.*?)<!--c\]-->", growing.render(source[:end]), re.DOTALL)
        assert now[: len(spans) - 1] == spans[:-1]
        spans = now
    assert len(spans) > 6
    assert text_of(growing.render(source)) == source


def test_a_new_piece_of_growing_code_has_no_other_laid_out_again() -> None:
    assert '<code data-key="c"><span data-key="l0" style="--lines:2">' in GrowingCode("python").render("x = 1\ny = 2\n")
    assert '<span data-key="l0" style="--lines:3">' in GrowingCode("python").render("x = 1\ny = 2\nz")
    assert ".code code > [data-key] { display: block; width: max-content; min-width: 100%; content-visibility: auto;" in head()


def test_a_language_nobody_knows_is_shown_plain_and_named() -> None:
    html = code("a < b", "klingon<script>")
    assert "klingon&lt;script&gt;" in html
    assert text_of(html) == "a < b"
