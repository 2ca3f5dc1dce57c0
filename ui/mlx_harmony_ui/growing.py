"""The HTML of a text that only grows: what can no longer change is kept, the last block is made anew. Knows no turn and no page.

What is drawn while a text grows is what `markup.blocks` makes of the whole, but for code that is not closed yet.
"""

import re

from mlx_harmony_ui.codeblock import GrowingCode
from mlx_harmony_ui.markup import parts, plain_lines

_OPENING = re.compile(r"( {0,3})(`{3,}(?=[^`\n]*\n)|~{3,})([^\n]*)\n")
_LINE_END = re.compile(r"\r\n?")
# The beginning of a line that may yet become the next item of the list above it.
_UNDECIDED = re.compile(r"\s*(?:\d{1,9}[.)]?|[-+*_ ]*)\s*")


class Growing:
    """One growing text; `render` is given all of it each time, and what was there before must not change."""

    def __init__(self) -> None:
        self._kept: list[str] = []
        self._from = 0
        self._fence: _Fence | None = None
        self._text = ""
        self._shown: tuple[str, ...] = ()

    def render(self, text: str) -> tuple[str, ...]:
        """The HTML of all blocks of the text."""
        if text == self._text:
            return self._shown
        self._text = text
        tail = plain_lines(_LINE_END.sub("\n", text) if "\r" in text else text)[self._from :]
        if self._fence and self._fence.is_open(tail):
            self._shown = (*self._kept, self._fence.render(tail))
        else:
            self._shown = self._drawn(tail)
        return self._shown

    def _drawn(self, tail: str) -> tuple[str, ...]:
        """All blocks; those that stay as they are, are kept, and what comes after is begun with next time."""
        self._fence = None
        found = parts(tail)
        lines = tail.splitlines(keepends=True)
        starts = [sum(len(line) for line in lines[:first]) for first, _ in found]
        settled = len(found) - 1
        if settled > 0 and _UNDECIDED.fullmatch(tail, starts[settled]):
            settled -= 1
        shown = (*self._kept, *(html for _, html in found))
        if settled > 0:
            self._kept += [html for _, html in found[:settled]]
            self._from += starts[settled]
        if settled >= 0 and settled == len(found) - 1:
            last = tail[starts[settled] :]
            self._fence = _Fence.at(last)
            if self._fence:
                self._from += starts[settled] if settled == 0 else 0
                # In pieces from the first, so that the next one does not have all of it drawn anew.
                shown = (*shown[:-1], self._fence.render(last))
        return shown


class _Fence:
    """A block of code that is not closed yet, from its opening line on."""

    def __init__(self, opening: re.Match[str]) -> None:
        indent, fence, info = opening.groups()
        words = info.split()
        self._source_from = opening.end()
        self._margin = re.compile(rf"^ {{1,{len(indent)}}}", re.MULTILINE) if indent else None
        self._closing = re.compile(rf"^ {{0,3}}{fence[0]}{{{len(fence)},}}[ \t]*$", re.MULTILINE)
        self._looked = opening.end()
        self._code = GrowingCode(words[0] if words else "")

    @classmethod
    def at(cls, tail: str) -> "_Fence | None":
        """The block that begins here, if it is code and still open."""
        opening = _OPENING.match(tail)
        fence = cls(opening) if opening else None
        return fence if fence and fence.is_open(tail) else None

    def is_open(self, tail: str) -> bool:
        if self._closing.search(tail, self._looked):
            return False
        self._looked = max(self._looked, tail.rfind("\n") + 1)
        return True

    def render(self, tail: str) -> str:
        source = tail[self._source_from :]
        return self._code.render(self._margin.sub("", source) if self._margin else source)
