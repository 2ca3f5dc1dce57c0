"""A LaTeX formula as MathML that is safe to show, or nothing. Knows no Markdown; trusts no formula.

latex2mathml reads the formula into a tree of elements. Only what is listed here leaves that tree: no address, no style, no colour, no text
that is not escaped. A formula that is too long, too deep, defines macros or holds a command nobody knows is not set at all.
"""

import re
from functools import lru_cache
from html import escape
from xml.etree.ElementTree import Element

from latex2mathml import exceptions
from latex2mathml.converter import Converter
from latex2mathml.symbols_parser import convert_symbol

LONGEST = 4000
DEEPEST = 48
MOST_ELEMENTS = 3000

_REFUSED = re.compile(
    r"\\(?:(?:re)?newcommand|newenvironment|def|let|DeclareMathOperator|verb|href|url|style|class|unicode)(?![A-Za-z])|(?<!\\)%"
)
_ENVIRONMENT = re.compile(r"\\(begin|end)\s*\{(\w+\*?)\}")
_NOT = re.compile(r"\\not\s*(=|\\in(?![A-Za-z]))")
_SAME_AS = {"aligned": "align*", "gather": "matrix", "gather*": "matrix", "gathered": "matrix", "dcases": "cases", "equation*": "equation"}
_FAULTS: tuple[type[Exception], ...] = (
    *(each for each in vars(exceptions).values() if isinstance(each, type)),
    *(AttributeError, LookupError, RecursionError, StopIteration, TypeError, ValueError),
)
_TAGS = frozenset(
    (
        *("math", "mrow", "mi", "mn", "mo", "ms", "mtext", "mspace", "mstyle", "mpadded", "mphantom", "menclose"),
        *("msup", "msub", "msubsup", "mfrac", "msqrt", "mroot", "mover", "munder", "munderover", "mtable", "mtr", "mtd"),
    )
)
_PARTS = {"mfrac": 2, "mroot": 2, "msup": 2, "msub": 2, "mover": 2, "munder": 2, "msubsup": 3, "munderover": 3}
_WORDS = frozenset(("true", "false", "prefix", "infix", "postfix", "inline", "block", "normal"))
_LENGTH = re.compile(r"[+-]?\d{0,2}(?:\.\d{1,4})?(?:em|ex|px|pt)?")
_LENGTHS = frozenset(
    ("width", "height", "depth", "lspace", "rspace", "voffset", "minsize", "maxsize", "linethickness", "scriptlevel"),
)
_KEYWORDS = frozenset(("displaystyle", "stretchy", "fence", "separator", "accent", "movablelimits", "form", "mathvariant"))
_FONTS = {"double-struck": "mathbb", "bold": "mathbf", "fraktur": "mathfrak", "script": "mathcal", "monospace": "mathtt"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NUMERIC = re.compile(r"&#x([0-9a-fA-F]{1,6});")
_UNDER = frozenset(("lim", "max", "min", "sup", "inf"))


@lru_cache(maxsize=1024)
def mathml(source: str, display: bool) -> str:
    """The formula as a <math> element with its source for those who cannot see it; "" for one that is not set."""
    if len(source) > LONGEST or not source.strip() or _REFUSED.search(source):
        return ""
    known = _ENVIRONMENT.sub(lambda found: f"\\{found[1]}{{{_SAME_AS.get(found[2], found[2])}}}", source)
    known = _NOT.sub(lambda found: "\\neq " if found[1] == "=" else "\\notin ", known)
    root = _tree(known, display)
    if root is not None and any("linebreak" in each.attrib for each in root.iter("mspace")):
        root = _tree(f"\\begin{{matrix}}{known}\\end{{matrix}}", display)
    if root is None or sum(1 for _ in root.iter()) > MOST_ELEMENTS:
        return ""
    _limits_under(root, display)
    _lines(root)
    try:
        inside = "".join(_written(child, 1) for child in root)
    except _Unknown:
        return ""
    return f'<math display="{"block" if display else "inline"}" alttext="{escape(source)}">{inside}</math>'


class _Unknown(Exception):
    """Something in the formula that cannot be set."""


def _tree(source: str, display: bool) -> Element | None:
    try:
        return Converter(display="block" if display else "inline").convert_to_element(source)
    except _FAULTS:
        return None


def _written(element: Element, depth: int) -> str:
    """One element and what it holds. Raises _Unknown for what is not on the lists above."""
    text = _text(element)
    if element.tag not in _TAGS or depth > DEEPEST or text.startswith("\\") or element.text == "&":
        raise _Unknown
    if len(element) != _PARTS.get(element.tag, len(element)):
        raise _Unknown
    inside = escape(text) + "".join(_written(child, depth + 1) for child in element)
    # Browsers know no menclose: a row with a class of ours takes its place.
    tag = "mrow" if element.tag == "menclose" else element.tag
    return f"<{tag}{_attributes(element)}>{inside}</{tag}>"


def _text(element: Element) -> str:
    """What an element says; latex2mathml writes its signs as numeric references. Letters of a font are letters of their own."""
    text = _NUMERIC.sub(lambda found: _sign(int(found[1], 16)), element.text or "")
    font = _FONTS.get(element.get("mathvariant", ""))
    if font and element.tag == "mi" and len(text) == 1:
        return _sign(int(convert_symbol(f"\\{font}{{{text}}}") or f"{ord(text):x}", 16))
    return _CONTROL.sub("", text)


def _sign(code: int) -> str:
    return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"


def _attributes(element: Element) -> str:
    kept = [
        f' {name}="{value}"'
        for name, value in element.attrib.items()
        if (name in _KEYWORDS and value in _WORDS) or (name in _LENGTHS and value and _LENGTH.fullmatch(value))
    ]
    classes = " ".join(_classes(element))
    return "".join(kept) + (f' class="{classes}"' if classes else "")


def _classes(element: Element) -> list[str]:
    """What MathML says by attributes that browsers no longer know, as names for the style sheet."""
    found = [f"to-{side}" for side in ("left", "right") if element.get("columnalign") == side]
    found += [f"line-{side}" for side in ("right", "below") if element.get(f"line-{side}")]
    match element.tag:
        case "mtable" if element.get("columnspacing", "").startswith("0em"):
            found.append("joined")
        case "menclose":
            found.append("boxed" if element.get("notation") == "box" else "struck")
        case "mspace" if element.get("mathbackground"):
            found.append("rule")
        case "mi" if element.get("mathvariant") in _FONTS:
            pass
        case "mi" | "mn" | "mo" | "mtext":
            found += [weight for weight in ("bold", "italic") if weight in element.get("mathvariant", "")]
    return found


def _limits_under(root: Element, display: bool) -> None:
    """In a formula of its own line, what a limit runs over stands under it."""
    for element in root.iter("msub"):
        if display and len(element) and element[0].tag == "mo" and element[0].text in _UNDER:
            element.tag = "munder"


def _lines(root: Element) -> None:
    """The lines of a table, noted on the cells they run along."""
    for table in root.iter("mtable"):
        below, right = table.get("rowlines", "").split(), table.get("columnlines", "").split()
        for at, row in enumerate(table):
            for place, cell in enumerate(row):
                if below[at : at + 1] == ["solid"]:
                    cell.set("line-below", "yes")
                if right[place : place + 1] == ["solid"]:
                    cell.set("line-right", "yes")
