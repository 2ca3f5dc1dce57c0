"""The chat's options that are no sliders: lists and texts, each with its sentence, its range and the way back. Pure."""

from collections.abc import Sequence

from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.ranges import MOST_STOPS, said_token_ids
from mlx_harmony.records import ModelEntry, Record
from mlx_harmony_ui.controls import GUESSERS, LOOP_CHOICES, NO_DRAFT, RESEED_CHOICES, draft_choices

IDS = r"\s*(none|\d+(\s*,\s*\d+)*)?\s*"
MOST = f"{MOST_STOPS} at most"


class ChoiceView(Record):
    """One list of `choices` as (value, name), or a text of that many `lines`. `back` is in words where a reset leads, to `default`.

    `pattern` is what a text of one line must be.
    """

    id: str
    name: str
    label: str
    help: str
    value: str
    back: str
    default: str = ""
    span: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    lines: int = 1
    hint: str = ""
    pattern: str = ""


class ChoiceViews(Record):
    """Those below the sliders of two groups, and those of the prompt."""

    repetition: tuple[ChoiceView, ...]
    advanced: tuple[ChoiceView, ...]
    prompt: tuple[ChoiceView, ...]


def choices(options: TurnOptions, models: Sequence[ModelEntry]) -> ChoiceViews:
    """All of them, as the options have them; `models` are those that may guess ahead."""
    return ChoiceViews(repetition=(_loops(options),), advanced=(*_drawing(options), *_guessing(options, models)), prompt=_ends(options))


def _loops(options: TurnOptions) -> ChoiceView:
    return ChoiceView(
        id="loops",
        name="loop_detection",
        label="Loop detection",
        help="Ends an answer that goes round in circles, and says so. Usual is what the profile says, else stuck tokens.",
        value=options.loop_detection or "",
        back="Usual",
        choices=LOOP_CHOICES,
    )


def _drawing(options: TurnOptions) -> tuple[ChoiceView, ...]:
    reseeds = options.reseed_each_turn
    return (
        ChoiceView(
            id="reseed",
            name="reseed_each_turn",
            label="Seed of each turn",
            help="With one of its own, a seed of 0 or more counts up by one a turn. Usual is what the profile says, else the same.",
            value="" if reseeds is None else str(reseeds).lower(),
            back="Usual",
            choices=RESEED_CHOICES,
        ),
        ChoiceView(
            id="spared",
            name="xtc_special_tokens",
            label="Spared by XTC",
            help="Ids of tokens that XTC never leaves out, with commas between; auto is what ends an answer and the line break.",
            span="0 or more each, or none",
            value=said_token_ids(options.sampling.xtc_special_tokens),
            back="auto",
            hint="auto",
            pattern=IDS,
        ),
    )


def _guessing(options: TurnOptions, models: Sequence[ModelEntry]) -> tuple[ChoiceView, ...]:
    return (
        ChoiceView(
            id="guessers",
            name="speculation",
            label="Guess ahead",
            help="Guesses the next words, from the chat or with a smaller model, and has the model check several at once. "
            "Answers come faster and stay the same.",
            value=options.speculation,
            default="auto",
            back="Whatever is faster",
            choices=GUESSERS,
        ),
        ChoiceView(
            id="drafts",
            name="draft_model",
            label="Draft model",
            help="A smaller model with the same tokens. It is loaded beside the model and takes memory of its own.",
            value=NO_DRAFT if options.draft_model == "" else options.draft_model or "",
            back="what the settings say",
            choices=draft_choices(models, options.draft_model),
        ),
    )


def _ends(options: TurnOptions) -> tuple[ChoiceView, ...]:
    return (
        ChoiceView(
            id="stops",
            name="stop",
            label="Stop at",
            help="The answer ends just before any of these texts, one a line.",
            span=MOST,
            value="\n".join(options.stop),
            back="none",
            lines=2,
            hint="One text a line",
        ),
        ChoiceView(
            id="ends",
            name="end_tokens",
            label="End tokens",
            help="Control tokens of the model, such as <|end|>, that end the answer beside its own.",
            span=MOST,
            value="\n".join(options.end_tokens),
            back="none",
            lines=2,
            hint="One control token a line",
        ),
    )
