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
from mlx_harmony.prompting.records import ChatSetup
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


@pytest.mark.parametrize(
    ("name", "text", "value", "said"),
    [
        ("loop_detection", "FULL", "full", "full"),
        ("reseed_each_turn", "on", True, "true"),
        ("reseed_each_turn", "False", False, "false"),
        ("stop", "END, STOP", ("END", "STOP"), '["END", "STOP"]'),
        ("stop", r'["a, b", "\n"]', ("a, b", "\n"), r'["a, b", "\n"]'),
        ("stop", "none", (), "none"),
        ("end_tokens", "<|end|>", ("<|end|>",), '["<|end|>"]'),
    ],
)
def test_choices_and_texts_can_be_set_listed_and_taken_back(name: str, text: str, value: object, said: str) -> None:
    changed = change(TurnOptions(), name, text)
    assert getattr(changed, name) == value and (name, said) in describe(changed)
    assert change(changed, name, "default") == TurnOptions()
    assert f"\\set {name}=" in {each.text for each in suggestions()}


@pytest.mark.parametrize(("text", "value", "said"), [("3, 4", (3, 4), "3, 4"), ("[5]", (5,), "5"), ("none", (), "none")])
def test_what_xtc_spares_can_be_set_listed_and_taken_back(text: str, value: tuple[int, ...], said: str) -> None:
    changed = change(TurnOptions(), "xtc_special_tokens", text)
    assert changed.sampling.xtc_special_tokens == value and ("xtc_special_tokens", said) in describe(changed)
    assert change(changed, "xtc_special_tokens", "default") == TurnOptions()


@pytest.mark.parametrize(
    ("name", "text", "takes"),
    [
        ("loop_detection", "nan", "one of off, cheap, full"),
        ("reseed_each_turn", "2", "true or false"),
        ("xtc_special_tokens", "nan", "token ids of 0 or more"),
        ("xtc_special_tokens", "-1", "token ids of 0 or more"),
        ("xtc_special_tokens", "3,,4", "token ids of 0 or more"),
        ("xtc_special_tokens", "2147483648", "token ids of 0 or more"),
        ("stop", '["a"', "at most 16 texts"),
        ("stop", "[1]", "at most 16 texts"),
        ("stop", ",".join("abcdefghijklmnopq"), "at most 16 strings"),
        ("end_tokens", "a,,b", "empty string"),
    ],
)
def test_choices_and_texts_that_cannot_be_used_are_refused_with_what_is_taken(name: str, text: str, takes: str) -> None:
    with pytest.raises(InvalidRequest, match=takes) as refused:
        change(TurnOptions(), name, text)
    assert refused.value.param == name


def test_the_end_token_strings_of_prompt_configs_are_what_it_stops_at() -> None:
    assert parse_command(r"\set end-token-strings=END") == SetValue(name="stop", value="END")
    assert "\\set end_token_strings=" in {each.text for each in suggestions()}


def test_what_is_left_to_the_profile_is_told_as_it_stands() -> None:
    setup = ChatSetup(loop_detection="full", reseed_each_turn=True)
    told = dict(describe(TurnOptions(setup=setup)))
    assert (told["loop_detection"], told["reseed_each_turn"]) == ("full", "true")
    told = dict(describe(TurnOptions(setup=setup, loop_detection="off", reseed_each_turn=False)))
    assert (told["loop_detection"], told["reseed_each_turn"]) == ("off", "false")


def test_an_unknown_setting_names_the_known_ones() -> None:
    with pytest.raises(InvalidRequest) as refused:
        change(TurnOptions(), "warmth", "1")
    assert all(name in refused.value.hint for name in ("temperature", "effort", "loop_detection", "end_tokens"))


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
