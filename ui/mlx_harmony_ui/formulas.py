"""Where formulas stand in a Markdown text: `$…$`, `$$…$$`, `\\(…\\)` and `\\[…\\]`. What one means is `latex`'s business.

Knows no chat. A formula that is not closed yet, or that cannot be set, stays as it was typed. Prices are no formulas, code never holds one.
Where a block begins and ends depends on whole lines alone, so that a growing text never takes back a block it has drawn.
"""

import re
from collections.abc import Sequence
from html import escape

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererProtocol
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from mlx_harmony_ui.latex import mathml

_CLOSERS = {"$$": "$$", "\\[": "\\]", "\\(": "\\)"}
_SIGNS = frozenset("\\^_{}=+<>")
_SPOKEN = re.compile(r"[^\W\d_]{2,}")


def install(markdown: MarkdownIt) -> None:
    """Teach a Markdown parser formulas."""
    markdown.block.ruler.before("fence", "formula", _block, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    markdown.inline.ruler.before("escape", "formula", _inline)
    markdown.add_render_rule("formula", _drawn)
    markdown.add_render_rule("as_typed", _as_typed)


def _block(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    """A formula on lines of its own, or the beginning of one, up to the next blank line."""
    line = _line(state, first)
    opener, inside = line[:2], line[2:]
    closer = _CLOSERS.get(opener, "")
    if opener not in ("$$", "\\[") or state.is_code_block(first):
        return False
    if closer in inside and (not inside.endswith(closer) or not inside[:-2].strip() or closer in inside[:-2]):
        return False
    if silent:
        # The last line of a growing text may still go on: it interrupts nothing.
        return first + 1 < state.lineMax
    text = "\n".join(_lines(state, first, last, closer))
    state.line = first + text.count("\n") + 1
    inside, closed, after = text[2:].partition(closer)
    if not closed:
        _place(state, "as_typed", text, first)
    elif after or not inside.strip():
        state.push("paragraph_open", "p", 1).map = [first, state.line]
        _place(state, "inline", text, first).children = []
        state.push("paragraph_close", "p", -1)
    else:
        _place(state, "formula", inside, first).info = opener
    return True


def _lines(state: StateBlock, first: int, last: int, closer: str) -> list[str]:
    """The lines up to the one that holds the closer; without one, up to a blank line."""
    lines = [_line(state, first)]
    if closer in lines[0][2:]:
        return lines
    for at in range(first + 1, last):
        line = _line(state, at)
        if not line or state.sCount[at] < state.blkIndent:
            break
        lines.append(line)
        if closer in line:
            break
    return lines


def _line(state: StateBlock, at: int) -> str:
    return state.src[state.bMarks[at] + state.tShift[at] : state.eMarks[at]].rstrip()


def _place(state: StateBlock, kind: str, content: str, first: int) -> Token:
    token = state.push(kind, "", 0)
    token.content, token.block, token.map = content, True, [first, state.line]
    return token


def _inline(state: StateInline, silent: bool) -> bool:
    """A formula within a line of text."""
    opener = state.src[state.pos : state.pos + 2]
    if opener in _CLOSERS:
        return _bracketed(state, opener, silent)
    if opener in ("\\)", "\\]"):
        if not silent:
            state.pending += opener
        state.pos += 2
        return True
    if not opener.startswith("$"):
        return False
    end = _closing_dollar(state.src, state.pos + 1, state.posMax)
    if end < 0 or (state.pos and state.src[state.pos - 1].isalnum()):
        return False
    if not silent:
        _push(state, "$", state.src[state.pos + 1 : end])
    state.pos = end + 1
    return True


def _bracketed(state: StateInline, opener: str, silent: bool) -> bool:
    """A formula between brackets or double dollars; without an end, all that follows is still being written."""
    start = state.pos + 2
    end = state.src.find(_CLOSERS[opener], start, state.posMax)
    if opener == "$$" and (end < 0 or not state.src[start:end].strip()):
        if not silent:
            state.pending += opener
        state.pos = start
        return True
    if not silent and end < 0:
        state.pending += state.src[state.pos : state.posMax]
    elif not silent:
        _push(state, opener, state.src[start:end])
    state.pos = end + 2 if end >= 0 else state.posMax
    return True


def _closing_dollar(text: str, start: int, limit: int) -> int:
    """The place of the dollar that ends a formula begun just before `start`; -1 where the first one was none, as in a price."""
    end = text.find("$", start, limit)
    while end > 0 and text[end - 1] == "\\":
        end = text.find("$", end + 1, limit)
    inside = text[start:end] if end > start else ""
    if not inside or inside[0].isspace() or inside[-1].isspace() or "\n" in inside or "`" in inside:
        return -1
    if text[end + 1 : end + 2].isalnum():
        return -1
    spoken = " " in inside and not _SIGNS & set(inside) and _SPOKEN.search(inside)
    return -1 if spoken else end


def _push(state: StateInline, opener: str, content: str) -> None:
    token = state.push("formula", "", 0)
    token.content, token.info = content, opener


def _drawn(self: RendererProtocol, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    token = tokens[at]
    opener, source = token.info, token.content.strip()
    typed = escape(opener + token.content + _CLOSERS.get(opener, opener))
    displayed = opener in ("$$", "\\[")
    drawn = mathml(source, displayed)
    if not drawn:
        return f"<p>{_broken(typed)}</p>" if token.block else _broken(typed)
    if token.block:
        return f'<div class="formula" tabindex="0" title="{escape(source)}">{drawn}</div>'
    reached = ' tabindex="0"' if displayed else ""
    return f'<span class="formula"{reached} title="{escape(source)}">{drawn}</span>'


def _as_typed(self: RendererProtocol, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    return f"<p>{_broken(escape(tokens[at].content))}</p>"


def _broken(typed: str) -> str:
    """Typed lines as lines."""
    return typed.replace("\n", "<br>\n")
