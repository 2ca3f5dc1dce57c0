"""Guessing ahead on the page: who guesses is chosen in Tuning and stays; how many guesses were right stands under the answer."""

from collections.abc import Iterator

import msgspec
import pytest
from playwright.sync_api import expect

from mlx_harmony.records import GenerationRequest, Speculated
from tests.browser.conftest import ScriptedApp
from tests.browser.visit import Visit
from tests.fixtures.scripted import finished, say

pytestmark = [pytest.mark.browser, pytest.mark.integration]


@pytest.fixture
def guessing(scripted_app: ScriptedApp) -> Iterator[None]:
    """A model whose answers were guessed ahead."""
    engine = scripted_app.provider.engine
    before = engine.script

    def script(_request: GenerationRequest) -> list[object]:
        came_of = Speculated(kind="lookup", drafted=80, accepted=64, passes=12)
        return [*say("Here it is.")[:-1], msgspec.structs.replace(finished("stop"), speculation=came_of)]

    engine.script = script  # type: ignore[assignment]
    yield
    engine.script = before


@pytest.mark.usefixtures("guessing")
def test_what_guessing_brought_stands_under_the_answer_and_in_its_details(visit: Visit) -> None:
    answer = visit.ask("Edit this file.")
    expect(answer.locator(".figures")).to_contain_text("64 of 80")
    answer.get_by_role("button", name="Details of this answer").click()
    expect(visit.page.locator("#details")).to_contain_text("lookup: 64 of 80 drafted tokens accepted")
    visit.reload()
    expect(visit.answers.first.locator(".figures")).to_contain_text("64 of 80")


def test_who_guesses_is_chosen_reaches_the_model_and_stays(visit: Visit, scripted_app: ScriptedApp) -> None:
    page = visit.page
    page.locator(".panel-open").click()
    page.get_by_label("Guess ahead", exact=True).select_option("lookup")
    page.get_by_label("Draft model", exact=True).select_option("none")
    page.get_by_label("Guessed tokens, exact").fill("3")
    visit.ask("hello")
    request = scripted_app.provider.engine.requests[-1]
    assert (request.speculation, request.draft_model, request.num_draft_tokens) == ("lookup", "", 3)
    visit.reload()
    expect(page.locator("#guessers")).to_have_value("lookup")
    expect(page.locator("#drafts")).to_have_value("none")
