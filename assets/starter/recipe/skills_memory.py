"""Remembering: the user tells something, and asks for it turns later.

Owns the slots, the ways of telling and the ways of asking. Values are open-ended.
"""

from __future__ import annotations

from collections.abc import Callable

import values as v
from noise import keep
from render import Message
from turn import Context, say

Draw = Callable[[object], str]
PERSON = "wife husband sister brother mother father boss neighbour friend teacher doctor cousin uncle aunt son daughter colleague roommate".split()
PETS = "dog cat horse parrot hamster rabbit turtle goldfish snake pony".split()
NAMED = "boat car robot project band team company school street house laptop server book song plant bicycle startup blog shop".split()
WORDS = [f"favourite {x}" for x in "colour food fruit animal word drink sport game book film song season flower tool city country planet".split()] + [
    "favorite color", "nickname", "surname", "last name", "first name", "middle name", "user name", "job", "hobby", "home town", "language", "star sign", "lucky charm",
]
CODES = "password code PIN order number ticket number room number phone number licence plate locker code secret code customer number booking code wifi password".split()
CODES = ["password", "code", "pin", "order number", "ticket number", "room number", "phone number", "licence plate", "locker code", "secret code",
         "customer number", "booking code", "wifi password", "seat", "flight", "gate", "invoice number", "serial number"]
NUMBERS = ["age", "lucky number", "shoe size", "house number", "budget", "score", "height", "weight", "number of children", "bus line", "target", "bib number"]
SECRET = ["magic word", "secret word", "keyword", "password of the day", "safe word", "code word"]

TELL = [
    "my {s} is {v}", "my {s} is {v}", "my {s} is called {v}", "the name of my {s} is {v}", "{v} is my {s}", "remember that my {s} is {v}",
    "please remember: my {s} is {v}", "note that my {s} is {v}", "i want you to know that my {s} is {v}", "for later: my {s} is {v}", "just so you know, my {s} is {v}",
    "by the way, my {s} is {v}", "keep in mind my {s} is {v}", "let me tell you my {s}: {v}", "my {s}: {v}", "don't forget, my {s} is {v}", "as for my {s}, it is {v}",
    "i should mention that my {s} is {v}", "you should know my {s} is {v}", "save this: my {s} = {v}", "my {s} would be {v}", "fyi my {s} is {v}", "it's {v}, my {s}",
    "memorise this, my {s} is {v}", "hello, my {s} is {v}", "my {s} happens to be {v}", "i'll tell you something: my {s} is {v}", "here is my {s}: {v}", "my {s}? {v}",
    "my {s} goes by {v}", "people call my {s} {v}", "i named my {s} {v}", "i have a {s} called {v}", "i have a {s} named {v}", "we call our {s} {v}",
]
NAME_TELL = [
    "my name is {v}", "i am {v}", "i'm {v}", "call me {v}", "you can call me {v}", "the name is {v}", "hi, i'm {v}", "hello, my name is {v}", "i am called {v}",
    "people call me {v}", "please call me {v}", "name's {v}", "my friends call me {v}", "this is {v}", "{v} here", "it's {v}", "hello, this is {v} speaking", "my name: {v}",
]
ASK = [
    "what is my {s}?", "what's my {s}?", "do you remember my {s}?", "tell me my {s}", "what was my {s}?", "what was my {s} again?", "can you tell me my {s}?", "my {s}?",
    "which {s} did i tell you?", "what did i say my {s} was?", "remind me of my {s}", "i forgot my {s}, what is it?", "say my {s}", "do you know my {s}?", "what is the name of my {s}?",
    "how is my {s} called?", "what did i call my {s}?", "repeat my {s}", "could you remind me what my {s} is?", "give me my {s}", "so what is my {s}?", "and my {s} is?",
    "what is my {s} called?", "who is my {s}?", "recall my {s}", "what have i told you about my {s}?",
]
NAME_ASK = [
    "what is my name?", "what's my name?", "who am i?", "do you remember my name?", "do you know who i am?", "say my name", "how am i called?", "what am i called?",
    "tell me my name", "can you remember my name?", "what was my name again?", "remind me of my name", "my name?", "do you still know my name?", "what did i say my name was?",
]
ACK = ["Noted: your {s} is {v}.", "Thanks, I will remember that your {s} is {v}.", "Got it. Your {s} is {v}.", "All right, your {s} is {v}.", "I will keep that in mind."]
HELLO = ["Nice to meet you, {v}!", "Hello, {v}!", "Hi {v}! What can I do for you?", "Pleased to meet you, {v}."]
OPEN = ["the {a} of {b} is {v}", "{b} has the {a} {v}", "remember this: {a} of {b} = {v}", "for {b} the {a} is {v}", "note: {b}, {a}, {v}", "the {a} for {b} is {v}"]
OPEN_ASK = ["what is the {a} of {b}?", "which {a} has {b}?", "{a} of {b}?", "tell me the {a} of {b}", "what was the {a} for {b}?", "for {b}, what is the {a}?"]
KEYS = "colour price size weight owner capital code number name age leader taste shape speed height home key label price level rank score".split()


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
    if ctx.r.random() < 0.12:
        return v.word(ctx.r, 1, 2)
    return ctx.r.choice(group)


def tell(ctx: Context, frames: list[str] = TELL) -> list[Message]:
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
    text = r.choice(frames).format(s=slot, v=keep(value))
    if known and r.random() < 0.7:
        text = r.choice(["actually, ", "correction: ", "sorry, ", "i was wrong, ", "no, "]) + text
    return say(ctx, text, f"The user tells me their {slot}: {value}.", r.choice(ACK).format(s=slot, v=value), [f"I keep it: {slot} = {value}."])


def tell_name(ctx: Context, frames: list[str] = NAME_TELL) -> list[Message]:
    """The user gives their name."""
    value = v.name(ctx.r)
    ctx.told["name"] = value
    text = ctx.r.choice(frames).format(v=keep(value))
    if ctx.r.random() < 0.15:
        text = ctx.r.choice(["hi! ", "hello, ", "hey there, ", "good morning! "]) + text
    return say(ctx, text, f"The user's name is {value}.", ctx.r.choice(HELLO).format(v=value), [f"I keep it: name = {value}."])


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
        parts.append(r.choice(TELL[:6]).format(s=slot, v=keep(ctx.told[slot])))
    final = "Noted: " + ", ".join(f"your {s} is {ctx.told[s]}" for s in kept) + "."
    return say(ctx, r.choice([", ", " and ", ". ", "; "]).join(parts), f"The user tells me {len(kept)} things.", final)


def ask(ctx: Context, frames: list[str] = ASK, key: str = "") -> list[Message]:
    """A question about something told earlier."""
    key = key or ctx.r.choice(list(ctx.told))
    value = ctx.told[key]
    if key == "name":
        return say(ctx, ctx.r.choice(NAME_ASK), f"The user asks for their name. They said: {value}.", f"Your name is {value}.", [f"name = {value}."])
    if " of " in key:
        a, b = key.split(" of ", 1)
        text = ctx.r.choice(OPEN_ASK).format(a=a, b=keep(b))
        return say(ctx, text, f"The user asks for the {key}. They said: {value}.", f"The {key} is {value}.", [f"{key} = {value}."])
    text = ctx.r.choice(frames).format(s=key)
    return say(ctx, text, f"The user asks for their {key}. They said: {value}.", f"Your {key} is {value}.", [f"{key} = {value}."])


def ask_unknown(ctx: Context) -> list[Message]:
    """A question about something never told."""
    if "name" not in ctx.told and ctx.r.random() < 0.4:
        return say(ctx, ctx.r.choice(NAME_ASK), "The user asks for their name. They have not told me.", "You have not told me your name yet.")
    slot = _slot(ctx)
    while slot in ctx.told:
        slot = _slot(ctx)
    text = ctx.r.choice(ASK).format(s=slot)
    return say(ctx, text, f"The user asks for their {slot}. They have not told me.", f"You have not told me your {slot} yet.")


def ask_earlier(ctx: Context) -> list[Message]:
    """What did I say first, or last?"""
    r = ctx.r
    first = r.random() < 0.5
    said = ctx.said[0] if first else ctx.said[-1]
    if len(said) > 200:
        return ask_unknown(ctx)
    which = "first" if first else r.choice(["last", "previous"])
    text = r.choice(["what was my {w} message?", "what did i say {w}?" if first else "what was my {w} question?", "repeat my {w} message", "tell me my {w} message"])
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
    return say(ctx, text, f"I look for {keys[i]} in the text. It says: {vals[i]}.", f"{form.format(k=keys[i], v=vals[i])}." if "=" not in form else f"{keys[i]} is {vals[i]}.")
