"""What pieces of prompts were tokenised to before, so that a chat's next prompt costs only what is new in it. Knows no format.

It belongs to one tokenizer and is keyed by all that a piece's tokens depend on. Bounded by tokens; the longest unused goes first.
"""

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Callable

MOST_TOKENS = 4_000_000


class TokenMemo:
    """Tokens by what they were made from. `hits` and `misses` count what was found and what had to be tokenised."""

    def __init__(self, most_tokens: int = MOST_TOKENS) -> None:
        self._most_tokens = most_tokens
        self._kept: OrderedDict[bytes, array[int]] = OrderedDict()
        self._size = 0
        self.hits = 0
        self.misses = 0

    def tokens(self, piece: str, encode: Callable[[], list[int]]) -> "array[int]":
        """The tokens of a piece; `encode` makes them where they are not known."""
        key = hashlib.blake2b(piece.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        known = self._kept.get(key)
        if known is not None:
            self.hits += 1
            self._kept.move_to_end(key)
            return known
        self.misses += 1
        known = self._kept[key] = array("I", encode())
        self._size += len(known)
        while self._size > self._most_tokens and len(self._kept) > 1:
            self._size -= len(self._kept.popitem(last=False)[1])
        return known
