"""Small work on text and numbers: count, spell, sort, reverse, repeat, list.

Owns those wordings and their answers.
"""

from __future__ import annotations

import values as v
import wordings
from noise import keep
from render import Message
from turn import Context, say

_W = wordings.load("skills_text")

COUNT = _W["COUNT"]
SPAN = _W["SPAN"]
DOWN = _W["DOWN"]
SPELL = _W["SPELL"]
REVERSE = _W["REVERSE"]
LENGTH = _W["LENGTH"]
SORT = _W["SORT"]
SORTN = _W["SORTN"]
SORTD = ["sort these numbers from big to small: {x}", "sort {x} in descending order", "largest first: {x}", "sort descending: {x}"]
BIG = _W["BIG"]
LOW = _W["LOW"]
ECHO = _W["ECHO"]
UPPER = ["write {w} in capitals", "{w} in upper case", "uppercase {w}", "make {w} all caps", "capitalise every letter of {w}"]
LOWER = ["write {w} in lower case", "lowercase {w}", "{w} in small letters"]
BULLET = ["make a list of {x}", "put {x} in a list", "bullet list: {x}", "write a bullet list of {x}", "list these: {x}", "as a list: {x}"]
NUMBERED = ["make a numbered list of {x}", "numbered list: {x}", "number these: {x}", "put {x} in a numbered list"]
BOLD = ["write {w} in bold", "make {w} bold", "bold: {w}", "{w} in bold please"]
TABLE = ["make a table of {x}", "put {x} in a table", "write a markdown table of {x}"]
FIRST = ["what is the first letter of {w}?", "first letter of {w}", "which letter does {w} start with?"]
LAST = ["what is the last letter of {w}?", "last letter of {w}", "which letter does {w} end with?"]
NEXT = ["what comes after {n}?", "which number follows {n}?", "the number after {n}", "next number after {n}"]
OWN_WORDS = _W["OWN_WORDS"]
"""Words that the facts are full of, and that would else never be taken apart."""
EMO = ["send me {n} emojis", "give me {n} emoji", "show {n} emojis", "i want {n} emojis"]


def _size(ctx: Context) -> int:
    p = ctx.r.random()
    if p < 0.55:
        return ctx.r.randint(2, 30)
    if p < 0.85:
        return ctx.r.randint(10, 110)
    return ctx.r.choice([100, 120, 150, 200, 250, 300, ctx.r.randint(100, 320)])


def count(ctx: Context) -> list[Message]:
    """Counting up, down or between."""
    r = ctx.r
    n, p = _size(ctx), r.random()
    sep = ", "
    if p < 0.7:
        seq, text = range(1, n + 1), r.choice(COUNT).format(n=keep(n if r.random() < 0.85 or n > 120 else v.spoken(n)))
    elif p < 0.88:
        a = r.randint(0, 300)
        n = a + min(n, 80)
        seq, text = range(a, n + 1), r.choice(SPAN).format(a=keep(a), n=keep(n))
    else:
        n = min(n, 120)
        seq, text = range(n, 0, -1), r.choice(DOWN).format(n=keep(n))
    if r.random() < 0.12:
        text, sep = text.rstrip("?") + r.choice([", one per line", ", each on its own line", ", one number a line"]), "\n"
    if len(seq) > 6 and r.random() < 0.1:
        return _continued(ctx, text, [str(i) for i in seq], sep)
    return say(ctx, text, f"I count from {seq[0]} to {seq[-1]}.", sep.join(map(str, seq)), [f"I start at {seq[0]} and stop at {seq[-1]}."])


def _continued(ctx: Context, text: str, numbers: list[str], sep: str) -> list[Message]:
    """A count that was stopped, and the wish to go on."""
    r = ctx.r
    cut = r.randrange(1, len(numbers) - 1)
    shown = sep.join(numbers[:cut]) + r.choice(["", sep.rstrip(" "), sep])
    begun = [Message("user", ctx.ask(text)), Message("assistant", ctx.finish(shown), "final", learn=False)]
    more = r.choice(
        [
            "continue",
            "go on",
            "carry on",
            "keep counting",
            "go on counting",
            "please continue",
            "continue from there",
            "resume",
            "and further?",
            "finish it",
        ]
    )
    return [
        *begun,
        *say(ctx, more, f"I was counting to {numbers[-1]} and stopped at {numbers[cut - 1]}. I go on.", sep.join(numbers[cut:])),
    ]


def _word(ctx: Context) -> str:
    if ctx.r.random() < 0.05:
        return v.cased(ctx.r, ctx.r.choice(OWN_WORDS))
    return v.cased(ctx.r, v.any_word(ctx.r)) if ctx.r.random() < 0.75 else ctx.r.choice(v.THINGS)


def spell(ctx: Context) -> list[Message]:
    """Letters of a word: spelling, reversing, counting, first and last."""
    r, w = ctx.r, _word(ctx)
    letters, p = "-".join(w), r.random()
    shown = keep(w if r.random() < 0.7 else f'"{w}"')
    if p < 0.5:
        return say(ctx, r.choice(SPELL).format(w=shown), f"I spell {w}.", letters, ["One letter at a time."])
    if p < 0.65:
        return say(
            ctx, r.choice(REVERSE).format(w=shown), f"{w} is {letters}. From the end: {'-'.join(reversed(w))}.", "".join(reversed(w))
        )
    if p < 0.8:
        counted = " ".join(f"{c}{i}" for i, c in enumerate(w, 1))
        return say(ctx, r.choice(LENGTH).format(w=shown), f"I count: {counted}.", f"{w} has {len(w)} letters: {letters}.")
    if p < 0.87:
        first = r.random() < 0.5
        frame, letter = (FIRST, w[0]) if first else (LAST, w[-1])
        return say(
            ctx, r.choice(frame).format(w=shown), f"{w} is {letters}.", f"The {'first' if first else 'last'} letter of {w} is {letter}."
        )
    if p < 0.95:
        return say(ctx, r.choice(UPPER).format(w=shown), f"{w} in capitals.", w.upper())
    return say(ctx, r.choice(LOWER).format(w=keep(w.upper())), f"{w.upper()} in small letters.", w.upper().lower())


def sort(ctx: Context) -> list[Message]:
    """Sorting words and numbers, largest and smallest."""
    r = ctx.r
    n, sep = r.randint(2, 7), r.choice([", ", ", ", " ", " and " if r.random() < 0.2 else ", "])
    if r.random() < 0.45:
        words = list(dict.fromkeys(r.choice(v.THINGS) if r.random() < 0.7 else v.word(r, 1, 2) for _ in range(n)))
        out = sorted(words)
        return say(
            ctx,
            r.choice(SORT).format(x=keep(sep.join(words))),
            f"I sort by the first letters: {', '.join(w[0] for w in out)}.",
            ", ".join(out),
        )
    nums = [v.number(r, r.choice([1, 2, 2, 3])) for _ in range(n)]
    shown, p = keep(sep.join(map(str, nums))), r.random()
    if p < 0.55:
        return say(ctx, r.choice(SORTN).format(x=shown), "I sort the numbers, the smallest first.", ", ".join(map(str, sorted(nums))))
    if p < 0.7:
        return say(
            ctx, r.choice(SORTD).format(x=shown), "I sort the numbers, the largest first.", ", ".join(map(str, sorted(nums, reverse=True)))
        )
    if p < 0.85:
        return say(ctx, r.choice(BIG).format(x=shown), "I look for the largest number.", f"The largest is {max(nums)}.")
    return say(ctx, r.choice(LOW).format(x=shown), "I look for the smallest number.", f"The smallest is {min(nums)}.")


def echo(ctx: Context) -> list[Message]:
    """Open-ended text said back."""
    r = ctx.r
    text = v.open_text(r)
    shown = f'"{text}"' if r.random() < 0.12 else text
    return say(ctx, r.choice(ECHO).format(x=keep(shown)), "The user wants me to repeat a text.", text, ["I copy it exactly, sign by sign."])


def markdown(ctx: Context) -> list[Message]:
    """Lists, tables, bold, code: Markdown from the user's own words."""
    r = ctx.r
    items = [v.phrase(r, 1, 2) for _ in range(r.randint(2, 6))]
    shown, p = keep(", ".join(items)), r.random()
    if p < 0.4:
        return say(ctx, r.choice(BULLET).format(x=shown), f"A list of {len(items)} items.", "\n".join(f"- {i}" for i in items))
    if p < 0.65:
        return say(
            ctx,
            r.choice(NUMBERED).format(x=shown),
            f"A numbered list of {len(items)} items.",
            "\n".join(f"{n}. {i}" for n, i in enumerate(items, 1)),
        )
    if p < 0.8:
        w = v.phrase(r, 1, 2)
        return say(ctx, r.choice(BOLD).format(w=keep(w)), "Bold is two stars in Markdown.", f"**{w}**")
    rows = "\n".join(f"| {n} | {i} |" for n, i in enumerate(items, 1))
    return say(ctx, r.choice(TABLE).format(x=shown), f"A table of {len(items)} rows.", f"| # | item |\n|---|---|\n{rows}")


def little(ctx: Context) -> list[Message]:
    """The next number; emoji on request."""
    r = ctx.r
    if r.random() < 0.6:
        n = v.number(r, 3)
        return say(ctx, r.choice(NEXT).format(n=keep(n)), f"After {n} comes {n + 1}.", f"{n + 1} comes after {n}.")
    n = r.randint(1, 9)
    return say(ctx, r.choice(EMO).format(n=keep(n)), f"{n} emojis.", " ".join(r.choice(v.EMOJI) for _ in range(n)))
