"""What an alias is, and what it asks of a request: frozen records without behaviour but what follows from them alone."""

from typing import Literal

from mlx_harmony.records import ChatPrompt, Effort, GenerationRequest, ModelEntry, Record, TextPrompt

Strategy = Literal["round_robin", "first"]
STRATEGIES: tuple[Strategy, ...] = ("round_robin", "first")


class Rule(Record):
    """Where all that it asks for holds, `model` answers; None asks for nothing.

    Tokens and characters are those of all messages together, without what a template adds; tokens as `model` cuts them.
    """

    model: str
    min_tokens: int | None = None
    max_tokens: int | None = None
    min_characters: int | None = None
    max_characters: int | None = None
    tools: bool | None = None
    effort: Effort | None = None


class Alias(Record):
    """A name for several models. The first rule that holds says who answers; else they take turns, or the first one does.

    Where a model cannot be loaded the next one answers, `fallbacks` at last. A name among the models may be another alias. `problem`
    says why it cannot be used, "" where it can.
    """

    name: str
    models: tuple[str, ...] = ()
    strategy: Strategy = "round_robin"
    rules: tuple[Rule, ...] = ()
    fallbacks: tuple[str, ...] = ()
    problem: str = ""

    @property
    def named(self) -> tuple[str, ...]:
        """Every model and alias it names, once each."""
        return tuple(dict.fromkeys((*self.models, *(rule.model for rule in self.rules), *self.fallbacks)))


class AliasRow(Record):
    """An alias as listed, and as the model that it stands for.

    `missing` are those of its models that are not on this machine; `answered` counts answers in this program.
    """

    alias: Alias
    entry: ModelEntry
    missing: tuple[str, ...] = ()
    answered: dict[str, int] = {}


class Asked(Record):
    """What rules look at. `tokens` are the request's by the model that a rule names, where one asks for them."""

    characters: int = 0
    tokens: dict[str, int] = {}
    tools: bool = False
    effort: Effort = "medium"

    @classmethod
    def of(cls, request: GenerationRequest) -> "Asked":
        match request.prompt:
            case ChatPrompt(messages=messages, tools=tools, effort=effort):
                return cls(characters=sum(len(each.content) for each in messages), tools=bool(tools), effort=effort)
            case TextPrompt(text=text):
                return cls(characters=len(text))
            case _:
                return cls()


class Step(Record):
    """A model that is to answer if no earlier step could, and why it; "" for its place in the list."""

    model: str
    why: str = ""
