r"""What typed text means: `\help` and its siblings, and what is a message all the same."""

import pytest

from mlx_harmony.conversation.commands import (
    Help,
    ListModels,
    SetValue,
    ShowSettings,
    Unknown,
    change,
    describe,
    parse_command,
    suggestions,
)
from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.field import Field
from mlx_harmony.ranges import SAMPLING_FIELDS, TURN_FIELDS
from mlx_harmony.records import KvOptions, Sampling


@pytest.mark.parametrize("slash", ["\\", "/"])
@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("help", Help()),
        ("HELP", Help()),
        ("list", ShowSettings()),
        ("show", ShowSettings()),
        ("models", ListModels()),
        ("set temperature=0.5", SetValue(name="temperature", value="0.5")),
        ("set  top-p = 0.9 ", SetValue(name="top_p", value="0.9")),
        ("bogus", Unknown(name="bogus")),
    ],
)
def test_commands_are_read_with_either_slash(slash: str, text: str, meaning: object) -> None:
    assert parse_command(slash + text) == meaning


@pytest.mark.parametrize("text", ["hello", "/usr/bin/python?", "/usr/bin is where?", "1 / 2", "\\", "/", "//", "/2", "what is \\help"])
def test_other_text_is_a_message(text: str) -> None:
    assert parse_command(text) is None


@pytest.mark.parametrize("text", [r"\set", r"\set temperature", r"\set =1", r"\set temperature="])
def test_a_set_without_a_value_says_how_it_is_written(text: str) -> None:
    with pytest.raises(InvalidRequest, match="name=value") as refused:
        parse_command(text)
    assert "temperature=0.7" in refused.value.hint


@pytest.mark.parametrize("field", SAMPLING_FIELDS, ids=lambda field: field.name)
def test_every_sampling_field_can_be_set_and_taken_back(field: Field) -> None:
    changed = change(TurnOptions(), field.name, f"{field.low:g}")
    assert getattr(changed.sampling, field.name) == field.low
    assert change(changed, field.name, "default").sampling == Sampling()


@pytest.mark.parametrize("field", TURN_FIELDS, ids=lambda field: field.name)
def test_every_plain_number_of_a_turn_can_be_set_listed_and_taken_back(field: Field) -> None:
    changed = change(TurnOptions(), field.name, "7")
    assert getattr(changed, field.name) == 7 and (field.name, "7") in describe(changed)
    assert change(changed, field.name, "default") == TurnOptions()
    assert f"\\set {field.name}=" in {each.text for each in suggestions()}
    with pytest.raises(InvalidRequest, match=field.span):
        change(TurnOptions(), field.name, str(field.low - 1))


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "2.5", "warm", ""])
def test_what_is_out_of_range_is_refused_with_the_range(value: str) -> None:
    with pytest.raises(InvalidRequest, match="0 to 2"):
        change(TurnOptions(), "temperature", value)


def test_length_and_effort_can_be_set() -> None:
    changed = change(change(TurnOptions(), "max_tokens", "64"), "effort", "HIGH")
    assert (changed.max_tokens, changed.effort) == (64, "high")
    assert ("effort", "high") in describe(changed)
    assert ("max_tokens", "64") in describe(changed)
    with pytest.raises(InvalidRequest, match="low, medium, high"):
        change(TurnOptions(), "effort", "most")


def test_an_unknown_setting_names_the_known_ones() -> None:
    with pytest.raises(InvalidRequest) as refused:
        change(TurnOptions(), "warmth", "1")
    assert "temperature" in refused.value.hint and "effort" in refused.value.hint


def test_the_form_of_kv_can_be_set_listed_and_taken_back() -> None:
    packed = change(change(TurnOptions(), "kv_bits", "8"), "kv_group_size", "32")
    assert packed.kv == KvOptions(kv_bits=8, kv_group_size=32) and ("kv_bits", "8") in describe(packed)
    assert change(packed, "kv_bits", "default") == TurnOptions()
    assert change(packed, "max_kv_size", "100").kv == KvOptions(max_kv_size=100)
    assert ("max_kv_size", "unset") in describe(packed)
    with pytest.raises(InvalidRequest, match="no effect without kv_bits"):
        change(TurnOptions(), "kv_group_size", "32")
    with pytest.raises(InvalidRequest, match="0, 4 or 8"):
        change(TurnOptions(), "kv_bits", "5")
