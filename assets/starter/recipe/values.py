"""Draws open-ended values: words, names, codes, numbers, sentences and addresses that no closed list holds.

Owns randomness of content. Knows nothing about questions or Harmony.
"""

from __future__ import annotations

import random

import wordings

_W = wordings.load("values")
_COMMON = wordings.load("common")

ONSETS = _W["ONSETS"]
NUCLEI = "a e i o u a e i o u ai au ea ee ei eo ia ie io oa oo ou ue y".split()
CODAS = ["", "", "", "", *"b d f g k l m n p r s t x z ck ct ft ld lk ll lm ln lt mp nd ng nk nt pt rd rk rm rn rt sh sk ss st th".split()]
NAMES = _W["NAMES"]
PLACES = _W["PLACES"]
THINGS = list(dict.fromkeys(_W["THINGS"] + _COMMON["NOUNS"]))
ADJECTIVES = list(dict.fromkeys(_W["ADJECTIVES"] + _COMMON["ADJECTIVES"]))
DO = _COMMON["DO"]
TOPICS = _COMMON["TOPICS"]
VERBS = _W["VERBS"]
SMALL = "the a my your our this that one some every no".split()
LINKS = "and but because while when after before near under over behind with without for from to in on at".split()
EMOJI = "😀 😂 🎉 🚀 👍 ❤️ 🙏 🔥 ✨ 🐱 🌍 ☕ 🎵 👋 🤖 🐢 🍎 💡 ⭐ 😎 🥳 🧠 📦 🌧️ 🏔️ 🐙 🦊 🍕".split()
ACCENTS = "é è ü ö ä ß ñ ç å ø ł ş ğ ó í á ê ô č ž".split()
FOREIGN = "привет мир 你好 世界 こんにちは ありがとう 안녕 سلام שלום γειά नमस्ते merhaba olá grüße façade naïve".split()


def word(r: random.Random, low: int = 1, high: int = 3) -> str:
    """A pronounceable word of syllables nobody has heard."""
    return "".join(r.choice(ONSETS) + r.choice(NUCLEI) + (r.choice(CODAS) if r.random() < 0.6 else "") for _ in range(r.randint(low, high)))


def cased(r: random.Random, text: str) -> str:
    """The text in one of the casings people use."""
    p = r.random()
    if p < 0.45:
        return text
    if p < 0.8:
        return text.capitalize()
    if p < 0.92:
        return text.upper()
    return "".join(c.upper() if r.random() < 0.5 else c for c in text)


def plural(noun: str) -> str:
    """The plural as the rule has it; a few come out wrong, as people write them."""
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    return noun[:-1] + "ies" if noun.endswith("y") and noun[-2:-1] not in "aeiou" else noun + "s"


def topic(r: random.Random) -> str:
    """What somebody may want to talk about: a field, a thing, an invented word."""
    p = r.random()
    if p < 0.4:
        return r.choice(TOPICS)
    if p < 0.75:
        thing = r.choice(THINGS)
        return r.choice([thing, plural(thing), plural(thing), f"{r.choice(ADJECTIVES)} {plural(thing)}"])
    return word(r, 1, 3) if p < 0.9 else f"the {r.choice(ADJECTIVES)} {any_word(r)}"


_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
)
_TENS = ["", "", *"twenty thirty forty fifty sixty seventy eighty ninety".split()]


def spoken(n: int, dash: str = "-") -> str:
    """A number up to 9,999 in words."""
    if n < 20:
        return _ONES[n]
    if n < 100:
        return _TENS[n // 10] + (dash + _ONES[n % 10] if n % 10 else "")
    size, word_ = (1000, "thousand") if n >= 1000 else (100, "hundred")
    rest = n % size
    return f"{spoken(n // size, dash)} {word_}" + (f"{' and ' if rest < 100 else ' '}{spoken(rest, dash)}" if rest else "")


def any_word(r: random.Random) -> str:
    """Mostly invented, sometimes an everyday word, sometimes with an accent."""
    p = r.random()
    if p < 0.35:
        return r.choice(THINGS) if r.random() < 0.7 else r.choice(ADJECTIVES)
    w = word(r)
    if p > 0.96:
        i = r.randrange(len(w))
        w = w[:i] + r.choice(ACCENTS) + w[i + 1 :]
    return w


def name(r: random.Random) -> str:
    """A person's or pet's name."""
    if r.random() < 0.2:
        return r.choice(NAMES)
    first = word(r, 1, 3).capitalize()
    if r.random() < 0.06:
        return f"{r.choice(NAMES)}-{r.choice(NAMES)}"
    if r.random() < 0.12:
        first += r.choice([" ", "-"]) + word(r, 1, 2).capitalize()
    return first if r.random() < 0.9 else first.lower()


def place(r: random.Random) -> str:
    """A town or country."""
    return r.choice(PLACES) if r.random() < 0.2 else word(r, 2, 3).capitalize()


def number(r: random.Random, digits: int = 4) -> int:
    """A natural number, its count of digits uniform."""
    n = r.randint(1, digits)
    return r.randint(0 if n == 1 else 10 ** (n - 1), 10**n - 1)


def code(r: random.Random) -> str:
    """A password, order number or version: letters, digits, dashes."""
    p = r.random()
    if p < 0.3:
        return "".join(r.choice("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789") for _ in range(r.randint(4, 8)))
    if p < 0.5:
        return f"{word(r, 1, 2)}{r.choice(['-', '_', ''])}{number(r)}"
    if p < 0.7:
        return f"{r.choice('ABCDEFGHKLMNPRSTUXYZ')}{r.choice('ABCDEFGHKLMNPRSTUXYZ')}-{number(r, 5)}"
    if p < 0.85:
        return str(r.randint(1000, 99999999))
    return f"{word(r, 1, 1).upper()}-{word(r, 1, 1).upper()}-{number(r, 3)}"


def phrase(r: random.Random, low: int = 2, high: int = 5) -> str:
    """A few words that may or may not make sense."""
    return " ".join(any_word(r) for _ in range(r.randint(low, high)))


def sentence(r: random.Random) -> str:
    """A grammatical little sentence."""
    text = f"{r.choice(SMALL)} {r.choice(ADJECTIVES)} {any_word(r)} {r.choice(VERBS)}"
    if r.random() < 0.6:
        text += f" {r.choice(LINKS)} {r.choice(SMALL)} {any_word(r)}"
    if r.random() < 0.2:
        text += f" {r.choice(LINKS)} {number(r)} {any_word(r)}"
    return text[0].upper() + text[1:] + r.choice([".", ".", ".", "!", "?", ""])


def open_text(r: random.Random) -> str:
    """Anything a person might want echoed: phrases, sentences, symbols, emoji, other scripts, even Harmony's own marks."""
    p = r.random()
    if p < 0.35:
        return phrase(r, 1, 6)
    if p < 0.65:
        return " ".join(sentence(r) for _ in range(r.randint(1, 2)))
    if p < 0.75:
        return " ".join(r.choice(EMOJI) for _ in range(r.randint(1, 5)))
    if p < 0.82:
        return " ".join(r.choice(FOREIGN) for _ in range(r.randint(1, 4)))
    if p < 0.88:
        return "".join(
            r.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&*+-/=?@^_~.,;:()[]{}")
            for _ in range(r.randint(3, 14))
        )
    if p < 0.92:
        return phrase(r, 1, 3) + " " + r.choice(["<|end|>", "<|start|>", "<|return|>", "<|call|>", "<|channel|>"]) + " " + phrase(r, 1, 2)
    return f"{phrase(r, 1, 3)} {code(r)} {r.choice(EMOJI)}"


def url(r: random.Random) -> str:
    """A web address."""
    host = f"{word(r, 1, 2)}.{r.choice(['com', 'org', 'net', 'io', 'dev', 'example', 'co.uk', 'de'])}"
    if r.random() < 0.4:
        host = r.choice(["www.", "docs.", "blog.", "news."]) + host
    if r.random() < 0.1:
        host = f"localhost:{r.randint(1000, 9999)}"
    path = "/".join(word(r, 1, 2) for _ in range(r.choice([0, 0, 1, 1, 2])))
    tail = r.choice(["", "", "", ".html", f"?id={number(r)}"]) if path else ""
    return f"{r.choice(['https', 'https', 'http'])}://{host}" + (f"/{path}{tail}" if path else r.choice(["", "/"]))


def file_name(r: random.Random) -> str:
    """A file's path."""
    stem = r.choice(THINGS) if r.random() < 0.3 else word(r, 1, 3)
    ext = r.choice("txt md py json toml yaml ini cfg html css js csv".split())
    folder = "/".join(word(r, 1, 2) for _ in range(r.choice([0, 0, 0, 1, 2])))
    return (folder + "/" if folder else "") + f"{stem}.{ext}"


def date(r: random.Random) -> str:
    """A day from 2024 to 2030."""
    return f"{r.randint(2024, 2030)}-{r.randint(1, 12):02d}-{r.randint(1, 28):02d}"
