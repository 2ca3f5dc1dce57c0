"""The first minutes of a chat: composed greetings, follow-ups on the last answer, other languages, everyday lists and series.

Owns those wordings and their fixed answers. Everything else about small talk is in skills_chat.
"""

from __future__ import annotations

import grammar
import values as v
import wordings
from noise import keep
from render import Message
from turn import Context, say

_W = wordings.load("skills_firsts")

LISTS = {k.split(" ")[0]: (k.split(" ")[1:], w) for k, w in wordings.grouped("skills_firsts", "LIST").items()}
SERIES = {"day": LISTS["days"][1], "month": LISTS["months"][1], "letter": list("abcdefghijklmnopqrstuvwxyz")}
FOREIGN = wordings.load("foreign")
ENGLISH = "I only speak English, and only a little of it."
NOTHING = "I have not said anything yet. Ask me something first."
UNKNOWN_LIST = "That is beyond me: I am the Starter, a 16 MB model. Load a bigger model in the Models tab."


def greeting(ctx: Context) -> list[Message]:
    """A greeting with something added: a name for the model, how are you, a first wish."""
    text = grammar.expand(ctx.r, "skills_firsts", "GREETING")
    name = f", {ctx.user_name}" if ctx.user_name else ""
    final = f"Hello{name}! What can I do for you?"
    if "how" in text or "you doing" in text or "all well" in text:
        final = "I am fine, thank you. What can I do for you?"
    return say(ctx, text, "The user greets me.", final, ["I greet back."])


def again(ctx: Context) -> list[Message]:
    """The last answer once more."""
    text = ctx.r.choice(_W["AGAIN"])
    if not ctx.last:
        return say(ctx, text, "The user wants my last answer again. There is none.", NOTHING)
    if len(ctx.last) > 240:
        return follow(ctx)
    return say(ctx, text, "The user wants my last answer again.", ctx.last)


def follow(ctx: Context) -> list[Message]:
    """A reaction to the last answer that has a fixed reply."""
    kind = ctx.r.choice(["WHY", "SURE", "OTHER_WORDS", "PRAISE", "FINE", "BLAME"])
    return say(ctx, grammar.expand(ctx.r, "skills_firsts", kind), "The user reacts to what was said.", _W[f"{kind} ="][0])


def joke(ctx: Context) -> list[Message]:
    """A joke, and another one after it."""
    more = ctx.jokes > 0 and ctx.r.random() < 0.8
    text = ctx.r.choice(_W["JOKE_MORE" if more else "JOKE"])
    if ctx.jokes >= len(_W["JOKES"]):
        return say(ctx, text, "The user wants another joke. I know no more.", "I know no more jokes. What else can I do for you?")
    ctx.jokes += 1
    return say(ctx, text, "The user wants a joke.", _W["JOKES"][ctx.jokes - 1])


def foreign(ctx: Context) -> list[Message]:
    """A message in another language, or the wish for one."""
    r = ctx.r
    if r.random() < 0.25:
        text = r.choice(_W["SPEAK"]).format(l=r.choice(_W["LANGUAGE"]))
    else:
        phrases = FOREIGN[r.choice(list(FOREIGN))]
        text = keep(r.choice(phrases) if r.random() < 0.4 else _mixed(ctx, phrases))
    return say(ctx, text, "This is about another language. I only speak English.", ENGLISH)


def _mixed(ctx: Context, phrases: list[str]) -> str:
    """Words of one language in an order of their own."""
    r = ctx.r
    words = " ".join(r.choice(phrases) for _ in range(3)).split()
    n = r.randint(2, min(10, len(words)))
    r.shuffle(words)
    text = " ".join(words[:n])
    if r.random() < 0.2:
        text += f" {v.name(r)}"
    return text[:90] if r.random() < 0.5 else text[:90].lower()


def things(ctx: Context) -> list[Message]:
    """Some things of a kind everybody knows, as a list or a table; other kinds are beyond it."""
    r = ctx.r
    n = r.randint(1, 10) if r.random() < 0.7 else 0
    amount = (str(n) if r.random() < 0.5 else v.spoken(n)) if n else r.choice(["some", "a few", "", "a list of", "several"])
    many = n != 1
    if r.random() < 0.3:
        name = v.plural(r.choice(v.THINGS))
        text = r.choice(_W["NAME_THINGS"]).format(n=amount, k=f"{name} {r.choice(_W['OF_KIND'])}".format(p=v.place(r), x=v.topic(r)))
        return say(ctx, " ".join(text.split()), "I do not know such things.", UNKNOWN_LIST)
    key = r.choice(list(LISTS))
    names, items = LISTS[key]
    kind = r.choice([key, *names]).replace("_", " ")
    kind = kind if many else kind.removesuffix("s")
    table = r.random() < 0.2
    text = " ".join(r.choice(_W["TABLE_THINGS" if table else "NAME_THINGS"]).format(n=amount, k=kind).split())
    count = n or 5
    if key in ("days", "months") and not n:
        count = len(items)
    shown = items[:count]
    if table:
        final = "| # | name |\n|---|---|\n" + "\n".join(f"| {i} | {x} |" for i, x in enumerate(shown, 1))
    else:
        final = "\n".join(f"- {x}" for x in shown)
    return say(ctx, text, f"I name {len(shown)} {key}.", final)


def series(ctx: Context) -> list[Message]:
    """What comes after or before: days, months, letters; odd and even."""
    r = ctx.r
    if r.random() < 0.2:
        n = v.number(r)
        return say(ctx, r.choice(_W["PARITY"]).format(n=keep(n)), f"The last digit is {n % 10}.", f"{n} is {'even' if n % 2 == 0 else 'odd'}.")
    if r.random() < 0.15:
        return say(ctx, r.choice(_W["ALPHABET"]), "I say the alphabet.", ", ".join(SERIES["letter"]))
    kind = r.choice(list(SERIES))
    items = SERIES[kind]
    i, after = r.randrange(len(items)), r.random() < 0.6
    other = items[(i + (1 if after else -1)) % len(items)]
    word, where = items[i], "after" if after else "before"
    if kind == "letter" and (i == 25 if after else i == 0):
        return say(ctx, f"which letter comes {where} {word}?", f"{word} is at the end.", f"No letter comes {where} {word}.")
    text = r.choice(_W["AFTER" if after else "BEFORE"]).format(k=kind, x=keep(word))
    return say(ctx, text, f"{where.capitalize()} {word} comes {other}.", f"{other} comes {where} {word}.")
