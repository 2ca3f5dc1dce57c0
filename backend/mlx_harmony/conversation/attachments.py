"""Texts that come with a message: a file's bytes as text, its name made safe, and how a model is told of it. Pure; touches no disk.

Of a file there is its name and its content, never a path: what a name says of folders is taken off.
"""

import codecs
import re
import unicodedata
import uuid

from mlx_harmony.conversation.records import Attachment, Encoding
from mlx_harmony.errors import InvalidRequest

LARGEST_BYTES = 1024 * 1024
MOST = 20
"""Attachments of one message."""
LONGEST_NAME = 120
UNNAMED = "Attached text"

_BOMS: tuple[tuple[bytes, str, Encoding], ...] = (
    (codecs.BOM_UTF8, "utf-8-sig", "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16", "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "utf-16"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_TICKS = re.compile(r"`{3,}")
_ALLOWED_CONTROLS = 0.01
"""Of a file in UTF-8, the share of control characters that a text may have; a log has some."""


def read_attachment(name: str, data: bytes, *, pasted: bool = False) -> Attachment:
    """The file as an attachment. Raises InvalidRequest, with `param` file, where it is too large, empty or no text."""
    shown = safe_name(name)
    if len(data) > LARGEST_BYTES:
        raise _refused(
            f"{shown} holds {len(data) / 2**20:,.1f} MB; a text of at most {LARGEST_BYTES // 2**20} MB can be attached.",
            "Attach the part that the question is about.",
        )
    content, encoding = _decoded(data, shown)
    if not content.strip():
        raise _refused(f"{shown} is empty.", "Attach a file that holds text.")
    return attachment(shown, content, len(data), encoding=encoding, pasted=pasted)


def attachment(name: str, content: str, size_bytes: int, *, encoding: Encoding = "utf-8", pasted: bool = False) -> Attachment:
    """A new attachment under an id of its own."""
    return Attachment(
        id=uuid.uuid4().hex,
        name=safe_name(name),
        content=content,
        characters=len(content),
        bytes=size_bytes,
        encoding=encoding,
        pasted=pasted,
    )


def safe_name(name: str) -> str:
    """A file's own name: one line without folders or characters that hide or turn text; a long one loses its middle, not its ending."""
    last = re.split(r"[/\\]", name)[-1]
    line = " ".join("".join(sign for sign in last if sign.isspace() or unicodedata.category(sign)[0] != "C").split())
    if len(line) > LONGEST_NAME:
        line = f"{line[: LONGEST_NAME - 41]}…{line[-40:]}"
    return line or UNNAMED


def told(text: str, attachments: tuple[Attachment, ...]) -> str:
    """A message as the model is told it: each attachment by its name and in a fence that nothing in it can close, then what was typed."""
    if not attachments:
        return text
    blocks = [_fenced(each) for each in attachments]
    return "\n\n".join([*blocks, text] if text.strip() else blocks)


def names(attachments: tuple[Attachment, ...]) -> str:
    """What came with a message, in one line."""
    return ", ".join(each.name for each in attachments)


def fence_of(content: str) -> str:
    """A row of backticks longer than any in the content."""
    return "`" * max(3, 1 + max((len(row) for row in _TICKS.findall(content)), default=0))


def _fenced(each: Attachment) -> str:
    fence = fence_of(each.content)
    end = "" if each.content.endswith("\n") else "\n"
    return f"{'Pasted text' if each.pasted else 'Attached file'}: {each.name}\n{fence}\n{each.content}{end}{fence}"


def _decoded(data: bytes, name: str) -> tuple[str, Encoding]:
    """The text and how it was read: by its byte order mark, else as UTF-8, else as Latin-1, which takes any byte."""
    for mark, codec, encoding in _BOMS:
        if data.startswith(mark):
            try:
                return _checked(data.decode(codec), name, _ALLOWED_CONTROLS), encoding
            except UnicodeDecodeError:
                raise _no_text(name) from None
    try:
        return _checked(data.decode("utf-8"), name, _ALLOWED_CONTROLS), "utf-8"
    except UnicodeDecodeError:
        return _checked(_latin(data), name, 0.0), "latin-1"


def _latin(data: bytes) -> str:
    """Latin-1 with the quotes and dashes that Windows put into it."""
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _checked(text: str, name: str, allowed: float) -> str:
    if "\x00" in text or len(_CONTROL.findall(text)) > allowed * len(text):
        raise _no_text(name)
    return text


def _no_text(name: str) -> InvalidRequest:
    return _refused(f"{name} is no text.", "Attach plain text, such as notes, Markdown, code, CSV or JSON.")


def _refused(message: str, hint: str) -> InvalidRequest:
    return InvalidRequest(message, hint=hint, param="file")
