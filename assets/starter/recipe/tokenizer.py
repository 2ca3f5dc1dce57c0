"""Trains and wraps the Starter's own tokenizer: byte-level BPE, one token a digit, Harmony's special tokens.

Owns the vocabulary. Encodes segments to ids, keeping what people type apart from Harmony's marks.
"""

from __future__ import annotations

import argparse
import json
import random
from functools import lru_cache
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from dialogue import compose
from render import CALL, END, EOT, RETURN, SPECIALS, Segment, render

VOCAB = 4096
PATTERN = r"'(?:s|t|re|ve|m|ll|d)|\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def train(dialogues: int, seed: int = 7) -> Tokenizer:
    """A tokenizer from generated dialogues; frequent segments count once in a hundred."""
    r = random.Random(seed)
    seen: dict[str, int] = {}
    texts: list[str] = []
    for _ in range(dialogues):
        for s in render(compose(r)):
            n = seen[s.text] = seen.get(s.text, 0) + 1
            if not s.special and (n == 1 or n % 100 == 0):
                texts.append(s.text)
    tok = Tokenizer(models.BPE(ignore_merges=False))
    tok.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PATTERN), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB - len(SPECIALS), initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False, min_frequency=2
    )
    tok.train_from_iterator(texts, trainer)
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIALS])
    return tok


def save(tok: Tokenizer, folder: Path) -> None:
    """Writes tokenizer.json and its configuration for mlx-lm and transformers."""
    tok.save(str(folder / "tokenizer.json"), pretty=False)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 4096, "clean_up_tokenization_spaces": False,
        "eos_token": RETURN, "pad_token": EOT, "bos_token": None, "additional_special_tokens": list(SPECIALS),
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


class Codec:
    """Segments to ids and loss targets."""

    def __init__(self, path: str | Path) -> None:
        self.tok = Tokenizer.from_file(str(path))
        self.tok.encode_special_tokens = True
        self.special: dict[str, int] = {t: self._id(t) for t in SPECIALS}
        self.text = lru_cache(maxsize=20000)(self._text)

    def _id(self, special: str) -> int:
        found = self.tok.token_to_id(special)
        if found is None:
            raise ValueError(f"the tokenizer has no {special}")
        return int(found)

    def _text(self, text: str) -> tuple[int, ...]:
        return tuple(self.tok.encode(text, add_special_tokens=False).ids)

    def encode(self, segments: list[Segment]) -> tuple[list[int], list[int]]:
        """Ids, and for every id the target it stands for in the loss (-1: none)."""
        ids: list[int] = []
        targets: list[int] = []
        for s in segments:
            part = (self.special[s.text],) if s.special else self.text(s.text)
            ids += part
            if not s.learn:
                targets += [-1] * len(part)
            elif s.target:
                targets.append(self.special[s.target])
            else:
                targets += part
        return ids, targets

    def decode(self, ids: list[int]) -> str:
        """Text in which only true special tokens read `<|...|>`: typed ones read `<¦...¦>`."""
        out: list[str] = []
        plain: list[int] = []
        names = {i: t for t, i in self.special.items()}
        for i in [*ids, -1]:
            if i in names or i == -1:
                out.append(self.tok.decode(plain, skip_special_tokens=False).replace("<|", "<¦").replace("|>", "¦>"))
                out.append(names.get(i, ""))
                plain = []
            else:
                plain.append(i)
        return "".join(out)

    @property
    def stops(self) -> list[int]:
        """The ids at which generation ends; never <|end|>."""
        return [self.special[t] for t in (RETURN, CALL, EOT)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent)
    parser.add_argument("--dialogues", type=int, default=40000)
    args = parser.parse_args()
    trained = train(args.dialogues)
    save(trained, args.out)
    print(trained.get_vocab_size(), "entries;", END, trained.token_to_id(END))
