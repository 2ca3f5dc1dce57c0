"""The tokens: look.md's colours, and AA for every pair that is used."""

import pytest

from mlx_harmony_ui.render import HERE, render
from mlx_harmony_ui.theme import head, token

INKS = ("ink", "muted", "accent", "answer", "thinking", "aside", "tool", "good", "warn", "bad")
CODE = ("k-word", "k-text", "k-number", "k-name", "k-note")


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("paper", ["paper", "raised", "sunken"])
@pytest.mark.parametrize("ink", INKS)
def test_every_ink_is_readable_on_every_paper(ink: str, paper: str, dark: bool) -> None:
    assert contrast(token(ink, dark=dark), token(paper, dark=dark)) >= 4.5


@pytest.mark.parametrize("dark", [False, True])
def test_the_special_pairs_are_readable(dark: bool) -> None:
    pairs = [("accent-ink", "accent"), ("accent", "accent-soft"), ("ink", "accent-soft"), ("bad", "bad-soft")]
    pairs += [(ink, "sunken") for ink in CODE] + [("ink", "warn-soft"), ("warn", "warn-soft"), ("accent", "warn-soft"), ("ink", "bad-soft")]
    # A button of the last step of a dangerous act, Stop, and the counts and kinds that stand on the list of chats.
    pairs += [("paper", "bad"), ("paper", "ink"), ("muted", "accent-soft"), ("thinking", "paper"), ("muted", "line")]
    for ink, paper in pairs:
        assert contrast(token(ink, dark=dark), token(paper, dark=dark)) >= 4.5, (ink, paper)


@pytest.mark.parametrize("dark", [False, True])
def test_the_edges_of_controls_can_be_seen(dark: bool) -> None:
    for paper in ("paper", "raised"):
        assert contrast(token("edge", dark=dark), token(paper, dark=dark)) >= 3


def test_a_colour_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        token("mauve")


def test_the_head_names_no_other_host() -> None:
    assert "http:" not in head()
    assert "https:" not in head()
    assert "url(" not in head()


def test_every_button_with_an_icon_only_has_a_name() -> None:
    for template in (HERE / "templates").glob("*.html"):
        for button in template.read_text("utf-8").split("<button")[1:]:
            tag, _, inner = button.partition(">")
            if 'class="icon' in tag or (inner.lstrip().startswith("{{ icon(") and "<span>" not in inner.split("</button>")[0]):
                assert "aria-label=" in tag, (template.name, tag)


def test_the_line_about_the_starter_is_there_for_it_alone() -> None:
    assert "15 MB" in render("starter", missing="", size="15 MB")
    assert "<p>" not in render("starter", missing="", size="")
