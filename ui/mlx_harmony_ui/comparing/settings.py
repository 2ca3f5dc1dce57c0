"""The settings above each side of a comparison: a model and the few numbers that matter, as controls and back as options. Pure."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from mlx_harmony.comparing import SIDES, Side
from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.field import LARGEST, Field
from mlx_harmony.ranges import MAX_TOKENS, SAMPLING_FIELDS
from mlx_harmony.records import EFFORTS, Record
from mlx_harmony_ui.controls import effort_from, number_from
from mlx_harmony_ui.listing import ModelChoice

NAMES: dict[Side, str] = {"left": "First model", "right": "Second model"}
SAMPLED = tuple(field for field in SAMPLING_FIELDS if field.name in ("temperature", "seed"))
NUMBERS: tuple[Field, ...] = (*SAMPLED, MAX_TOKENS)
LONGEST_ID = 4096


class NumberView(Record):
    """One number to set; all of it is text, an empty `value` leaves it to the program. `high` is empty where no end is worth telling."""

    name: str
    label: str
    help: str
    low: str
    high: str
    step: str
    value: str


class SideSetup(Record):
    """The controls of one side. `model` is the id that is chosen."""

    side: Side
    name: str
    model: str
    effort: str
    numbers: tuple[NumberView, ...]


class SetupView(Record):
    """Both sides and what they choose from. `mark` changes whenever the models do; `alone`: there is only one that can be used."""

    sides: tuple[SideSetup, ...]
    models: tuple[ModelChoice, ...]
    mark: str
    alone: bool
    efforts: tuple[str, ...] = EFFORTS


def setup_view(models: Sequence[ModelChoice], sides: Mapping[Side, TurnOptions]) -> SetupView:
    """The controls as these options have them."""
    seen = tuple((each.id, each.problem) for each in models)
    return SetupView(
        sides=tuple(
            SideSetup(
                side=side,
                name=NAMES[side],
                model=sides[side].model or "",
                effort=sides[side].effort,
                numbers=tuple(_number(field, sides[side]) for field in NUMBERS),
            )
            for side in SIDES
        ),
        models=tuple(models),
        mark=f"{zlib.crc32(repr(seen).encode('utf-8', 'replace')):08x}",
        alone=sum(not each.broken for each in models) < 2,
    )


def beginning(models: Sequence[ModelChoice], usual: TurnOptions, chosen: str) -> dict[Side, TurnOptions]:
    """What both sides begin with: the default model, and beside it the first other one that can be used."""
    other = next((each.id for each in models if not each.broken and each.id != chosen), chosen)
    return {"left": msgspec.structs.replace(usual, model=chosen), "right": msgspec.structs.replace(usual, model=other)}


def side_options(sent: Mapping[str, Any], usual: TurnOptions) -> TurnOptions:
    """What the page chose for a side, over what a new chat begins with. Raises InvalidRequest naming the field."""
    model = sent.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= LONGEST_ID:
        raise InvalidRequest("Choose a model for each side.", param="model")
    return msgspec.structs.replace(
        usual,
        model=model,
        sampling=msgspec.structs.replace(usual.sampling, **{field.name: number_from(field, sent.get(field.name)) for field in SAMPLED}),
        max_tokens=number_from(MAX_TOKENS, sent.get(MAX_TOKENS.name)),
        effort=effort_from(sent.get("effort", usual.effort)),
    )


def _number(field: Field, options: TurnOptions) -> NumberView:
    value = getattr(options if field is MAX_TOKENS else options.sampling, field.name)
    drawn = field.name == "seed" and value < 0
    return NumberView(
        name=field.name,
        label=field.label,
        help=f"{field.help} {field.span}",
        low=f"{field.low:g}",
        high=f"{field.high:g}" if field.high < LARGEST else "",
        step=f"{field.step:g}",
        value="" if value is None or drawn else f"{value:.15g}",
    )
