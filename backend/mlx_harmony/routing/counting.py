"""How long a request is in tokens, where an alias's rules ask for it: in those of the model that the rule names. Opens no tokenizer."""

from collections.abc import Awaitable, Callable, Iterator, Mapping

import msgspec

from mlx_harmony.records import ChatPrompt, GenerationRequest, ModelEntry, Prompt, TextPrompt, TokenPrompt
from mlx_harmony.routing.records import Alias, Asked, Rule

BYTES_A_TOKEN = 4
"""How long a token is taken to be where nobody can count: about right for English text."""

Count = Callable[[str, str], Awaitable[int | None]]
"""Counts a text for the model of that name; None where it cannot."""
TextCount = Callable[[ModelEntry, str], Awaitable[int | None]]
"""Counts a text for a model; None where it cannot."""


async def nobody_counts(_entry: ModelEntry, _text: str) -> int | None:
    """Every text's length is estimated."""
    return None


async def measured(name: str, aliases: Mapping[str, Alias], request: GenerationRequest, count: Count) -> Asked:
    """What the rules of an alias look at, with the request's tokens where they ask for them and its bytes do not settle it already.

    `aliases` are those that lead in no circle.
    """
    asked, rules = Asked.of(request), tuple(_token_rules(name, aliases))
    if not rules:
        return asked
    if isinstance(request.prompt, TokenPrompt):
        return msgspec.structs.replace(asked, tokens={rule.model: len(request.prompt.tokens) for rule in rules})
    text = text_of(request.prompt)
    size = len(text.encode("utf-8", "replace"))
    tokens = {rule.model: size for rule in rules}
    for model in dict.fromkeys(rule.model for rule in rules if not _settled(rule, size)):
        counted = await count(_first(model, aliases), text)
        tokens[model] = -(-size // BYTES_A_TOKEN) if counted is None else counted
    return msgspec.structs.replace(asked, tokens=tokens)


def text_of(prompt: Prompt) -> str:
    """All that stands in a prompt, without what a template adds."""
    match prompt:
        case ChatPrompt(messages=messages):
            return "\n".join(message.content for message in messages)
        case TextPrompt(text=text):
            return text
        case _:
            return ""


def _settled(rule: Rule, size: int) -> bool:
    """Whether so many bytes tell already that it holds, or that it does not: a token has at least one."""
    too_short = rule.min_tokens is not None and size < rule.min_tokens
    short_enough = rule.min_tokens is None and rule.max_tokens is not None and size <= rule.max_tokens
    return too_short or short_enough


def _token_rules(name: str, aliases: Mapping[str, Alias]) -> Iterator[Rule]:
    """The rules that ask for tokens, of the alias and of those that it leads to."""
    seen, waiting = {name}, [name]
    while waiting:
        alias = aliases[waiting.pop()]
        yield from (rule for rule in alias.rules if rule.min_tokens is not None or rule.max_tokens is not None)
        new = [each for each in alias.named if each in aliases and each not in seen]
        seen.update(new)
        waiting += new


def _first(model: str, aliases: Mapping[str, Alias]) -> str:
    """The model that a name stands for; of an alias its first one."""
    while model in aliases:
        model = aliases[model].named[0]
    return model
