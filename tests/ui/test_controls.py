"""The chat's options as sliders, and what the page sends back, checked."""

import re
from typing import Any

import pytest

from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.conversation.typed import TYPED
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.kv_ranges import KV_FIELDS
from mlx_harmony.prompting.records import ChatSetup
from mlx_harmony.ranges import SAMPLING_FIELDS, TURN_FIELDS
from mlx_harmony.records import KvOptions, ModelEntry, Sampling, Tool
from mlx_harmony_ui import controls
from mlx_harmony_ui.choices import IDS, choices

CHOSEN = TurnOptions(
    sampling=Sampling(xtc_special_tokens=(3,)),
    loop_detection="off",
    reseed_each_turn=False,
    speculation="off",
    draft_model="",
    stop=("END",),
    end_tokens=("<|end|>",),
)


def test_every_plain_number_of_a_turn_has_a_slider_in_a_group() -> None:
    names = {row.name for group in controls.slides(TurnOptions()) for row in group.rows}
    assert names == {field.name for field in (*SAMPLING_FIELDS, *TURN_FIELDS, *KV_FIELDS)}


def test_an_unset_number_is_auto_and_a_set_one_is_marked() -> None:
    rows = {row.name: row for group in controls.slides(TurnOptions(sampling=Sampling(temperature=0.3))) for row in group.rows}
    assert (rows["temperature"].shown, rows["temperature"].changed) == ("0.3", True)
    assert (rows["max_tokens"].shown, rows["max_tokens"].changed) == ("", False)
    assert (rows["top_p"].shown, rows["top_p"].changed) == ("0", False)


def test_options_come_back_as_they_were_set() -> None:
    sent = {
        "numbers": {
            "temperature": 0,
            "top_k": 40.0,
            "max_tokens": 200,
            "repetition_penalty": 1.2,
            "seed": 7,
            "analysis_budget": 0,
            "max_context_tokens": 900,
        },
        "effort": "high",
        "tools": ["python", "browser", "python"],
        "model": "starter",
        "identity": " You are Pip. ",
        "instructions": "Be brief.",
        "stop": "END\n\nSTOP",
        "end_tokens": "<|end|>\n",
        "channels": ["final", "analysis"],
        "loop_detection": "full",
        "reseed_each_turn": "true",
        "xtc_special_tokens": "3, 4",
    }
    assert controls.options_from(sent, TurnOptions()) == TurnOptions(
        model="starter",
        sampling=Sampling(temperature=0, top_k=40, repetition_penalty=1.2, seed=7, xtc_special_tokens=(3, 4)),
        max_tokens=200,
        max_context_tokens=900,
        analysis_budget=0,
        stop=("END", "STOP"),
        end_tokens=("<|end|>",),
        channels=("analysis", "final"),
        loop_detection="full",
        reseed_each_turn=True,
        effort="high",
        identity="You are Pip.",
        instructions="Be brief.",
        tools=(Tool(kind="python"), Tool(kind="browser")),
    )


def test_every_slider_says_its_range() -> None:
    rows = {row.name: row.span for group in controls.slides(TurnOptions()) for row in group.rows}
    assert all(rows.values()) and rows["seed"] == "-1 or more"


@pytest.mark.parametrize("given", [None, (), (3, 4)])
def test_what_xtc_spares_comes_back_as_it_was_shown(given: tuple[int, ...] | None) -> None:
    kept = TurnOptions(sampling=Sampling(xtc_special_tokens=given))
    shown = next(row.value for row in choices(kept, ()).advanced if row.name == "xtc_special_tokens")
    assert controls.options_from({"xtc_special_tokens": shown}, TurnOptions()) == kept
    assert re.fullmatch(IDS, shown)


def test_what_is_no_slider_says_what_it_is_and_where_a_reset_leads() -> None:
    usual, changed = (
        {row.name: row for row in (*views.repetition, *views.advanced, *views.prompt)}
        for views in (choices(TurnOptions(), ()), choices(CHOSEN, ()))
    )
    assert usual.keys() == {field.name for field in TYPED} - {"effort"} | {"speculation", "draft_model"}
    for name, row in usual.items():
        assert row.value == row.default != changed[name].value and row.help.endswith(".") and row.back
        assert row.choices or row.span, "a range, or the choices themselves"


def test_nothing_sent_is_the_defaults() -> None:
    assert controls.options_from({}, TurnOptions()) == TurnOptions()


def test_what_the_page_has_no_control_for_is_kept() -> None:
    function = Tool(kind="function", name="weather")
    kept = TurnOptions(
        sampling=Sampling(temperature=0.2, logit_bias={7: 1.0}),
        tools=(function, Tool(kind="browser")),
        setup=ChatSetup(profile="work", max_context_tokens=500),
        exact_seed=True,
    )
    options = controls.options_from({"numbers": {"temperature": 0.9}, "tools": ["python"]}, kept)
    assert options == TurnOptions(
        sampling=Sampling(temperature=0.9, logit_bias={7: 1.0}),
        tools=(function, Tool(kind="python")),
        setup=ChatSetup(profile="work", max_context_tokens=500),
        exact_seed=True,
    )


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ({"numbers": {"temperature": 2.5}}, "temperature"),
        ({"numbers": {"temperature": "not a number"}}, "temperature"),
        ({"numbers": {"temperature": float("nan")}}, "temperature"),
        ({"numbers": {"top_k": 1.5}}, "top_k"),
        ({"numbers": []}, "numbers"),
        ({"numbers": {"analysis_budget": -1}}, "analysis_budget"),
        ({"numbers": {"max_context_tokens": 0}}, "max_context_tokens"),
        ({"channels": ["analysis"]}, "channels"),
        ({"channels": ["final", "rumour"]}, "channels"),
        ({"channels": ["final", {}]}, "channels"),
        ({"channels": "final"}, "channels"),
        ({"loop_detection": "sometimes"}, "loop_detection"),
        ({"reseed_each_turn": "sometimes"}, "reseed_each_turn"),
        ({"reseed_each_turn": True}, "reseed_each_turn"),
        ({"xtc_special_tokens": "3, -4"}, "xtc_special_tokens"),
        ({"xtc_special_tokens": "3 4"}, "xtc_special_tokens"),
        ({"xtc_special_tokens": "99999999999999999999999"}, "xtc_special_tokens"),
        ({"end_tokens": "\n".join(map(str, range(17)))}, "end_tokens"),
        ({"effort": "huge"}, "effort"),
        ({"effort": ["low"]}, "effort"),
        ({"tools": ["function"]}, "tools"),
        ({"tools": "python"}, "tools"),
        ({"tools": [["python"]]}, "tools"),
        ({"instructions": 7}, "instructions"),
        ({"identity": "x" * 100_001}, "identity"),
        ({"stop": "\n".join("abcdefghijklmnopqrstuvwxyz")}, "stop"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(sent: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        controls.options_from(sent, TurnOptions())
    assert refused.value.param == param


def test_the_form_of_kv_is_chosen_from_lists_and_sliders_and_checked() -> None:
    kept = TurnOptions(kv=KvOptions(kv_bits=8))
    rows = {row.name: row for group in controls.slides(kept) for row in group.rows}
    assert rows["kv_bits"].choices == ("0", "4", "8") and rows["kv_bits"].shown == "8" and rows["kv_bits"].changed
    assert rows["kv_group_size"].choices == ("32", "64", "128") and not rows["max_kv_size"].choices
    assert controls.options_from({"numbers": {"kv_bits": 4.0, "kv_group_size": 32}}, kept).kv == KvOptions(kv_bits=4, kv_group_size=32)
    assert controls.options_from({"numbers": {}}, kept).kv == KvOptions()
    for wrong in ({"kv_bits": 3}, {"kv_bits": 8, "max_kv_size": 10}, {"kv_keep": 2}):
        with pytest.raises(InvalidRequest):
            controls.options_from({"numbers": wrong}, kept)


def test_who_guesses_ahead_and_with_which_draft_model_comes_back_as_chosen() -> None:
    back = controls.options_from({"numbers": {"num_draft_tokens": 3}, "speculation": "draft", "draft_model": "small"}, TurnOptions())
    assert (back.speculation, back.draft_model, back.num_draft_tokens) == ("draft", "small", 3)
    assert controls.options_from({"draft_model": "none"}, TurnOptions()).draft_model == ""
    assert controls.options_from({"draft_model": ""}, TurnOptions(draft_model="small")).draft_model is None
    with pytest.raises(InvalidRequest, match="auto, off, lookup, draft"):
        controls.options_from({"speculation": "maybe"}, TurnOptions())
    with pytest.raises(InvalidRequest, match="1 to 8"):
        controls.options_from({"numbers": {"num_draft_tokens": 9}}, TurnOptions())


def test_the_draft_models_to_choose_from_are_the_sound_ones_and_one_that_is_gone_is_named() -> None:
    def entry(name: str, problem: str = "") -> ModelEntry:
        return ModelEntry(id=name, path=f"/m/{name}", bytes=1, architecture="llama", format="template", source="folder", problem=problem)

    choices = controls.draft_choices((entry("a"), entry("b", "broken")), "gone")
    assert [value for value, _ in choices] == ["", "none", "auto", "a", "gone"]
    assert choices[-1][1] == "gone (not here)"
    assert "auto" not in [value for value, _ in controls.draft_choices((), "auto")][3:]
