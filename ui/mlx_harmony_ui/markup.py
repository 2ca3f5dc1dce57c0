"""Markdown to safe HTML, block by block. Knows nothing of chats; trusts no text.

Raw HTML stays text, links carry no referrer and only lead to http, https and mailto, remote images become links that load nothing
until they are clicked. A block is one top-level element of the text, so that a growing answer redraws its last block only.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from mlx_harmony_ui import formulas

LONGEST_COLOURED = 12_000
_LINK = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
_LINK_ATTRIBUTES = 'target="_blank" rel="noopener noreferrer nofollow"'
_FORMATTER = HtmlFormatter(nowrap=True, classprefix="k-")


class _Renderer(RendererHTML):
    """markdown-it's renderer with links, images and code of our own."""

    def link_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        address = str(tokens[idx].attrs.get("href", ""))
        return f'<a href="{escape(address)}" title="{escape(address)}" {_LINK_ATTRIBUTES}>'

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        token = tokens[idx]
        address = str(token.attrs.get("src", ""))
        said = escape(self.renderInlineAsText(token.children or [], options, env) or "image")
        place = escape(urlsplit(address).hostname or "elsewhere")
        return f'<a class="picture" href="{escape(address)}" {_LINK_ATTRIBUTES}>Open image: {said} <span>({place})</span></a>'

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        words = tokens[idx].info.split()
        return code(tokens[idx].content, words[0] if words else "")

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return code(tokens[idx].content, "")

    def table_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return '<div class="wide" tabindex="0" role="region" aria-label="Table"><table>'

    def table_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return "</table></div>"


class _Markdown(MarkdownIt):
    """CommonMark with tables and strikethrough; raw HTML off; only plain web and mail addresses become links."""

    def __init__(self) -> None:
        super().__init__("commonmark", {"html": False, "breaks": True}, renderer_cls=_Renderer)
        self.enable(["table", "strikethrough"])
        formulas.install(self)

    def validateLink(self, url: str) -> bool:
        return _web_address(url)


def _web_address(url: str) -> bool:
    if not _LINK.match(url):
        return False
    try:
        urlsplit(url)
    except ValueError:
        return False
    return True


_MARKDOWN = _Markdown()


@lru_cache(maxsize=512)
def blocks(text: str) -> tuple[str, ...]:
    """The whole text as HTML, one string per top-level block."""
    return tuple(html for _, html in _parts(text))


class Growing:
    """The HTML of a text that only grows: blocks that can no longer change are kept, the last one is made anew."""

    def __init__(self) -> None:
        self._kept: list[str] = []
        self._from = 0

    def render(self, text: str) -> tuple[str, ...]:
        """All blocks of `text`, which must begin with what was given before."""
        tail = text[self._from :]
        parts = _parts(tail)
        if len(parts) > 1:
            lines = _plain_lines(tail).splitlines(keepends=True)
            self._kept += [html for _, html in parts[:-1]]
            self._from += sum(len(line) for line in lines[: parts[-1][0]])
        return (*self._kept, *(html for _, html in parts[-1:]))


def _parts(text: str) -> list[tuple[int, str]]:
    """(first line, HTML) of each top-level block."""
    found: list[tuple[int, str]] = []
    group: list[Token] = []
    env: EnvType = {}
    for token in _MARKDOWN.parse(_plain_lines(text), env):
        group.append(token)
        if token.level == 0 and token.nesting <= 0:
            first = group[0].map
            found.append((first[0] if first else 0, _MARKDOWN.renderer.render(group, _MARKDOWN.options, env)))
            group = []
    return found


def _plain_lines(text: str) -> str:
    """Python's splitlines knows more line ends than Markdown does; here both see the same lines."""
    return re.sub(r"[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", " ", text)


def code(source: str, language: str) -> str:
    """A block of code with its language, a copy button and colours."""
    name = escape(language[:24]) or "text"
    return (
        f'<figure class="code"><figcaption><span>{name}</span>'
        '<button type="button" data-do="copy-code">Copy</button></figcaption>'
        f'<pre tabindex="0"><code>{_coloured(source, language)}</code></pre></figure>'
    )


def _coloured(source: str, language: str) -> str:
    if not language or len(source) > LONGEST_COLOURED:
        return escape(source)
    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return escape(source)
    return str(highlight(source, lexer, _FORMATTER))
