"""Code as HTML: its colours, its language and a copy button. Long code comes in pieces, and growing code redraws its last one only.

Knows nothing of Markdown; trusts no text.
"""

from collections.abc import Iterator
from functools import lru_cache
from html import escape

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

LONGEST_WHOLE = 12_000
"""Characters that are coloured in one go; what is longer is coloured piece by piece, each as if it stood alone."""
LONGEST_COLOURED = 40_000
"""Characters after which code stays plain."""
PIECE_LINES = 16
LONGEST_PIECE = 40
_FORMATTER = HtmlFormatter(nowrap=True, classprefix="k-")


def code(source: str, language: str) -> str:
    """A finished block of code; a long one in the pieces it has grown by, so that nothing of it is drawn anew at its end."""
    if len(source) > LONGEST_WHOLE:
        return GrowingCode(language).render(source)
    return f'<figure class="code">{_caption(language)}<pre tabindex="0"><code>{_coloured(source, language)}</code></pre></figure>'


class GrowingCode:
    """A block of code that is still being written: pieces that can no longer change are kept."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._kept: list[str] = []
        self._from = 0

    def render(self, source: str) -> str:
        """The code so far, which must begin with what was given before. Its parts carry keys, so that the page draws only the new."""
        *whole, last = pieces(source[self._from :])
        for piece in whole:
            self._kept.append(self._drawn(len(self._kept), self._from, piece))
            self._from += len(piece)
        body = "".join((*self._kept, self._drawn(len(self._kept), self._from, last)))
        caption = _caption(self._language, ' data-key="h"')
        pre = f'<pre tabindex="0" data-key="p"><code data-key="c">{body}</code></pre>'
        return f'<figure class="code" data-key="f">{caption}{pre}</figure>'

    def _drawn(self, number: int, start: int, piece: str) -> str:
        lines = piece.count("\n") + (not piece.endswith("\n"))
        return f'<span data-key="l{number}" style="--lines:{lines}"><!--[c-->{_piece(start, piece, self._language)}<!--c]--></span>'


def pieces(source: str) -> Iterator[str]:
    """The code cut where each piece colours well alone: before a line at the margin that follows a blank one, else where it gets long.

    Where it is cut depends only on what stands before, so that more code changes the last piece only.
    """
    piece: list[str] = []
    for line in source.split("\n"):
        at_margin = line[:1].strip() and piece and not piece[-1].strip()
        if line and len(piece) >= (PIECE_LINES if at_margin else LONGEST_PIECE):
            yield "".join(f"{each}\n" for each in piece)
            piece = []
        piece.append(line)
    yield "\n".join(piece)


def _caption(language: str, key: str = "") -> str:
    name = escape(language[:24]) or "text"
    return f'<figcaption{key}><span>{name}</span><button type="button" data-do="copy-code">Copy</button></figcaption>'


def _piece(start: int, source: str, language: str) -> str:
    return _coloured(source, language) if start + len(source) <= LONGEST_COLOURED else escape(source)


@lru_cache(maxsize=1024)
def _coloured(source: str, language: str) -> str:
    if not language:
        return escape(source)
    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return escape(source)
    html = str(highlight(source, lexer, _FORMATTER))
    return html if source.endswith("\n") else html.removesuffix("\n")
