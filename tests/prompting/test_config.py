"""Prompt configs: every field of the schema takes effect or says that it does not, and every fault is named with its place."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mlx_harmony.conversation.beginning import options_of
from mlx_harmony.errors import SettingsError
from mlx_harmony.prompting.config import PromptConfig
from mlx_harmony.prompting.effects import NO_EFFECT, REMOVED
from mlx_harmony.prompting.loading import load_prompt_config
from mlx_harmony.prompting.records import ChatSetup, Chosen
from mlx_harmony.prompting.resolve import resolve
from mlx_harmony.prompting.schema import json_schema, schema_text
from mlx_harmony.ranges import SAMPLING_FIELDS
from mlx_harmony.records import KvOptions, Message

ROOT = Path(__file__).parents[2]
Seen = Callable[[Chosen], Any]
PERFORMANCE = {"performance_mode": True}
STILL = {"deterministic_time_enabled": True}
NUMBERS = {"temperature": 0, "top_p": 0.5, "min_p": 0.1, "top_k": 7, "min_tokens_to_keep": 2, "xtc_probability": 0.3, "xtc_threshold": 0.2}
NUMBERS |= {"repetition_penalty": 0, "repetition_context_size": 0, "presence_penalty": -1, "frequency_penalty": 2, "seed": 0}


def sampling(name: str) -> Seen:
    return lambda chosen: getattr(chosen.sampling, name)


def setup(name: str) -> Seen:
    return lambda chosen: getattr(chosen.setup, name)


def kv(name: str) -> Seen:
    return lambda chosen: getattr(chosen.kv, name)


EFFECTIVE: dict[str, tuple[dict[str, Any], Seen, Any]] = {
    **{name: ({name: value}, sampling(name), value) for name, value in NUMBERS.items()},
    "xtc_special_tokens": ({"xtc_special_tokens": [3, 4]}, sampling("xtc_special_tokens"), (3, 4)),
    "max_tokens": ({"max_tokens": 5}, lambda chosen: chosen.max_tokens, 5),
    "end_token_strings": ({"end_token_strings": ["END"]}, lambda chosen: chosen.stop, ("END",)),
    "system_model_identity": ({"system_model_identity": "Ada"}, lambda chosen: chosen.identity, "Ada"),
    "reasoning_effort": ({"reasoning_effort": "HIGH"}, lambda chosen: chosen.effort, "high"),
    "developer_instructions": ({"developer_instructions": "Brief."}, lambda chosen: chosen.instructions, "Brief."),
    "models_dir": ({"models_dir": "m"}, lambda chosen: chosen.models_dir, "m"),
    "conversation_start_date": ({"conversation_start_date": "<|DATE|>"}, setup("start_date"), "<|DATE|>"),
    "knowledge_cutoff": ({"knowledge_cutoff": "2030-01"}, setup("knowledge_cutoff"), "2030-01"),
    "assistant_greeting": ({"assistant_greeting": "Hi"}, setup("greeting"), "Hi"),
    "example_dialogues": (
        {"example_dialogues": [[{"role": "user", "content": "a"}]]},
        setup("examples"),
        ((Message(role="user", content="a"),),),
    ),
    "placeholders": ({"placeholders": {"k": "v"}}, setup("placeholders"), {"k": "v"}),
    "deterministic_time_enabled": (STILL, setup("clock"), "2000-01-01T00:00:00Z"),
    "deterministic_time_iso": (STILL | {"deterministic_time_iso": "2026-01-27"}, setup("clock"), "2026-01-27"),
    "reseed_each_turn": ({"reseed_each_turn": True}, setup("reseed_each_turn"), True),
    "loop_detection": ({"loop_detection": "full"}, setup("loop_detection"), "full"),
    "max_context_tokens": ({"max_context_tokens": 900}, setup("max_context_tokens"), 900),
    "max_context_tokens_margin": ({"max_context_tokens_margin": 9}, setup("max_context_tokens_margin"), 9),
    "performance_mode": (PERFORMANCE | {"perf_max_tokens": 4, "max_tokens": 9}, lambda chosen: chosen.max_tokens, 4),
    "perf_max_tokens": (PERFORMANCE | {"perf_max_tokens": 8, "max_tokens": 3}, lambda chosen: chosen.max_tokens, 3),
    "perf_max_context_tokens": (PERFORMANCE | {"perf_max_context_tokens": 64}, setup("max_context_tokens"), 64),
    "kv_bits": ({"kv_bits": 8}, kv("kv_bits"), 8),
    "kv_group_size": ({"kv_bits": 8, "kv_group_size": 32}, kv("kv_group_size"), 32),
    "quantized_kv_start": ({"kv_bits": 4, "quantized_kv_start": 100}, kv("quantized_kv_start"), 100),
    "max_kv_size": ({"max_kv_size": 512}, kv("max_kv_size"), 512),
    "kv_keep": ({"max_kv_size": 512, "kv_keep": 0}, kv("kv_keep"), 0),
    "perf_max_kv_size": (PERFORMANCE | {"perf_max_kv_size": 64, "max_kv_size": 512}, kv("max_kv_size"), 64),
    "perf_prompt_token_budget": (PERFORMANCE | {"perf_prompt_token_budget": 32}, setup("prompt_token_budget"), 32),
    "truncate_thinking": ({"truncate_thinking": 0}, setup("truncate_thinking"), 0),
    "truncate_response": ({"truncate_response": 2}, setup("truncate_response"), 2),
    "log_timing_stats": ({"log_timing_stats": True}, setup("show_timings"), True),
}
IDLE = {"logs_dir": "x", "chats_dir": "x"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


def written(file: Path, data: Any) -> Path:
    file.write_text(data if isinstance(data, str) else json.dumps(data), "utf-8")
    return file


def chosen(file: Path, data: dict[str, Any], **choices: Any) -> Chosen:
    return resolve(None, load_prompt_config(written(file, data)), choices, {"effort": "low", "instructions": "From the settings."})


def test_every_field_is_effective_or_says_that_it_is_not() -> None:
    assert set(EFFECTIVE) | set(NO_EFFECT) == set(PromptConfig.model_fields)
    assert not set(EFFECTIVE) & set(NO_EFFECT)


@pytest.mark.parametrize("name", EFFECTIVE)
def test_what_the_file_says_holds(file: Path, name: str) -> None:
    data, seen, expected = EFFECTIVE[name]
    found = chosen(file, data)
    assert seen(found) == expected
    assert expected != seen(Chosen())
    jsonschema.validate(data, json_schema())


@pytest.mark.parametrize("name", NO_EFFECT)
def test_a_field_without_effect_is_taken_and_reported(file: Path, name: str) -> None:
    default = PromptConfig.model_fields[name].default
    loaded = load_prompt_config(written(file, {name: IDLE.get(name, 1 if default is None else default)}))
    assert loaded.notices == (f"config.json: $.{name} has no effect in this release: {NO_EFFECT[name]}.",)


@pytest.mark.parametrize("name", PromptConfig.model_fields)
def test_null_is_as_if_it_were_not_there(file: Path, name: str) -> None:
    loaded = load_prompt_config(written(file, {name: None}))
    assert (loaded.config, loaded.notices) == (PromptConfig(), ())
    jsonschema.validate({name: None}, json_schema())


def test_what_nobody_says_is_the_default(file: Path) -> None:
    found = chosen(file, {})
    assert (found.effort, found.instructions) == ("low", "From the settings.")
    assert found.setup == ChatSetup(prompt_config=str(file))
    defaults = PromptConfig()
    for field in SAMPLING_FIELDS:
        assert getattr(defaults, field.name) == field.default


def test_an_explicit_choice_wins_also_where_it_is_zero(file: Path) -> None:
    found = chosen(file, {"temperature": 0.9, "max_tokens": 100, "reasoning_effort": "high"}, temperature=0, effort=None, instructions="")
    assert (found.sampling.temperature, found.max_tokens, found.effort, found.instructions) == (0, 100, "high", "")


def test_options_without_a_file_have_no_setup() -> None:
    assert options_of(Chosen()).setup is None


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"temperature": 2.1}, "$.temperature must be a number from 0 to 2; it is 2.1."),
    ({"temperature": True}, "$.temperature must be a number from 0 to 2; it is true."),
    ({"top_p": -0.1}, "$.top_p must be a number from 0 to 1"),
    ({"xtc_threshold": 0.6}, "$.xtc_threshold must be a number from 0 to 0.5"),
    ({"max_tokens": 0}, "$.max_tokens must be a whole number of 1 or more"),
    ({"top_k": 1.5}, "$.top_k must be a whole number of 0 or more"),
    ({"seed": -2}, "$.seed must be a whole number of -1 or more"),
    ({"mlock": "yes"}, '$.mlock must be true or false; it is "yes".'),
    ({"reasoning_effort": "huge"}, "$.reasoning_effort must be low, medium or high"),
    ({"loop_detection": "some"}, "$.loop_detection must be one of off, cheap, full"),
    ({"deterministic_time_iso": "soon"}, "$.deterministic_time_iso must be a time in ISO 8601"),
    ({"knowledge_cutoff": 2024}, "$.knowledge_cutoff must be text; it is 2024."),
    ({"end_token_strings": "END"}, "$.end_token_strings must be a list of at most 16 texts"),
    ({"end_token_strings": [""]}, "$.end_token_strings[0] is not usable"),
    ({"xtc_special_tokens": [-1]}, "$.xtc_special_tokens[0] is not usable"),
    ({"placeholders": {"a": 1}}, "$.placeholders.a is not usable"),
    ({"placeholders": {"a}": "b"}}, '$.placeholders["a}"] is not usable'),
    ({"example_dialogues": [[{"role": "user", "content": "a"}, {"role": "clown", "content": "b"}]]}, "$.example_dialogues[0][1].role"),
    ({"example_dialogues": [[{"role": "user"}]]}, "$.example_dialogues[0][0].content is missing."),
]


@pytest.mark.parametrize(("data", "words"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_value_is_refused_with_file_place_and_what_is_allowed(file: Path, data: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_prompt_config(written(file, data))
    assert str(file) in caught.value.message and words in caught.value.message
    if "deterministic_time_iso" not in data:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(data, json_schema())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"temperature": NaN}', "NaN"),
        ('{"temperature": 1e999}', "$.temperature"),
        ('{"seed": 1, "seed": 2}', "'seed' stands there twice"),
        ("[]", "must be an object"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"knowledge_cutoff": "\\ud800"}', "not valid JSON"),
        (" " * (1024 * 1024 + 1), "larger than 1024 KiB"),
    ],
    ids=range(8),
)
def test_what_is_no_config_is_refused(file: Path, content: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_prompt_config(written(file, content))
    assert words in caught.value.message and str(file) in caught.value.message


def test_a_file_that_is_not_there_is_named(file: Path) -> None:
    with pytest.raises(SettingsError, match="could not be read"):
        load_prompt_config(file)


def test_unknown_and_removed_keys_are_reported_with_their_place_and_the_rest_is_used(file: Path) -> None:
    data = {"temperatur": 1, "top_k": 3, "example_dialogues": [[{"role": "user", "content": "a", "mood": "x"}]], "prewarm_cache": True}
    loaded = load_prompt_config(written(file, data))
    assert loaded.config.top_k == 3 and loaded.config.example_dialogues is not None
    said = "\n".join(loaded.notices)
    assert "$.temperatur is not known" in said and "Did you mean temperature?" in said
    assert "$.example_dialogues[0][0].mood is not known" in said
    assert f"$.prewarm_cache was removed: {REMOVED['prewarm_cache']}." in said


def test_a_schema_reference_is_no_unknown_key(file: Path) -> None:
    assert load_prompt_config(written(file, {"$schema": "./prompt-config.schema.json"})).notices == ()


def test_standing_time_brings_seed_and_time_where_they_are_unset(file: Path) -> None:
    loaded = load_prompt_config(written(file, STILL))
    assert "$.deterministic_time_iso is missing; 2000-01-01T00:00:00Z is used." in loaded.notices[0]
    assert (loaded.config.seed, loaded.config.reseed_each_turn) == (0, False)
    kept = load_prompt_config(
        written(file, STILL | {"seed": -1, "reseed_each_turn": True, "deterministic_time_iso": "2026-01-27T12:00:00Z"})
    )
    assert (kept.config.seed, kept.config.reseed_each_turn, kept.notices) == (-1, True, ())
    idle = load_prompt_config(written(file, {"deterministic_time_iso": "2026-01-27T12:00:00Z"}))
    assert "only counts with deterministic_time_enabled" in idle.notices[0]


def test_a_margin_that_leaves_nothing_is_ignored_with_a_warning(file: Path) -> None:
    loaded = load_prompt_config(written(file, {"max_context_tokens": 10, "max_context_tokens_margin": 10}))
    assert loaded.config.max_context_tokens_margin == 0 and "is ignored" in loaded.notices[0]


def test_performance_fields_without_the_mode_are_reported(file: Path) -> None:
    loaded = load_prompt_config(written(file, {"perf_max_tokens": 5, "performance_mode": False}))
    assert "$.perf_max_tokens only counts with performance_mode." in loaded.notices[0]


def test_the_schema_file_is_the_one_the_program_makes() -> None:
    assert (ROOT / "configs" / "prompt-config.schema.json").read_text("utf-8") == schema_text()


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({"kv_bits": 8, "max_kv_size": 100}, "$.kv_bits"),
        ({"kv_group_size": 64}, "$.kv_group_size"),
        ({"max_kv_size": 4, "kv_keep": 4}, "$.kv_keep"),
        (PERFORMANCE | {"kv_bits": 8, "perf_max_kv_size": 100}, "$.kv_bits"),
        ({"kv_bits": 5}, "$.kv_bits must be 0, 4 or 8"),
        ({"kv_bits": 8, "kv_group_size": 96}, "$.kv_group_size must be 32, 64 or 128"),
    ],
)
def test_kv_that_does_not_go_together_is_refused_by_its_place(file: Path, data: dict[str, Any], place: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_prompt_config(written(file, data))
    assert place in refused.value.message and str(file) in refused.value.message


def test_a_stronger_choice_of_kv_takes_the_place_of_a_weaker_one(file: Path) -> None:
    window = {"max_kv_size": 512, "kv_keep": 8}
    assert chosen(file, window, kv_bits=8).kv == KvOptions(kv_bits=8)
    assert chosen(file, window, max_kv_size=64).kv == KvOptions(max_kv_size=64, kv_keep=8)
    assert chosen(file, window, max_kv_size=0).kv == KvOptions(max_kv_size=0)
    packed = {"kv_bits": 8, "kv_group_size": 32}
    assert chosen(file, packed, max_kv_size=64).kv == KvOptions(max_kv_size=64)
    assert chosen(file, packed, kv_bits=0).kv == KvOptions(kv_bits=0)
    assert chosen(file, packed, kv_bits=4).kv == KvOptions(kv_bits=4, kv_group_size=32)
    assert chosen(file, {}).kv == KvOptions()
