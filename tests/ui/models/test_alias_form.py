"""The form of an alias: what can be chosen in it, what it says comes back as an alias, and what cannot be kept is said of its field."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from mlx_harmony.errors import InvalidRequest
from mlx_harmony.records import ModelEntry
from mlx_harmony.routing.records import Alias, AliasRow, Rule
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from mlx_harmony_ui.models.alias_form import alias_from, beside, form_of, sent_of
from mlx_harmony_ui.tabs.aliases import AliasForms
from tests.fixtures.provider import ScriptedProvider
from tests.ui.models.made import entry

WHOLE = Alias(
    name="both",
    models=("a", "b"),
    strategy="first",
    rules=(Rule(model="b", min_tokens=10, max_characters=900, tools=False), Rule(model="a", effort="low", max_tokens=0)),
    fallbacks=("c",),
)


def row(name: str, **others: Any) -> AliasRow:
    stands = ModelEntry(id=name, path="", bytes=0, architecture="", format="raw", source="alias", **others)
    return AliasRow(alias=Alias(name=name, models=("a",)), entry=stands)


def test_an_alias_goes_to_the_page_and_comes_back_as_it_was() -> None:
    assert alias_from(json.loads(json.dumps(sent_of(WHOLE)))) == WHOLE


def test_all_models_and_other_aliases_can_be_chosen_and_what_is_gone_goes_on_being_named() -> None:
    form = form_of(WHOLE, (entry("a"), entry("b", problem="It is torn.")), (row("both"), row("other"), row("a")))
    assert [(each.id, each.name) for each in form.choices] == [
        ("a", "a"),
        ("b", "b (cannot run)"),
        ("other", "other (alias)"),
        ("c", "c (not here)"),
    ]
    assert (form.new, form.models, form.fallbacks) == (False, ("a", "b"), ("c",))
    assert [limit.value for limit in form.rules[0].limits] == ["10", "", "", "900"] and form.rules[0].tools == "no"
    fresh = form_of(None, (entry("a"),), ())
    assert (fresh.new, fresh.models, fresh.blank.model, fresh.rules) == (True, ("a",), "a", ())


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"models": []}, "models"),
        ({"models": [7, ""]}, "models"),
        ({"models": "a"}, "models"),
        ({"rules": [{"model": "a"}]}, "rules[0]"),
        ({"rules": [{"model": "a", "tools": "yes"}, {"model": "a", "min_tokens": "many"}]}, "rules[1].min_tokens"),
        ({"rules": [{"model": "a", "max_characters": "-1"}]}, "rules[0].max_characters"),
        ({"rules": [{"model": "a", "max_tokens": "1e3"}]}, "rules[0].max_tokens"),
        ({"rules": [{"model": "a", "max_tokens": "9" * 11}]}, "rules[0].max_tokens"),
        ({"rules": [{"model": "a", "tools": "perhaps", "effort": "huge"}]}, "rules[0]"),
    ],
)
def test_what_cannot_be_is_refused_with_its_field(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        alias_from(sent_of(WHOLE) | changed)
    assert caught.value.param == field


def test_words_stand_beside_their_field_without_its_name() -> None:
    assert (
        beside(InvalidRequest("rules[0].max_tokens is less than min_tokens.", param="rules[0].max_tokens"))
        == "This is less than min_tokens."
    )
    assert beside(InvalidRequest("x leads in a circle: x → x.", param="models")) == "X leads in a circle: x → x."


@pytest.fixture
async def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    opened = await Service.open(Settings(home=str(tmp_path / "home")), ScriptedProvider())
    yield opened
    await opened.close()


def sent(**data: object) -> gr.EventData:
    return gr.EventData(None, data)


def said(drawn: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(str(drawn))
    return found


async def test_one_is_made_changed_removed_and_brought_back(service: Service) -> None:
    forms, file = AliasForms(service), Path(service.settings.home, "aliases.json")
    html, commands = await forms.ask(sent(alias=""))
    assert "New alias" in str(html) and said(commands)[0]["mark"] in str(html)
    made = {"name": " my  pair ", "new": "yes", "models": ["starter"], "strategy": "first", "rules": [], "fallbacks": []}
    assert [each["do"] for each in said(await forms.save(sent(form=made)))] == ["alias_kept", "models_say", "models_changed"]
    assert json.loads(file.read_text()) == {"my pair": {"models": ["starter"], "strategy": "first"}}
    (refused,) = said(await forms.save(sent(form=made)))
    assert (refused["do"], refused["field"]) == ("alias_refused", "name") and "already" in refused["text"]
    assert service.find_model("my pair").source == "alias"

    html, _ = await forms.ask(sent(alias="my pair"))
    assert "Change my pair" in str(html) and "alias-name" not in str(html)
    changed = {**made, "name": "my pair", "new": "", "rules": [{"model": "starter", "tools": "yes"}]}
    assert said(await forms.save(sent(form=changed)))[0]["do"] == "alias_kept"
    before = file.read_text()
    told = said(await forms.remove(sent(alias="my pair")))[0]
    assert told["text"] == "The alias my pair is removed; its models stay." and json.loads(file.read_text()) == {}
    back = said(await forms.save(sent(form={**told["alias"], "new": "yes", "undo": "yes"})))
    assert back[1]["text"] == "my pair is back." and json.loads(file.read_text()) == json.loads(before)


async def test_who_removes_the_default_is_told_so(service: Service) -> None:
    Path(service.settings.home, "aliases.json").write_text('{"mine": {"models": ["starter"]}}')
    await service.change_settings(model="mine")
    told = said(await AliasForms(service).remove(sent(alias="mine")))[0]
    assert told["text"].endswith("New chats began with it: choose another default.") and told["alias"]["models"] == ["starter"]


async def test_what_is_gone_or_broken_is_said(service: Service) -> None:
    forms, file = AliasForms(service), Path(service.settings.home, "aliases.json")
    drawn, commands = await forms.ask(sent(alias="nobody"))
    assert isinstance(drawn, dict) and "no longer there" in said(commands)[0]["text"]
    assert "no alias" in said(await forms.remove(sent(alias="nobody")))[0]["text"]
    file.write_text('{"torn": {"models": 7}}')
    html, _ = await forms.ask(sent(alias="torn"))
    assert "Change torn" in str(html)
    assert "alias" not in said(await forms.remove(sent(alias="torn")))[0], "what was never an alias cannot be brought back"
    file.write_text("{")
    drawn, commands = await forms.ask(sent(alias=""))
    assert isinstance(drawn, dict) and "not valid JSON" in said(commands)[0]["text"]
    (refused,) = said(await forms.save(sent(form={"name": "x", "new": "yes", "models": ["starter"]})))
    assert refused["field"] == "" and "not valid JSON" in refused["why"]
    for nothing in ({}, {"form": []}, {"form": {"name": 7, "models": {}}}):
        assert said(await forms.save(sent(**nothing)))[0]["do"] == "alias_refused"
