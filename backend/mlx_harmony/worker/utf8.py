"""Bytes into text piece by piece: whole characters only, whatever the tokens cut through. Knows nothing of tokens or channels."""

import codecs


class Utf8:
    """Decodes a stream of bytes. What is no UTF-8 is left out and `broken` says so; half a character waits for its rest."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self.broken = False

    def feed(self, piece: bytes) -> str:
        """The whole characters that are complete with this piece."""
        waiting = len(self._decoder.getstate()[0])
        text = self._decoder.decode(piece)
        left_out = waiting + len(piece) - len(text.encode()) - len(self._decoder.getstate()[0])
        self.broken = self.broken or left_out > 0
        return text

    @property
    def waiting(self) -> bool:
        """Whether half a character waits for its rest."""
        return bool(self._decoder.getstate()[0])

    def finish(self) -> None:
        """The end: half a character that still waits is left out."""
        self.broken = self.broken or self.waiting
        self._decoder.reset()
