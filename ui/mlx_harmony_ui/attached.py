"""Attachments as shown: chips above the message box, cards on a message. Pure records in and out; counts no tokens itself."""

import msgspec

from mlx_harmony.conversation.records import Attachment
from mlx_harmony.records import Record
from mlx_harmony_ui import words

CHARACTERS_A_TOKEN = 4
"""About, in English; what an estimate is made with while no tokenizer can be asked."""
LONGEST_NAME = 32
_READ_AS = {"utf-16": "read as UTF-16", "latin-1": "read as Latin-1"}


class AttachmentView(Record):
    """One attachment. `name` is shortened, `whole_name` is not; `tokens` and `read_as` are words, "" where there is nothing to say.

    `exact`: the model's own tokenizer counted the tokens.
    """

    id: str
    name: str
    whole_name: str
    size: str
    read_as: str
    pasted: bool
    tokens: str = ""
    exact: bool = False


def card(attachment: Attachment) -> AttachmentView:
    """An attachment of a message that was sent."""
    return AttachmentView(
        id=attachment.id,
        name=words.shorten(attachment.name, LONGEST_NAME),
        whole_name=attachment.name,
        size=words.size(attachment.bytes),
        read_as=_READ_AS.get(attachment.encoding, ""),
        pasted=attachment.pasted,
    )


def chip(attachment: Attachment, tokens: int | None) -> AttachmentView:
    """An attachment that waits; `tokens` None: nobody could count them, and they are estimated."""
    exact = tokens is not None
    number = tokens if tokens is not None else max(1, round(attachment.characters / CHARACTERS_A_TOKEN))
    said = f"{'' if exact else 'about '}{words.count(number)} token{'' if number == 1 else 's'}"
    return msgspec.structs.replace(card(attachment), tokens=said, exact=exact)
