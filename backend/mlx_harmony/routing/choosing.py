"""Who is to answer for an alias, one after the other until one can be loaded. It knows neither files nor which models are there."""

import threading
from collections.abc import Callable, Iterator, Mapping

from mlx_harmony.routing.records import Alias, Asked, Rule, Step

Take = Callable[[str, int], int]
"""Whose turn it is: of the alias of that name, which has so many models."""


class Rotation:
    """Whose turn it is for each alias. Requests may ask from any thread at once: each gets a turn of its own, none is passed over.

    `begin` says where an alias of so many models begins.
    """

    def __init__(self, begin: Callable[[int], int] = lambda _models: 0) -> None:
        self._begin = begin
        self._next: dict[str, int] = {}
        self._alone = threading.Lock()

    def take(self, name: str, models: int) -> int:
        """The place whose turn it is; the next request gets the next one."""
        with self._alone:
            place = self._next.get(name, self._begin(models)) % models
            self._next[name] = place + 1
            return place

    def look(self, name: str, models: int) -> int:
        """The same without taking the turn."""
        with self._alone:
            return self._next.get(name, self._begin(models)) % models


def steps(name: str, aliases: Mapping[str, Alias], asked: Asked, take: Take) -> Iterator[Step]:
    """The models to be tried for this request, the best first, each once. A turn is taken only when its models are reached.

    `aliases` are those that lead in no circle.
    """
    seen = {name}

    def of_alias(alias: Alias) -> Iterator[Step]:
        rule = next((rule for rule in alias.rules if holds(rule, asked)), None)
        if rule is not None:
            yield from of((rule.model,), because(rule))
        turns = alias.strategy == "round_robin" and len(alias.models) > 1
        turn = take(alias.name, len(alias.models)) if turns else 0
        yield from of((*alias.models[turn:], *alias.models[:turn]), "its models take turns" if turns else "")
        yield from of(alias.fallbacks)

    def of(names: tuple[str, ...], why: str = "") -> Iterator[Step]:
        for each in names:
            if each not in seen:
                seen.add(each)
                inner = of_alias(aliases[each]) if each in aliases else (Step(model=each),)
                yield from (Step(model=step.model, why=why or step.why) for step in inner)

    return of_alias(aliases[name])


def holds(rule: Rule, asked: Asked) -> bool:
    """Whether everything that a rule asks for is so."""
    tokens = asked.tokens.get(rule.model, 0)
    wanted = (
        rule.min_tokens is None or tokens >= rule.min_tokens,
        rule.max_tokens is None or tokens <= rule.max_tokens,
        rule.min_characters is None or asked.characters >= rule.min_characters,
        rule.max_characters is None or asked.characters <= rule.max_characters,
        rule.tools is None or asked.tools == rule.tools,
        rule.effort is None or asked.effort == rule.effort,
    )
    return all(wanted)


def because(rule: Rule) -> str:
    """What a rule asks for, as a sentence goes on after a colon."""
    parts = (
        "" if rule.min_tokens is None else f"the prompt has at least {rule.min_tokens:,} tokens",
        "" if rule.max_tokens is None else f"the prompt has at most {rule.max_tokens:,} tokens",
        "" if rule.min_characters is None else f"the prompt has at least {rule.min_characters:,} characters",
        "" if rule.max_characters is None else f"the prompt has at most {rule.max_characters:,} characters",
        "" if rule.tools is None else f"{'' if rule.tools else 'no '}tools are offered",
        "" if rule.effort is None else f"the reasoning effort is {rule.effort}",
    )
    return " and ".join(part for part in parts if part)
