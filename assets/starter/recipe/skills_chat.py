"""Small talk, identity, what the prompt itself says (date, effort, tools), and honest refusals.

Owns those wordings. Everything it cannot do ends in a short refusal that names the way to a bigger model.
"""

from __future__ import annotations

from functools import cache

import app_facts
import grammar
import values as v
import wordings
from noise import keep
from render import Message
from turn import Context, say

_W = wordings.load("skills_chat")

GREET = _W["GREET"]
HELLO = _W["HELLO"]
GARBLE = _W["GARBLE"]
KEYBOARD = "asdfghjklqwertzuiopyxcvbnm"
UNCLEAR = "I did not understand that. Ask me about MLX Harmony, or let me count, spell or sort something."
BEYOND = _W["BEYOND"]
LANGUAGES = _W["LANGUAGES"]
STATEMENTS = _W["STATEMENTS"]
SEEN = "I see. What can I do for you?"
NO = [
    "That is beyond me: I am the Starter, a 16 MB model. Load a bigger model in the Models tab.",
]
DATE = _W["DATE"]
CUTOFF = _W["CUTOFF"]
EFFORT = _W["EFFORT"]
TOOLS = _W["TOOLS"]
CODEWORD = _W["CODEWORD"]


@cache
def talks() -> tuple[tuple[tuple[str, ...], str], ...]:
    """Small talk: the ways of asking, and the answer."""
    out: list[tuple[tuple[str, ...], str]] = []
    asks: list[str] = []
    for line in (wordings.FOLDER / "talk.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("? "):
            asks.append(line[2:])
        elif line.startswith("= "):
            out.append((tuple(asks), line[2:].replace("\\n", "\n")))
            asks = []
    return tuple(out)


def greet(ctx: Context) -> list[Message]:
    """A greeting."""
    final = f"Hello, {ctx.user_name}! What can I do for you?" if ctx.user_name else ctx.r.choice(HELLO)
    return say(ctx, ctx.r.choice(GREET), "The user greets me.", final, ["I greet back."])


def talk(ctx: Context) -> list[Message]:
    """Small talk with fixed answers."""
    asks, answer = ctx.r.choice(talks())
    if "{self}" in answer:
        answer = answer.format(self=f"{ctx.self_name}, running on the Starter" if ctx.self_name else "the Starter")
    return say(ctx, ctx.r.choice(asks), "The user makes small talk.", answer)


def garble(ctx: Context) -> list[Message]:
    """Nothing that can be understood."""
    r = ctx.r
    p = r.random()
    text = r.choice(GARBLE) if p < 0.25 else v.phrase(r, 1, 4) if p < 0.65 else "".join(r.choice(KEYBOARD) for _ in range(r.randint(2, 12)))
    return say(ctx, keep(text), "I do not understand this.", UNCLEAR)


def statement(ctx: Context) -> list[Message]:
    """Something told that asks for nothing."""
    r = ctx.r
    text = r.choice(STATEMENTS).format(x=v.any_word(r), p=v.place(r), n=v.name(r), l=r.choice(LANGUAGES))
    return say(ctx, text, "The user tells me something and asks nothing.", SEEN)


def beyond(ctx: Context) -> list[Message]:
    """A request out of reach."""
    r = ctx.r
    if r.random() < 0.65:
        return say(ctx, _composed(ctx), "This is beyond me. I say so.", r.choice(NO), ["I know nothing about this."])
    many = r.random() < 0.08
    text = " ".join(v.sentence(r) for _ in range(r.randint(10, 60) if many else r.randint(1, 3)))
    frame = r.choice([f for f in BEYOND if "{t}" in f] if many else BEYOND)
    fields = {
        "x": v.any_word(r) if r.random() < 0.7 else r.choice(v.THINGS),
        "y": r.choice(v.THINGS),
        "p": v.place(r),
        "n": v.name(r),
        "m": v.number(r),
        "t": keep(text),
        "y4": r.randint(1000, 2030),
        "l": r.choice(LANGUAGES),
    }
    question = frame.format(**fields)
    if ctx.settings.browser and frame.startswith(("what is in the news", "what is the weather")):
        return greet(ctx)
    return say(ctx, question, "This is beyond me. I say so.", r.choice(NO), ["I know nothing about this."])


def _composed(ctx: Context) -> str:
    """A request out of reach, composed of parts."""
    r = ctx.r
    thing = r.choice(v.THINGS)
    text = " ".join(r.choice([v.sentence(r), f"{r.choice(STATEMENTS)}."]) for _ in range(r.randint(1, 2)))
    named = {"x": v.any_word(r), "p": v.place(r), "n": v.name(r), "l": r.choice(LANGUAGES)}
    return grammar.expand(r, "beyond", "BEYOND").format(
        x=v.topic(r), y=v.topic(r), p=v.place(r), n=v.name(r) if r.random() < 0.5 else r.choice(v.NAMES), m=v.number(r, 3), k=v.number(r, 3),
        year=r.randint(1000, 2030), thing=thing, things=v.plural(thing), w=v.word(r, 1, 2), w2=v.word(r, 1, 2), t=keep(_filled(text, named)),
    )  # fmt: skip


def _filled(text: str, named: dict[str, str]) -> str:
    for key, value in named.items():
        text = text.replace(f"{{{key}}}", value)
    return text


def about_prompt(ctx: Context) -> list[Message]:
    """What the system and developer messages say: date, cutoff, effort, tools, codeword."""
    r, s = ctx.r, ctx.settings
    p = r.random()
    if ctx.codeword and p < 0.5:
        return say(ctx, r.choice(CODEWORD), "The developer gave me the codeword.", f"The codeword is {ctx.codeword}.")
    if p < 0.35:
        final = f"Today is {s.date}." if s.date else "I do not know the date."
        if r.random() < 0.4:
            return _clock(ctx)
        return say(ctx, r.choice(DATE), "The system message has the date." if s.date else "The system message has no date.", final)
    if p < 0.45:
        return say(ctx, r.choice(CUTOFF), "The system message has the cutoff.", f"My knowledge cutoff is {s.cutoff}.")
    if p < 0.65:
        return say(ctx, r.choice(EFFORT), "The system message has the effort.", f"My reasoning effort is {s.effort}.")
    names = [n for n, on in (("browser", s.browser), ("python", s.python)) if on] + [t.name for t in s.functions]
    final = f"My tools are {', '.join(names)}." if names else "No tools are on."
    return say(ctx, r.choice(TOOLS), "I look at the tools that are offered.", final)


def _clock(ctx: Context) -> list[Message]:
    """The time of day and other days than today are beyond it; today's date is not."""
    today = f"Today is {ctx.settings.date}." if ctx.settings.date else "I do not know the date."
    if ctx.r.random() < 0.5:
        return say(ctx, ctx.r.choice(_W["TIME"]), "I have no clock. The system message has the date.", f"I have no clock. {today}")
    return say(ctx, ctx.r.choice(_W["OTHER_DAY"]), "I only know today's date.", f"{today} Other days are beyond me.")


def app(ctx: Context) -> list[Message]:
    """A question about MLX Harmony."""
    q = app_facts.draw(ctx.r)
    return say(ctx, q.text, f"The user asks about {q.topic}: {q.aspect}.", q.answer, ["I recall what I know about it."])
