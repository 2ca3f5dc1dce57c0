"""Formulas in answers: which texts are formulas, that they are set, and that no formula can do anything."""

import time

import pytest

from mlx_harmony_ui.growing import Growing
from mlx_harmony_ui.latex import LONGEST, mathml
from mlx_harmony_ui.markup import blocks
from tests.ui.test_markup import elements


def html(text: str) -> str:
    return "".join(blocks(text))


def formulas(text: str) -> list[str]:
    return [str(attributes["title"]) for _, attributes in elements(text) if attributes.get("class") == "formula"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Euler: $e^{i\\pi} = -1$.", ["e^{i\\pi} = -1"]),
        ("$x$, $y$; ($z$)", ["x", "y", "z"]),
        ("$$\\frac{a}{b}$$", ["\\frac{a}{b}"]),
        ("Thus \\(a < b\\) and \\[ c > d \\] hold.", ["a < b", "c > d"]),
        ("So:\n$$\nx\n+ y\n= z\n$$\nand on", ["x\n+ y\n= z"]),
        ("- first\n  \\[\n  a\n  \\]\n- second", ["a"]),
        ("> $$\n> x\n> $$", ["x"]),
        ("| a |\n|---|\n| $x_1$ |", ["x_1"]),
        ("**$n$** and *\\(m\\)*", ["n", "m"]),
    ],
)
def test_formulas_are_found_between_all_four_kinds_of_brackets(text: str, found: list[str]) -> None:
    assert formulas(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "from $5 and $10",
        "between $5-$10",
        "US$5 or US$6",
        "It costs $5 (or 4 US$)",
        "$HOME/bin:$PATH",
        "it is $ 5 $ here",
        "\\$5 and \\$6",
        "`$x$`",
        "run `echo $HOME` and `echo $PATH`",
        "```\n$x$\n\\[y\\]\n```",
        "    $$\n    x\n    $$",
        "$$$$ and $ $",
    ],
)
def test_prices_variables_and_code_are_no_formulas(text: str) -> None:
    assert "<math" not in html(text)


@pytest.mark.parametrize("text", ["an open $$ x", "$$\nx *y* z", "\\[ a_1 *b* c", "\\( a", "so \\(a*b*c"])
def test_an_unclosed_formula_stays_as_typed(text: str) -> None:
    shown = html(text).replace("<br>", "")
    assert text in shown and "<em>" not in shown


def test_a_blank_line_ends_what_was_never_closed() -> None:
    assert html("$$\na\n\n**b**").endswith("<p><strong>b</strong></p>\n")


@pytest.mark.parametrize(
    "source",
    [
        "\\href{https://trap.invalid}{x}",
        "\\includegraphics{https://trap.invalid/a.png}",
        "\\style{background:url(x)}{y}",
        "\\class{menu}{y}",
        "\\htmlData{do=remove}{y}",
        "\\def\\x{\\x\\x}\\x",
        "\\newcommand{\\a}{\\a\\a}\\a",
        "\\unknown{x}",
        "\\frac{a}",
        "{" * 60 + "x" + "}" * 60,
        "x" * (LONGEST + 1),
        "\\left( x",
        "a & b",
        "x % y",
    ],
)
def test_what_cannot_be_set_stays_as_typed(source: str) -> None:
    assert mathml(source, True) == ""
    assert "<math" not in html(f"$${source}$$")
    assert html(f"$${source}$$").count("$$") == 2


@pytest.mark.parametrize(
    "source", ["{" * 1900, "\\sqrt" * 700 + "x", "x^{" * 900, "&" * 3900, "\\text{" * 600, "a_1^2" * 700, "\\left(" * 600, "'" * 3900]
)
def test_a_formula_made_to_hurt_costs_little(source: str) -> None:
    began = time.perf_counter()
    mathml(source, True)
    assert time.perf_counter() - began < 2


def test_letters_of_a_formula_are_only_letters() -> None:
    drawn = mathml('\\text{<img src=x onerror=y>&#x3c;b>} < "x"', False)
    assert "<img" not in drawn and "<b>" not in drawn
    assert "&lt;img src=x onerror=y&gt;&lt;b&gt;".replace(" ", "\xa0") in drawn


def test_the_source_goes_with_the_formula_for_those_who_cannot_see_it() -> None:
    assert 'alttext="a &lt; &quot;b&quot;"' in mathml('a < "b"', False)


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ("\\begin{aligned}a&=b\\\\c&=d\\end{aligned}", 'class="joined"'),
        ("a\\\\b", "<mtable>"),
        ("\\boxed{5}", 'class="boxed"'),
        ("\\mathbb{RN}", "<mi>ℝ</mi><mi>ℕ</mi>"),
        ("\\lim_{x\\to 0} f", "<munder><mo>lim</mo>"),
        ("\\left[\\begin{array}{c|c}1&2\\end{array}\\right]", 'class="line-right"'),
        ("\\hspace{9999em}x", "<mspace></mspace>"),
    ],
)
def test_what_browsers_lost_of_mathml_is_said_in_other_ways(source: str, holds: str) -> None:
    assert holds in mathml(source, True)


@pytest.mark.parametrize(
    "text",
    [
        "So:\n$$\nx\n- y\n$$\nnext\n\n$$ a $$\n\n\\[ b \\] and\n# head",
        "$$\nx $$ and more\n\n$$ $$\n# head\n\n\\[\nopen\n\nrest *here*",
        "costs $5, $x$ and \\(y\n\n$$z$$ is nice\n1) \\[q\\]",
    ],
)
def test_a_growing_text_with_formulas_ends_as_the_whole_text(text: str) -> None:
    growing = Growing()
    for end in range(len(text) + 1):
        shown = growing.render(text[:end])
    assert shown == blocks(text)
