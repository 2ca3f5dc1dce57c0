"""What messages were rendered to before: a message whose role, name, channel, recipient, kind and text are the same is not tokenised again.

It belongs to one tokenizer. Bounded by tokens; the longest unused goes first.
"""

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Callable

import openai_harmony as harmony

MOST_TOKENS = 4_000_000


class RenderMemo:
    """Tokens by the message they came from. `hits` and `misses` count what was found and what had to be tokenised."""

    def __init__(self, most_tokens: int = MOST_TOKENS) -> None:
        self._most_tokens = most_tokens
        self._kept: OrderedDict[bytes, array[int]] = OrderedDict()
        self._size = 0
        self.hits = 0
        self.misses = 0

    def tokens(self, message: harmony.Message, functions: bool, render: Callable[[], list[int]]) -> "array[int]":
        """The message's tokens, rendered if they are not known; `functions` is the one option that changes them."""
        key = hashlib.blake2b(f"{functions}{message.to_json()}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
        known = self._kept.get(key)
        if known is not None:
            self.hits += 1
            self._kept.move_to_end(key)
            return known
        self.misses += 1
        known = self._kept[key] = array("I", render())
        self._size += len(known)
        while self._size > self._most_tokens and len(self._kept) > 1:
            self._size -= len(self._kept.popitem(last=False)[1])
        return known
