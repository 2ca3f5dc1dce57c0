r"""The settings of a turn that are no plain numbers, as `\set` takes and tells them: choices, a switch, token ids and texts. Pure."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from mlx_harmony.conversation.plan import loop_detection, reseeds
from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.ranges import LIST_OF_IDS, MOST_STOPS, check_stops, said_token_ids, token_ids
from mlx_harmony.records import EFFORTS, LOOP_DETECTIONS, Sampling

NONE = "none"
SWITCH = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}
TEXTS = f"at most {MOST_STOPS} texts with commas between them, a JSON list of them, or {NONE}"


class Typed(NamedTuple):
    """One of them: `takes` is its range in words, `read` a value from text, and `said` what the next answer is made with, in words.

    `of_sampling`: it is a field of the options' sampling.
    """

    name: str
    takes: str
    read: Callable[[str, str], Any]
    said: Callable[[TurnOptions], str]
    of_sampling: bool = False


def put(options: TurnOptions, field: Typed, text: str) -> TurnOptions:
    """The options with what was typed; `default` takes it back. Raises InvalidRequest, saying what it takes."""
    usual: TurnOptions | Sampling = Sampling() if field.of_sampling else TurnOptions()
    value = getattr(usual, field.name) if text.lower() == "default" else field.read(field.name, text)
    if field.of_sampling:
        return msgspec.structs.replace(options, sampling=msgspec.structs.replace(options.sampling, **{field.name: value}))
    return msgspec.structs.replace(options, **{field.name: value})


def _choice(choices: tuple[str, ...]) -> tuple[str, Callable[[str, str], str]]:
    takes = f"one of {', '.join(choices)}"

    def read(name: str, text: str) -> str:
        if text.lower() not in choices:
            raise _refused(name, takes, text)
        return text.lower()

    return takes, read


def _switch(name: str, text: str) -> bool:
    if text.lower() not in SWITCH:
        raise _refused(name, "true or false", text)
    return SWITCH[text.lower()]


def _texts(name: str, text: str) -> tuple[str, ...]:
    if text.lower() == NONE:
        return ()
    texts: Any = [part.strip() for part in text.split(",")]
    if text.startswith("["):
        try:
            texts = json.loads(text)
        except (ValueError, RecursionError):
            raise _refused(name, TEXTS, text) from None
    if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
        raise _refused(name, TEXTS, text)
    check_stops(tuple(texts), name)
    return tuple(texts)


def _refused(name: str, takes: str, text: str) -> InvalidRequest:
    return InvalidRequest(f"{name} must be {takes}; it was {text[:40]!r}.", param=name)


def _listed(texts: tuple[str, ...]) -> str:
    """As it may be typed again, whatever the texts hold."""
    return json.dumps(texts, ensure_ascii=False) if texts else NONE


TYPED = (
    Typed("effort", *_choice(EFFORTS), lambda options: options.effort),
    Typed("loop_detection", *_choice(LOOP_DETECTIONS), loop_detection),
    Typed("reseed_each_turn", "true or false", _switch, lambda options: "true" if reseeds(options) else "false"),
    Typed(
        "xtc_special_tokens",
        LIST_OF_IDS,
        token_ids,
        lambda options: said_token_ids(options.sampling.xtc_special_tokens) or "what ends an answer and the line break",
        of_sampling=True,
    ),
    Typed("stop", TEXTS, _texts, lambda options: _listed(options.stop)),
    Typed("end_tokens", TEXTS, _texts, lambda options: _listed(options.end_tokens)),
)
ALSO_CALLED = {"end_token_strings": "stop"}
"""What prompt configs call them."""
