"""What guessing ahead brought stands under the answer and in its details, and nothing where nothing was guessed."""

import msgspec

from mlx_harmony.records import Speculated
from mlx_harmony_ui.details import details
from mlx_harmony_ui.guesses import PAUSED, brought
from mlx_harmony_ui.present import figures
from tests.ui.test_details import answer

GUESSED = Speculated(kind="lookup", drafted=80, accepted=64, passes=12)


def rows(guessed: Speculated | None) -> dict[str, str]:
    view = details(msgspec.structs.replace(answer(), speculation=guessed))
    return {row.label: row.value for table in view.tables if table.name == "Figures" for row in table.rows}


def test_the_figures_say_how_many_guesses_were_right() -> None:
    (figure,) = figures(None, None, GUESSED)
    assert (figure.label, figure.value, figure.title) == ("guessed", "64 of 80", "lookup: 64 of 80 drafted tokens accepted")
    assert figures(None, None, Speculated(kind="lookup", paused=True)) == figures(None, None, None) == ()


def test_the_details_say_who_guessed_or_why_nobody_did() -> None:
    assert rows(GUESSED)["Guessed ahead"] == "lookup: 64 of 80 drafted tokens accepted"
    assert rows(msgspec.structs.replace(GUESSED, kind="draft", draft_model="small"))["Draft model"] == "small"
    assert rows(Speculated(note="No model fits."))["Draft model"] == "No model fits."
    assert "Guessed ahead" not in rows(None)
    assert brought(Speculated(kind="lookup", paused=True)) == PAUSED
    assert brought(Speculated(kind="lookup")) == "nothing to guess"
