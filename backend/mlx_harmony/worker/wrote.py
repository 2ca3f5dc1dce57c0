"""What a model wrote of one message, token by token: the bytes and the ids, as they came. Knows no format."""

from mlx_harmony.events import MessageEnded


class Wrote:
    """Gathers tokens until their message ends."""

    def __init__(self) -> None:
        self._raw = bytearray()
        self._ids: list[int] = []
        self._sizes: list[int] = []

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, token: int, piece: bytes) -> None:
        """One more token and the bytes it stands for."""
        self._raw += piece
        self._ids.append(token)
        self._sizes.append(len(piece))

    def ended(self, index: int, stop_token: str) -> MessageEnded:
        """The end of message `index`; what is added from here on belongs to the next."""
        raw, ids, sizes = self._raw.decode("utf-8", "replace"), tuple(self._ids), tuple(self._sizes)
        self._raw, self._ids, self._sizes = bytearray(), [], []
        return MessageEnded(index=index, stop_token=stop_token, raw=raw, tokens=len(ids), ids=ids, sizes=sizes)
