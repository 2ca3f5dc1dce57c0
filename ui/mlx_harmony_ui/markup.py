"""Markdown to safe HTML, block by block. Knows nothing of chats; trusts no text.

Raw HTML stays text, links carry no referrer and only lead to http, https and mailto, remote images become links that load nothing
until they are clicked. A block is one top-level element of the text.
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

from mlx_harmony_ui import formulas
from mlx_harmony_ui.codeblock import code

_LINK = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
_LINK_ATTRIBUTES = 'target="_blank" rel="noopener noreferrer nofollow"'


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
    return tuple(html for _, html in parts(text))


def parts(text: str) -> list[tuple[int, str]]:
    """(first line, HTML) of each top-level block."""
    found: list[tuple[int, str]] = []
    group: list[Token] = []
    env: EnvType = {}
    for token in _MARKDOWN.parse(plain_lines(text), env):
        group.append(token)
        if token.level == 0 and token.nesting <= 0:
            first = group[0].map
            found.append((first[0] if first else 0, _MARKDOWN.renderer.render(group, _MARKDOWN.options, env)))
            group = []
    return found


def plain_lines(text: str) -> str:
    """Python's splitlines knows more line ends than Markdown does; here both see the same lines."""
    return re.sub(r"[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", " ", text)
