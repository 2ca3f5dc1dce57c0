"""Markdown to safe HTML: what a model says may look like anything and do nothing."""

from html.parser import HTMLParser

import pytest

from mlx_harmony_ui.markup import blocks
from tests.ui.hostile import SNIPPETS

ALLOWED = {
    *("a", "blockquote", "br", "button", "code", "del", "div", "em", "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6"),
    *("hr", "li", "ol", "p", "pre", "s", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"),
    *("math", "mi", "mn", "mo", "mrow", "msub", "msup", "mtext"),
}
ATTRIBUTES = {
    "aria-label",
    "class",
    "data-do",
    "display",
    "alttext",
    "href",
    "mathvariant",
    "rel",
    "role",
    "start",
    "style",
    "tabindex",
    "target",
    "title",
    "type",
}


class Elements(HTMLParser):
    """Every element and attribute a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def elements(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Elements()
    parser.feed("".join(blocks(text)))
    return parser.found


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_hostile_text_makes_only_harmless_elements(snippet: str) -> None:
    for tag, attributes in elements(snippet):
        assert tag in ALLOWED
        assert set(attributes) <= ATTRIBUTES
        assert (attributes.get("data-do") or "copy-code") == "copy-code"
        assert (attributes.get("href") or "https:").startswith(("http://", "https:", "mailto:"))
        assert (attributes.get("style") or "text-align:").startswith("text-align:")


def test_a_remote_image_becomes_a_link_that_names_its_host() -> None:
    html = "".join(blocks("![a cat](https://pictures.example/cat.png)"))
    assert "<img" not in html
    assert "a cat" in html
    assert "pictures.example" in html
    assert 'rel="noopener noreferrer nofollow"' in html


def test_markdown_is_set() -> None:
    html = "".join(blocks("# Title\n\n- one\n- **two**\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n~~gone~~"))
    for element in ("<h1>", "<ul>", "<strong>", "<table>", "<s>"):
        assert element in html


def test_code_is_coloured_and_names_its_language() -> None:
    html = "".join(blocks("```python\ndef f(): return 1\n```"))
    assert '<span class="k-k">def</span>' in html
    assert "<span>python</span>" in html
