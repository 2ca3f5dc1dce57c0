"""Remembering: the user tells something, and asks for it turns later.

Owns the slots, the ways of telling and the ways of asking. Values are open-ended.
"""

from __future__ import annotations

from collections.abc import Callable

import frames
import values as v
import wordings
from noise import keep
from render import Message
from turn import Context, say

_W = wordings.load("skills_memory")

Draw = Callable[[object], str]
PERSON = _W["PERSON"]
PETS = "dog cat horse parrot hamster rabbit turtle goldfish snake pony".split()
NAMED = "boat car robot project band team company school street house laptop server book song plant bicycle startup blog shop".split()
WORDS = _W["WORDS"]
CODES = _W["CODES"]
NUMBERS = _W["NUMBERS"]
SECRET = ["magic word", "secret word", "keyword", "password of the day", "safe word", "code word"]

TELL = _W["TELL"]
NAME_TELL = _W["NAME_TELL"]
ASK = _W["ASK"]
NAME_ASK = _W["NAME_ASK"]
ACK = _W["ACK"]
HELLO = ["Nice to meet you, {v}!", "Hello, {v}!", "Hi {v}! What can I do for you?", "Pleased to meet you, {v}."]
OPEN = _W["OPEN"]
OPEN_ASK = _W["OPEN_ASK"]
_CHAT = wordings.load("skills_chat")
PLAIN, LANGUAGES = [s for s in _CHAT["STATEMENTS"] if "{n}" not in s and "my" not in s], _CHAT["LANGUAGES"]
KEYS = _W["KEYS"]


def _value(ctx: Context, slot: str) -> str:
    r = ctx.r
    if slot in CODES:
        return v.code(r)
    if slot in NUMBERS:
        return str(v.number(r))
    if slot in SECRET or slot in WORDS:
        return v.cased(r, v.any_word(r)) if r.random() < 0.85 else v.phrase(r, 2, 2)
    return v.name(r)


def _slot(ctx: Context) -> str:
    group = ctx.r.choice([PERSON, PETS, NAMED, WORDS, WORDS, CODES, NUMBERS, SECRET])
    p = ctx.r.random()
    if p < 0.12:
        return v.word(ctx.r, 1, 2)
    if p < 0.27:
        return ctx.r.choice(v.THINGS) if p < 0.22 else f"{ctx.r.choice(v.ADJECTIVES)} {ctx.r.choice(v.THINGS)}"
    return ctx.r.choice(group)


def tell(ctx: Context) -> list[Message]:
    """The user tells a slot's value; a later telling of the same slot replaces it."""
    r = ctx.r
    if r.random() < 0.3:
        return tell_name(ctx)
    if r.random() < 0.2:
        return tell_open(ctx)
    slot = r.choice(list(ctx.told)) if ctx.told and r.random() < 0.08 else _slot(ctx)
    if slot == "name" or " of " in slot:
        slot = "dog"
    value = _value(ctx, slot)
    known = slot in ctx.told
    ctx.told[slot] = value
    frame = r.choice(TELL) if r.random() < 0.4 else frames.tell(r, name=False)
    text = frame.format(s=keep(slot), v=keep(value))
    if known and r.random() < 0.7:
        text = r.choice(["actually, ", "correction: ", "sorry, ", "i was wrong, ", "no, "]) + text
    text = _among(ctx, text)
    return say(
        ctx, text, f"The user tells me their {slot}: {value}.", r.choice(ACK).format(s=slot, v=value), [f"I keep it: {slot} = {value}."]
    )


def tell_name(ctx: Context) -> list[Message]:
    """The user gives their name."""
    value = v.name(ctx.r)
    ctx.told["name"] = value
    frame = ctx.r.choice(NAME_TELL) if ctx.r.random() < 0.3 else frames.tell(ctx.r, name=True)
    text = frame.format(s="name", v=keep(value))
    if ctx.r.random() < 0.1:
        text = ctx.r.choice(["hi! ", "hello, ", "hey there, ", "good morning! "]) + text
    text = _among(ctx, text)
    return say(ctx, text, f"The user's name is {value}.", ctx.r.choice(HELLO).format(v=value), [f"I keep it: name = {value}."])


def _among(ctx: Context, text: str) -> str:
    """Now and then what matters stands among other sentences."""
    r = ctx.r
    if r.random() > 0.15:
        return text
    other = [r.choice(PLAIN).format(x=v.any_word(r), p=v.place(r), l=r.choice(LANGUAGES)) for _ in range(r.randint(1, 2))]
    at = r.randint(0, len(other))
    return ". ".join([*other[:at], text, *other[at:]])


def tell_and_ask(ctx: Context) -> list[Message]:
    """Told and asked for in one message."""
    r = ctx.r
    named = r.random() < 0.5
    slot = "name" if named else _slot(ctx)
    value = v.name(r) if named else _value(ctx, slot)
    ctx.told[slot] = value
    told = (r.choice(NAME_TELL) if named else r.choice(TELL)).format(s=keep(slot), v=keep(value))
    asked = _name_question(ctx) if named else _slot_question(ctx, slot)
    text = told + r.choice([". ", ". ", "! ", ", ", "\n", " and ", ". now: ", ". so "]) + asked
    return say(ctx, text, f"The user tells me their {slot} and asks for it: {value}.", f"Your {slot} is {value}.", [f"{slot} = {value}."])


def tell_open(ctx: Context) -> list[Message]:
    """A fact about some thing: both the attribute and the owner are arbitrary."""
    r = ctx.r
    a, b = r.choice(KEYS), (v.name(r) if r.random() < 0.6 else v.any_word(r))
    value = r.choice([v.any_word(r), v.name(r), str(v.number(r)), v.code(r)])
    ctx.told[f"{a} of {b}"] = value
    text = r.choice(OPEN).format(a=a, b=keep(b), v=keep(value))
    return say(ctx, text, f"The user tells me: the {a} of {b} is {value}.", f"Noted: the {a} of {b} is {value}.")


def tell_many(ctx: Context) -> list[Message]:
    """Several facts in one message."""
    r = ctx.r
    parts, kept = [], []
    for _ in range(r.randint(2, 5)):
        slot = _slot(ctx)
        if slot in kept:
            continue
        kept.append(slot)
        ctx.told[slot] = _value(ctx, slot)
        parts.append(r.choice(TELL[:6]).format(s=keep(slot), v=keep(ctx.told[slot])))
    final = "Noted: " + ", ".join(f"your {s} is {ctx.told[s]}" for s in kept) + "."
    return say(ctx, r.choice([", ", " and ", ". ", "; "]).join(parts), f"The user tells me {len(kept)} things.", final)


def _name_question(ctx: Context) -> str:
    return ctx.r.choice(NAME_ASK) if ctx.r.random() < 0.4 else frames.ask(ctx.r).format(s="name")


def _slot_question(ctx: Context, slot: str) -> str:
    frame = ctx.r.choice(ASK) if ctx.r.random() < 0.3 else frames.ask(ctx.r)
    return frame.format(s=keep(slot))


def ask(ctx: Context, key: str = "") -> list[Message]:
    """A question about something told earlier."""
    key = key or ctx.r.choice(list(ctx.told))
    value = ctx.told[key]
    if key == "name":
        return say(
            ctx, _name_question(ctx), f"The user asks for their name. They said: {value}.", f"Your name is {value}.", [f"name = {value}."]
        )
    if " of " in key:
        a, b = key.split(" of ", 1)
        text = ctx.r.choice(OPEN_ASK).format(a=a, b=keep(b))
        return say(ctx, text, f"The user asks for the {key}. They said: {value}.", f"The {key} is {value}.", [f"{key} = {value}."])
    text = _slot_question(ctx, key)
    return say(ctx, text, f"The user asks for their {key}. They said: {value}.", f"Your {key} is {value}.", [f"{key} = {value}."])


def ask_unknown(ctx: Context) -> list[Message]:
    """A question about something never told."""
    if "name" not in ctx.told and ctx.r.random() < 0.4:
        return say(ctx, _name_question(ctx), "The user asks for their name. They have not told me.", "You have not told me your name yet.")
    slot = _slot(ctx)
    while slot in ctx.told:
        slot = _slot(ctx)
    text = _slot_question(ctx, slot)
    return say(ctx, text, f"The user asks for their {slot}. They have not told me.", f"You have not told me your {slot} yet.")


def ask_earlier(ctx: Context) -> list[Message]:
    """What did I say first, or last?"""
    r = ctx.r
    if not ctx.said:
        return say(ctx, r.choice(_W["EARLIER"]), "The user asks for an earlier message. There is none.", "This is your first message.")
    first = r.random() < 0.4
    said = ctx.said[0] if first else ctx.said[-1]
    if len(said) > 200:
        return ask_unknown(ctx)
    which = "first" if first else r.choice(["last", "previous"])
    forms = ["what was my {w} message?", "repeat my {w} message", "tell me my {w} message", "what was my {w} question?", "my {w} message?"]
    text = r.choice([*forms, "what did i say {w}?"] if first else [*forms, *_W["EARLIER"]])
    return say(ctx, text.format(w=which), f"The user asks for their {which} message.", f"Your {which} message was: {said}", direct=False)


def context_read(ctx: Context) -> list[Message]:
    """A little text to read, then a question about it in the same message."""
    r = ctx.r
    n = r.randint(2, 7)
    keys = [v.name(r) if r.random() < 0.5 else v.any_word(r) for _ in range(n)]
    vals = [r.choice([v.any_word, v.name, lambda q: str(v.number(q)), v.code])(r) for _ in range(n)]
    form = r.choice(["{k}: {v}", "{k} = {v}", "{k} is {v}", "{k} has {v}", "{k} -> {v}", "{k} likes {v}"])
    sep = r.choice(["\n", ", ", "; ", ". "])
    body = sep.join(form.format(k=k, v=w) for k, w in zip(keys, vals, strict=True))
    i = r.randrange(n)
    question = {"{k} has {v}": "what does {k} have?", "{k} likes {v}": "what does {k} like?"}.get(form, "what is {k}?").format(k=keys[i])
    text = keep(f"{body}\n{question}") if r.random() < 0.6 else keep(f"{question}\n{body}")
    if keys.count(keys[i]) > 1:
        return tell_name(ctx)
    return say(
        ctx,
        text,
        f"I look for {keys[i]} in the text. It says: {vals[i]}.",
        f"{form.format(k=keys[i], v=vals[i])}." if "=" not in form else f"{keys[i]} is {vals[i]}.",
    )
