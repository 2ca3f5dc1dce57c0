"""Which models are offered to guess for another: the named one, the settings' one, or all that are smaller."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mlx_harmony.errors import ModelNotFound
from mlx_harmony.models.catalog import Catalog, Places
from mlx_harmony.models.drafting import Listed, with_drafts
from mlx_harmony.records import GenerationRequest, ModelEntry, TextPrompt
from mlx_harmony.settings import Settings


def entry(name: str, size: int, problem: str = "") -> ModelEntry:
    return ModelEntry(id=name, path=f"/m/{name}", bytes=size, architecture="llama", format="template", source="folder", problem=problem)


BIG = entry("big", 100)
MODELS = (entry("small", 10), BIG, entry("middle", 50), entry("broken", 60, "no weights"), entry("huge", 1000))


class Here(NamedTuple):
    settings: Settings

    def models(self) -> tuple[ModelEntry, ...]:
        return MODELS


def offered(told: str = "", **fields: Any) -> GenerationRequest:
    request = GenerationRequest(id="r", prompt=TextPrompt(text="x"), **fields)
    return with_drafts(Here(Settings(home="/h", draft_model=told)), BIG, request)


def ids(request: GenerationRequest) -> list[str]:
    return [draft.id for draft in request.drafts]


def test_auto_offers_all_that_are_smaller_and_sound_the_largest_first() -> None:
    assert ids(offered(draft_model="auto")) == ["middle", "small"]


def test_a_named_one_is_offered_alone_by_its_id_or_folder() -> None:
    assert ids(offered(draft_model="huge")) == ["huge"]
    assert ids(offered(draft_model="/m/small")) == ["small"]


def test_without_a_word_the_settings_decide_and_without_those_nothing_is_said() -> None:
    assert (offered("small").draft_model, ids(offered("small"))) == ("small", ["small"])
    assert (offered().draft_model, offered().drafts) == (None, ())


def test_none_is_stronger_than_the_settings_and_stays_none() -> None:
    assert (offered("small", draft_model="").draft_model, offered("small", draft_model="").drafts) == ("", ())


def test_a_named_one_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ModelNotFound) as refused:
        offered(draft_model="nowhere")
    assert refused.value.param == "draft_model"
    assert "big" in refused.value.hint and "auto" in refused.value.hint


def test_one_that_the_settings_name_and_is_not_there_is_only_missed() -> None:
    assert (offered("nowhere").draft_model, offered("nowhere").drafts) == ("nowhere", ())


def test_a_folder_outside_every_list_is_taken_from_the_settings_but_not_from_a_request(tmp_path: Path) -> None:
    assert [draft.path for draft in offered(str(tmp_path)).drafts] == [str(tmp_path)]
    with pytest.raises(ModelNotFound):
        offered(draft_model=str(tmp_path))


@pytest.mark.parametrize("speculation", ["off", "lookup"])
def test_nobody_is_offered_where_no_draft_model_is_to_guess(speculation: str) -> None:
    request = offered("small", speculation=speculation, draft_model="nowhere")
    assert request.drafts == ()


def test_a_catalogue_can_be_asked(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path), draft_model="auto")
    listed = Listed(settings, Catalog(Places.of(settings), lambda _places: MODELS))
    request = GenerationRequest(id="r", prompt=TextPrompt(text="x"))
    assert ids(with_drafts(listed, BIG, request)) == ["middle", "small"]
