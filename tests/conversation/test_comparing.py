"""A replay beside its original: what of the weights, the device and the versions has changed is named, and nothing else is claimed."""

import json

import msgspec
import pytest

from mlx_harmony.conversation.comparing import replayed, same_weights
from mlx_harmony.conversation.records import ChatMessage, Provenance
from mlx_harmony.conversation.replay import weights_changed
from mlx_harmony.conversation.rows import message_details
from mlx_harmony.records import Numerics
from tests.fixtures.scripted import finished

THEN = Numerics(device="Apple M2 Max (metal)", types="bfloat16", mlx="0.30.1", mlx_lm="0.30.0")
MADE = Provenance(model="starter", fingerprint="aaaa.1111", numerics=THEN, version="0.5.0")


def answer(content: str, made: Provenance | None = MADE) -> ChatMessage:
    return ChatMessage(id="a", chat_id="c", role="assistant", content=content, created_at=0.0, provenance=made)


def note(original: Provenance | None, again: Provenance | None) -> str:
    """What is said of a replay that came out different."""
    return replayed(finished("stop"), answer("one", original), answer("two", again)).note.removeprefix(
        "Replay: another answer than before. "
    )


def with_numerics(**changes: str) -> Provenance:
    return msgspec.structs.replace(MADE, numerics=msgspec.structs.replace(THEN, **changes))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("aaaa.1111", "aaaa.1111", True),
        ("aaaa.1111", "aaaa.2222", False),
        ("aaaa.1111", "bbbb.1111", False),
        ("aaaa", "aaaa.1111", True),
        ("aaaa", "bbbb.1111", False),
        ("aaaa.1111-cccc", "aaaa.1111-dddd", False),
        ("aaaa-cccc", "aaaa.1111-cccc", True),
        ("aaaa-cccc", "aaaa.1111-dddd", False),
        ("aaaa", "aaaa.1111-cccc", False),
    ],
)
def test_an_old_fingerprint_is_held_to_what_it_knew(one: str, other: str, same: bool) -> None:
    assert same_weights(one, other) is same_weights(other, one) is same
    assert weights_changed(answer("x", msgspec.structs.replace(MADE, fingerprint=one)), other) is not same


def test_other_weights_are_named_before_all_else() -> None:
    assert note(MADE, msgspec.structs.replace(with_numerics(mlx="9"), fingerprint="aaaa.2222")).startswith(
        "The model’s weights have changed"
    )
    assert "weights" not in note(MADE, msgspec.structs.replace(MADE, fingerprint=""))


@pytest.mark.parametrize(
    ("again", "said"),
    [
        (with_numerics(mlx="0.32.4"), "That one was made by mlx 0.30.1; this one by mlx 0.32.4."),
        (
            with_numerics(device="AMD EPYC (cpu)", types="float32"),
            "That one was made on Apple M2 Max (metal), in bfloat16; this one on AMD EPYC (cpu), in float32.",
        ),
        (msgspec.structs.replace(MADE, version="0.6.0"), "That one was made by MLX Harmony 0.5.0; this one by MLX Harmony 0.6.0."),
        (MADE, "Both were made on the same device, by the same versions."),
    ],
)
def test_device_and_versions_are_named_where_they_differ_and_only_then(again: Provenance, said: str) -> None:
    assert note(MADE, again) == said


def test_of_an_answer_that_did_not_keep_them_nothing_is_claimed() -> None:
    old = msgspec.structs.replace(MADE, numerics=Numerics())
    for original in (old, None):
        assert note(original, MADE) == "Another device or other versions may count a little differently."
    assert (
        note(msgspec.structs.replace(old, version="0.4.0"), MADE)
        == "That one was made by MLX Harmony 0.4.0; this one by MLX Harmony 0.5.0."
    )


def test_a_message_of_an_earlier_release_is_read_without_them() -> None:
    written = json.loads(message_details(answer("one")))
    del written["provenance"]["numerics"]
    read = msgspec.json.decode(json.dumps(written), type=ChatMessage)
    assert read.provenance == msgspec.structs.replace(MADE, numerics=Numerics())
