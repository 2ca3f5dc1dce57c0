"""Fitting a chat into a context: the oldest whole turns go, instructions and the newest question stay. Knows no tokenizer and no mlx.

A turn begins with a user's message and holds what followed it, so no tool's result is left without its call. How many go changes in
steps of a quarter of the limit: from one question to the next the prompt mostly begins the same, and what was read of it is reused.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from mlx_harmony.context import context_of, prompt_room
from mlx_harmony.records import ChatPrompt, GenerationRequest, ModelCard, Prompt
from mlx_harmony.worker.formats import FormatDefaults, Rendered

STEPS = 4

Render = Callable[[Prompt], Rendered]


class Fitted(NamedTuple):
    """The prompt as it fits and the places of the messages it lost; `whole` is all of it as rendered before."""

    prompt: Prompt
    rendered: Rendered
    dropped: tuple[int, ...]
    whole: Rendered


def capped(card: ModelCard, request: GenerationRequest) -> ModelCard:
    """The model with the context that this request may use. A margin that leaves nothing of it is ignored."""
    context = context_of(request, card.context_length)
    return card if context == card.context_length else msgspec.structs.replace(card, context_length=context)


def prompt_limit(request: GenerationRequest, defaults: FormatDefaults, card: ModelCard) -> int:
    """The most tokens a prompt may have before turns go: the context less room for the answer, and no more than its budget."""
    return prompt_room(request, card.context_length, defaults.max_tokens)


def fit_prompt(render: Render, prompt: Prompt, limit: int) -> Fitted:
    """The prompt within `limit` tokens, as far as dropping whole turns can bring it there."""
    whole = render(prompt)
    if not isinstance(prompt, ChatPrompt) or len(whole.tokens) <= limit:
        return Fitted(prompt, whole, (), whole)
    turns = turns_of(prompt)
    wanted = _wanted(len(whole.tokens), limit)
    saved = _saved_by_parts(turns, whole) if whole.parts else _saved_by_rendering(render, prompt, turns, len(whole.tokens))
    dropped = _first_at_least(wanted, len(turns) - 1, saved)
    if not dropped:
        return Fitted(prompt, whole, (), whole)
    gone = tuple(at for turn in turns[:dropped] for at in turn)
    shorter = without(prompt, gone)
    return Fitted(shorter, render(shorter), gone, whole)


def turns_of(prompt: ChatPrompt) -> list[list[int]]:
    """The places of each turn's messages, oldest turn first; instructions belong to none."""
    turns: list[list[int]] = []
    for at, message in enumerate(prompt.messages):
        if message.role in ("system", "developer"):
            continue
        if message.role == "user" or not turns:
            turns.append([])
        turns[-1].append(at)
    return turns


def without(prompt: ChatPrompt, gone: tuple[int, ...]) -> ChatPrompt:
    """The prompt less the messages at these places."""
    left = set(gone)
    return msgspec.structs.replace(prompt, messages=tuple(message for at, message in enumerate(prompt.messages) if at not in left))


def _wanted(total: int, limit: int) -> int:
    """How many tokens have to go: what is too much, rounded up to a whole step."""
    step = max(1, limit // STEPS)
    return -(-(total - limit) // step) * step


def _saved_by_parts(turns: list[list[int]], whole: Rendered) -> Callable[[int], int]:
    sums = [0]
    for turn in turns:
        sums.append(sums[-1] + sum(whole.parts[at] for at in turn))
    return lambda count: sums[count]


def _saved_by_rendering(render: Render, prompt: ChatPrompt, turns: list[list[int]], total: int) -> Callable[[int], int]:
    return lambda count: total - len(render(without(prompt, tuple(at for turn in turns[:count] for at in turn))).tokens)


def _first_at_least(wanted: int, most: int, saved: Callable[[int], int]) -> int:
    """The fewest turns to drop that save as much; all but the newest where none does. `saved` never falls."""
    low, high = min(1, most), max(0, most)
    while low < high:
        middle = (low + high) // 2
        if saved(middle) >= wanted:
            high = middle
        else:
            low = middle + 1
    return low
