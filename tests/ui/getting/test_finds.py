"""What a search found, as rows: numbers with units, a badge before any download, and nothing claimed that the hub does not say."""

from mlx_harmony.models.hub.fit import Fit
from mlx_harmony.models.hub.offers import Found
from mlx_harmony.records import ModelEntry
from mlx_harmony_ui.getting.finds import STARTS, Searched, finds_view
from mlx_harmony_ui.present import Notice
from mlx_harmony_ui.render import render

NOW = 1_800_000_000.0
DAY = 86_400
QWEN = Found(
    id="mlx-community/Qwen3-4B-4bit",
    downloads=123_456,
    licence="apache-2.0",
    modified_at=NOW - 3 * DAY,
    bytes=2_400_000_000,
    bits=4,
    parameters=4_020_000_000,
    mlx=True,
)
FITS = Fit(verdict="fits", needs_bytes=2_900_000_000, free_bytes=16_000_000_000)
UNSAID = Found(id="org/Bare", gated=True)


def entry(model: str = QWEN.id, problem: str = "") -> ModelEntry:
    return ModelEntry(id=model, path="/x", bytes=9_000_000, architecture="llama", format="raw", source="hub_cache", problem=problem)


def test_a_row_tells_size_bits_licence_and_whether_it_fits() -> None:
    (row,) = finds_view(Searched("qwen", ((QWEN, FITS),)), (), "", NOW).rows
    assert (row.name, row.about) == ("Qwen3-4B-4bit", "mlx-community · 4.02B parameters")
    assert (row.size, row.bits, row.licence, row.downloads, row.changed) == ("2.4 GB", "4", "apache-2.0", "123k", "3 days ago")
    assert (row.fit, row.fit_text) == ("fits", "fits")
    assert row.fit_title == "Needs about 2.9 GB of memory; 16 GB are free"
    assert row.downloads_exact == "123,456 downloads" and not row.here and not row.gated


def test_each_verdict_has_its_badge_and_what_is_not_known_has_none() -> None:
    tight, large = Fit(verdict="tight", needs_bytes=9 * 10**9, free_bytes=8 * 10**9), Fit(verdict="too large", needs_bytes=9 * 10**9)
    rows = finds_view(Searched("", ((QWEN, tight), (QWEN, large), (UNSAID, Fit(verdict="unknown", free_bytes=1)))), (), "", NOW).rows
    assert [row.fit_text for row in rows] == ["tight", "will not fit", ""]
    assert "with less context" in rows[0].fit_title and "not known here" in rows[1].fit_title and "does not say" in rows[2].fit_title
    assert (rows[2].size, rows[2].bits, rows[2].licence, rows[2].changed) == ("—", "—", "—", "—")
    assert rows[2].gated and rows[2].about == "org · not made for MLX"


def test_a_model_counts_as_here_only_once_it_can_be_used() -> None:
    def here(models: tuple[ModelEntry, ...]) -> bool:
        return finds_view(Searched("qwen", ((QWEN, FITS),)), models, "", NOW).rows[0].here

    assert here((entry(),)) and not here((entry(problem="Half of it is missing."),)) and not here((entry("other/Model"),))


def test_before_a_search_there_are_names_to_begin_with_and_offline_what_is_here() -> None:
    begin = finds_view(Searched(), (entry(),), "", NOW)
    assert begin.starts == STARTS and not begin.local and not begin.begun
    offline = finds_view(Searched(offline=True), (entry(), entry("org/Broken", "Broken.")), "", NOW)
    assert not offline.starts and [local.id for local in offline.local] == [QWEN.id]
    failed = finds_view(Searched("qwen", None, Notice(tone="bad", headline="Not possible right now")), (entry(),), "", NOW)
    assert failed.notice and not failed.starts and [local.size for local in failed.local] == ["9.0 MB"]


def test_what_was_found_is_told_and_so_is_nothing() -> None:
    assert finds_view(Searched("qwen", ((QWEN, FITS),)), (), "", NOW).shown == "1 model for “qwen”"
    assert finds_view(Searched("", ((QWEN, FITS),)), (), "", NOW).shown == "The 1 model made for MLX that is downloaded most"
    nothing = finds_view(Searched("qwen", ()), (), "", NOW)
    assert nothing.begun and not nothing.shown
    assert "no model whose name holds that" in render("get_found", view=nothing, asked="1")


def test_nothing_of_the_hub_becomes_markup_and_no_picture_is_fetched() -> None:
    evil = Found(id="org/x", licence="<img src=http://evil>", downloads=1, bytes=1)
    html = render("get_found", view=finds_view(Searched("<b>", ((evil, FITS),)), (), "", NOW), asked='"><script>')
    assert "<img" not in html and "<script" not in html and "<b>" not in html.replace("<b>The hub", "")


def test_the_mark_changes_with_what_is_shown_and_only_then() -> None:
    first, same, other = (finds_view(Searched("q", ((QWEN, FITS),)), (), opened, NOW).mark for opened in ("", "", QWEN.id))
    assert first == same != other
