"""The shipped tokenizer: every byte, single digits, special tokens only by their ids."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from render import SPECIALS, Segment
from tokenizer import Codec


@pytest.fixture(scope="module")
def codec(starter: Path) -> Codec:
    return Codec(starter / "tokenizer.json")


def test_round_trips_unicode(codec: Codec) -> None:
    r = random.Random(4)
    for _ in range(300):
        points = (r.choice([r.randrange(32, 127), r.randrange(1, 0xD800), r.randrange(0x1F300, 0x1FAFF)]) for _ in range(30))
        text = "".join(map(chr, points))
        assert codec.tok.decode(list(codec.text(text)), skip_special_tokens=False) == text


def test_covers_all_bytes(codec: Codec) -> None:
    vocabulary = codec.tok.get_vocab()
    from tokenizers.pre_tokenizers import ByteLevel

    assert all(symbol in vocabulary for symbol in ByteLevel.alphabet())
    assert 4000 <= len(vocabulary) <= 8000


def test_digits_are_single(codec: Codec) -> None:
    assert len(codec.text("1234567890")) == 10
    assert not [t for t in codec.tok.get_vocab() if len(t) > 1 and any(c in "0123456789" for c in t)]


def test_typed_marks_are_text(codec: Codec) -> None:
    special = set(codec.special.values())
    for mark in SPECIALS:
        assert not special & set(codec.text(f"a {mark} b"))
        assert codec.encode([Segment(mark, True)])[0] == [codec.special[mark]]


def test_never_stops_at_end(codec: Codec) -> None:
    assert codec.special["<|end|>"] not in codec.stops
    assert len(codec.stops) == 3
