"""Which models a pattern, a format and a size mean, and in which order they come."""

import pytest

from mlx_harmony.errors import InvalidRequest
from mlx_harmony.models.filtering import LONGEST_PATTERN, SORTS, Filter, matching
from mlx_harmony.models.info import ModelInfo
from mlx_harmony.records import Format, ModelEntry


def info(name: str, size: int, kind: Format = "template", used: float | None = None, bits: int | None = None) -> ModelInfo:
    entry = ModelEntry(id=name, path=f"/{name}", bytes=size, architecture="llama", format=kind, source="folder", bits=bits)
    return ModelInfo(entry=entry, disk_bytes=size, last_used_at=used)


INFOS = (
    info("starter", 15, "harmony", used=30.0, bits=8),
    info("mlx-community/Qwen3-0.6B-4bit", 400, bits=4, used=10.0),
    info("mlx-community/Qwen3-8B-bf16", 16000),
    info("notes", 5, "unsupported", used=20.0),
)


def ids(wanted: Filter) -> list[str]:
    return [each.entry.id.rsplit("/", 1)[-1] for each in matching(INFOS, wanted)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["starter", "Qwen3-0.6B-4bit", "Qwen3-8B-bf16", "notes"]),
        ("QWEN3", ["Qwen3-0.6B-4bit", "Qwen3-8B-bf16"]),
        (" mlx-community/ ", ["Qwen3-0.6B-4bit", "Qwen3-8B-bf16"]),
        ("qwen*", ["Qwen3-0.6B-4bit", "Qwen3-8B-bf16"]),
        ("*-4BIT", ["Qwen3-0.6B-4bit"]),
        ("*community/*b-????", ["Qwen3-0.6B-4bit", "Qwen3-8B-bf16"]),
        ("qwen3-[0-4]*", ["Qwen3-0.6B-4bit"]),
        ("[!q]*", ["starter", "Qwen3-0.6B-4bit", "Qwen3-8B-bf16", "notes"]),
        ("n[o]tes", ["notes"]),
        ("0.6", ["Qwen3-0.6B-4bit"]),
        ("otes*", []),
        ("(", []),
        ("\ud800\x00", []),
    ],
)
def test_part_of_an_id_or_a_pattern_narrows_exactly(text: str, found: list[str]) -> None:
    assert ids(Filter(text=text)) == found


@pytest.mark.parametrize("text", ["[", "a[bc", "]", "a]b*", "[]", "[!]", "[a]["])
def test_a_pattern_that_makes_no_sense_is_refused_in_words(text: str) -> None:
    with pytest.raises(InvalidRequest, match="pattern") as refused:
        matching(INFOS, Filter(text=text))
    assert refused.value.param == "text" and "[ab]" in refused.value.hint


def test_a_pattern_has_a_longest_and_none_takes_long() -> None:
    assert matching(INFOS, Filter(text="*a" * (LONGEST_PATTERN // 2))) == ()
    with pytest.raises(InvalidRequest, match=str(LONGEST_PATTERN)):
        matching(INFOS, Filter(text="x" * (LONGEST_PATTERN + 1)))


def test_format_and_sizes_narrow() -> None:
    assert ids(Filter(format="harmony")) == ["starter"]
    assert ids(Filter(min_bytes=15, max_bytes=400)) == ["starter", "Qwen3-0.6B-4bit"]
    assert ids(Filter(max_bytes=5)) == ["notes"]
    assert ids(Filter(text="qwen", min_bytes=401)) == ["Qwen3-8B-bf16"]


def test_texts_come_from_a_and_figures_from_the_largest_and_what_is_not_known_last() -> None:
    assert ids(Filter(sort="id")) == ["Qwen3-0.6B-4bit", "Qwen3-8B-bf16", "notes", "starter"]
    assert ids(Filter(sort="size")) == ["Qwen3-8B-bf16", "Qwen3-0.6B-4bit", "starter", "notes"]
    assert ids(Filter(sort="size", reverse=True)) == ["notes", "starter", "Qwen3-0.6B-4bit", "Qwen3-8B-bf16"]
    assert ids(Filter(sort="used")) == ["starter", "notes", "Qwen3-0.6B-4bit", "Qwen3-8B-bf16"]
    assert ids(Filter(sort="used", reverse=True))[-1] == "Qwen3-8B-bf16"
    assert ids(Filter(sort="bits"))[:2] == ["starter", "Qwen3-0.6B-4bit"]
    assert ids(Filter(reverse=True))[0] == "notes"


@pytest.mark.parametrize("column", SORTS)
def test_every_column_can_be_sorted_by(column: str) -> None:
    assert sorted(ids(Filter(sort=column))) == sorted(ids(Filter(sort=column, reverse=True))) == sorted(ids(Filter()))


@pytest.mark.parametrize(("name", "known"), [("sort", "size"), ("format", "harmony")])
def test_an_unknown_column_or_format_is_refused_with_the_known_ones(name: str, known: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        matching(INFOS, Filter(**{name: "colour"}))
    assert refused.value.param == name and known in refused.value.hint
