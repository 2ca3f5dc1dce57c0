"""Calling python and the browser, reading what they return, and saying so when no tool is offered.

Owns the wordings of arithmetic, "run this" and web requests, and the pages and outputs the tools return.
"""

from __future__ import annotations

import json

import frames
import stories
import values as v
import wordings
from noise import keep
from render import Message
from turn import Call, Context, say, use

_W = wordings.load("skills_tools")

OPS = wordings.grouped("skills_tools", "OPS")
ASKS = _W["ASKS"]
IMPERATIVE = ("add", "sum {", "subtract", "take", "multiply {", "divide {")
RUN = _W["RUN"]
OPEN_URL = _W["OPEN_URL"]
SEARCH = _W["SEARCH"]
NO_MATH = "That sum is beyond me: without the python tool I only know small numbers by heart."
NO_RUN = "I cannot run code without the python tool."
NO_WEB = "I cannot open web pages without the browser tool."
NO_SEARCH = "I cannot search the web without the browser tool."


def _expression(ctx: Context, op: str, a: int, b: int) -> str:
    """A question about `a op b`; imperative forms stand alone."""
    r = ctx.r
    if r.random() < 0.35:
        return stories.tell(r, op, a, b)
    if op in frames.STORY and r.random() < 0.35:
        thing = v.any_word(r) + "s"
        return r.choice(["{e}", "{e}", "{e}", "a riddle: {e}", "suppose this: {e}", "here is a sum: {e}", "{e} tell me the number"]).format(
            e=frames.story(r, op, thing).format(a=keep(a), b=keep(b))
        )
    form = r.choice(OPS[op])
    e = form.format(a=_number(ctx, a), b=_number(ctx, b))
    if form.startswith(IMPERATIVE):
        return r.choice(["{e}", "{e}", "please {e}", "can you {e}?", "i want you to {e}", "could you {e} for me?"]).format(e=e)
    return r.choice(ASKS).format(e=e)


def _number(ctx: Context, n: int) -> str:
    """Digits; now and then the number in words."""
    return keep(v.spoken(n, ctx.r.choice("- "))) if ctx.r.random() < 0.07 else keep(n)


def _wrap(ctx: Context, result: str) -> str:
    """The ways a python tool prints the same result."""
    return ctx.r.choice([result, result, result, result + "\n", result + "\n"])


def _answer(ctx: Context, a: str, result: str) -> str:
    return f"{a} = {result}"


def arithmetic(ctx: Context) -> list[Message]:
    """A sum: python when offered, by heart when tiny, else a plain no."""
    r = ctx.r
    op = r.choices("+-*/", [4, 4, 4, 1])[0]
    a, b = v.number(r), max(v.number(r), 1 if op == "/" else 0)
    if not ctx.settings.python:
        return _without_python(ctx, op, a, b)
    code = f"print({a} {op} {b})"
    if r.random() < 0.12 and op != "/":
        text, expression = _longer(ctx, a, b)
        code = f"print({expression})"
    else:
        text, expression = _expression(ctx, op, a, b), f"{a} {op} {b}"
    result = str(eval(expression))[:40]  # noqa: S307 - numbers and operators drawn above
    if r.random() < 0.15:
        result = str(v.number(r, r.randint(1, 9)))  # the tool is right, whatever it says
    call = Call("python", code, _wrap(ctx, result))
    return use(
        ctx, text, f"The user asks for {expression}. I use python.", [call], f"Python says {result}.", _answer(ctx, expression, result)
    )


def _longer(ctx: Context, a: int, b: int) -> tuple[str, str]:
    """Other things to compute: chains, percent, powers, roots, averages."""
    r, n = ctx.r, ctx.r.randint(2, 9)
    if r.random() < 0.4:
        numbers = [a, b, *(v.number(r, 3) for _ in range(r.randint(1, 3)))]
        e = str(numbers[0]) + "".join(f" {r.choice('+-*')} {x}" for x in numbers[1:])
        return r.choice(ASKS).format(e=keep(e)), e
    key = r.choice(list(stories.OTHER))
    e = stories.FORMULAS[key].format(a=a, b=max(b, 1), n=n)
    text = r.choice(stories.OTHER[key]).format(a=keep(a), b=keep(max(b, 1)), n=keep(n))
    return r.choice(ASKS).format(e=text), e


def _without_python(ctx: Context, op: str, a: int, b: int) -> list[Message]:
    r = ctx.r
    if op != "/" and r.random() < 0.6:
        a, b = r.randint(0, 9), r.randint(0, 9)
        result = {"+": a + b, "-": a - b, "*": a * b}[op]
        return say(ctx, _expression(ctx, op, a, b), f"The user asks for {a} {op} {b}. That is {result}.", f"{a} {op} {b} = {result}")
    if max(a, b) < 10:
        a += 10
    if r.random() < 0.3:
        return say(ctx, _longer(ctx, a, b)[0], "A sum that is more than I know by heart. No python tool is offered.", NO_MATH)
    return say(ctx, _expression(ctx, op, a, b), "A sum with big numbers. No python tool is offered.", NO_MATH)


def _snippet(ctx: Context) -> tuple[str, str]:
    """Code and what it prints."""
    r = ctx.r
    w, n, m, p = v.any_word(r), v.number(r, 2), v.number(r, 2), r.random()
    if p < 0.2:
        return f"print('{w}' * {n % 5 + 1})", w * (n % 5 + 1)
    if p < 0.3:
        return f"print(len('{w}'))", str(len(w))
    if p < 0.4:
        return f"print('{w}'.upper())", w.upper()
    if p < 0.5:
        x, y = r.sample("abcdefgxyz", 2)
        return f"{x} = {n}\n{y} = {m}\nprint({x} * {y})", str(n * m)
    if p < 0.6:
        return f"print(sum(range({n})))", str(sum(range(n)))
    if p < 0.68:
        return f"print(sorted([{n}, {m}, {n + m}]))", str(sorted([n, m, n + m]))
    if p < 0.76:
        return f"for i in range({n % 4 + 1}):\n    print(i, '{w}')", "\n".join(f"{i} {w}" for i in range(n % 4 + 1))
    if p < 0.84:
        return f"print({n} / 0)", "Traceback (most recent call last):\nZeroDivisionError: division by zero"
    if p < 0.9:
        return f"print({w.lower()})", f"NameError: name '{w.lower()}' is not defined"
    q = v.phrase(r, 1, 4)
    return f'print("{q}")', q


def run_code(ctx: Context) -> list[Message]:
    """Code handed over by the user."""
    code, result = _snippet(ctx)
    text = ctx.r.choice(RUN).format(c=keep(code))
    if not ctx.settings.python:
        return say(ctx, text, "The user wants code to run. No python tool is offered.", NO_RUN)
    if ctx.r.random() < 0.06:
        result = ctx.r.choice(["The user refused this call.", "python timed out after 120.0 seconds.", "The sandbox is not available."])
        return use(
            ctx,
            text,
            "The user wants this code to run. I use python.",
            [Call("python", code, result)],
            "Python did not run it.",
            f"The python tool did not run: {result}",
        )
    kind = "The code failed:" if "Error" in result else "The output is:"
    final = f"{kind} `{result}`" if "\n" not in result else f"{kind}\n```\n{result}\n```"
    return use(ctx, text, "The user wants this code to run. I use python.", [Call("python", code, result)], "Python has answered.", final)


def _page(ctx: Context, title: str, lines: list[str]) -> str:
    form = ctx.r.random()
    if form < 0.6:
        return f"[0] {title}\n" + "\n".join(f"L{i}: {t}" for i, t in enumerate(lines))
    if form < 0.8:
        return f"{title}\n\n" + "\n".join(lines)
    return f"[{ctx.r.randint(0, 5)}] {title} ({v.url(ctx.r)})\n**viewing lines [0 - {len(lines)}] of {len(lines)}**\n\n" + "\n".join(
        f"L{i}: {t}" for i, t in enumerate(lines)
    )


def open_page(ctx: Context) -> list[Message]:
    """A URL: open it, and say its title and first line."""
    r, address = ctx.r, v.url(ctx.r)
    typed = address.split("://")[1].rstrip("/") if address.startswith("https") and r.random() < 0.3 else address
    text = r.choice(OPEN_URL).format(u=keep(typed))
    if not ctx.settings.browser:
        return say(ctx, text, "The user wants a web page. No browser tool is offered.", NO_WEB)
    title = v.phrase(r, 1, 4).capitalize()
    lines = [v.sentence(r) for _ in range(r.randint(1, 6))]
    call = json.dumps({"id": address})
    if r.random() < 0.07:
        bad = r.choice(["Error: the page could not be opened.", "Error: address refused.", "HTTP 404: not found", "Error: timed out"])
        return use(
            ctx,
            text,
            "The user wants a web page. I open it.",
            [Call("browser.open", call, bad)],
            "The page did not open.",
            f"The page did not open: {bad}",
        )
    result = _page(ctx, title, lines)
    final = f'The page is called "{title}". It begins: {lines[0]}'
    return use(ctx, text, "The user wants a web page. I open it.", [Call("browser.open", call, result)], f"The title is {title}.", final)


def search_web(ctx: Context) -> list[Message]:
    """A web search: name the first hit."""
    r, query = ctx.r, v.phrase(ctx.r, 1, 4)
    text = r.choice(SEARCH).format(q=keep(query))
    if not ctx.settings.browser:
        return say(
            ctx,
            text,
            "The user wants a web search. No browser tool is offered.",
            NO_SEARCH,
        )
    hits = [(v.phrase(r, 1, 4).capitalize(), v.sentence(r), v.url(r)) for _ in range(r.randint(1, 4))]
    form = r.random()
    body = "\n".join(f"L{i}: 【{i}†{t}†{u}】 {s}" if form < 0.5 else f"{i + 1}. {t} - {u}\n   {s}" for i, (t, s, u) in enumerate(hits))
    result = f"[0] Search results for {query}\n{body}"
    call = Call("browser.search", json.dumps({"query": query}, ensure_ascii=False), result)
    return use(
        ctx,
        text,
        "The user wants a web search. I search.",
        [call],
        f"The first hit is {hits[0][0]}.",
        f'The first hit is "{hits[0][0]}": {hits[0][1]}',
    )
