"""Tokenises rendered prompts piece by piece between control tokens, so that pieces known from earlier prompts cost nothing.

Only for tokenizers that cut a text at those tokens themselves and look at nothing beyond them: byte-level ones, checked by a probe.
Any other tokenizer is given the whole text each time.
"""

import re

from mlx_harmony.worker.memo import TokenMemo
from mlx_harmony.worker.tokens import Tokens

_PROBE = (" hello", "world  ", "\n\nuser\n", "Don't", "1 234", "", " ", "é 東京 🎉\t", "<", "|>")


class Pieces:
    """One tokenizer's pieces. `memo` counts what had to be tokenised."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self.memo = TokenMemo()
        names = sorted(tokens.control_ids, key=len, reverse=True)
        self._cut = re.compile("(" + "|".join(map(re.escape, names)) + ")") if names else None
        if self._cut is not None and not self._is_cut_alike(names):
            self._cut = None
        self.memo = TokenMemo()

    def encode(self, text: str) -> list[int]:
        """The same tokens as of the whole text."""
        if self._cut is None:
            self.memo.misses += 1
            return self._tokens.encode_markup(text)
        ids: list[int] = []
        for piece in self._cut.split(text):
            if piece:
                ids += self.memo.tokens(piece, lambda piece=piece: self._tokens.encode_markup(piece))  # type: ignore[misc]
        return ids

    def _is_cut_alike(self, names: list[str]) -> bool:
        """Whether text around control tokens gives the same tokens in one and in pieces."""
        if not self._tokens.is_byte_level:
            return False
        probe = "".join(f"{text}{name}" for name in names[:64] for text in _PROBE)
        return self.encode(probe) == self._tokens.encode_markup(probe)
