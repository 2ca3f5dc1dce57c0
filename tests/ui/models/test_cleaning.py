"""Cleaning up: nothing in use is suggested, the bar tells what is really freed, the question names everything that goes."""

from mlx_harmony.models.removal import Removal, RemovalItem, Selected
from mlx_harmony_ui.models.cleaning import Used, bar_of, mark_of, question_of, suggestions
from tests.ui.models.made import GB, NOW, holding, info, revision


def item(name: str = "org/Qwen-4bit", **others: object) -> RemovalItem:
    known = {"kind": "model", "path": "/hub/x", "root": "/hub", "whole": True, "moves": ("/hub/x",), "freed_bytes": 2 * GB}
    return RemovalItem(id=name, **(known | others))  # type: ignore[arg-type]


def removal(*items: RemovalItem) -> Removal:
    return Removal(selection=(), items=items, freed_bytes=sum(each.freed_bytes for each in items), free_bytes_before=10 * GB)


def found(*holdings: object, used: Used = Used()) -> dict[str, tuple[str, ...]]:  # noqa: B008
    return {each.name: each.keys for each in suggestions(holdings, used, NOW)}  # type: ignore[arg-type]


def test_detached_revisions_go_but_never_the_one_in_use_or_the_only_one() -> None:
    two = holding("B", revisions=(revision("old", 5), revision("new", 6, "main")))
    assert found(two) == {"Detached revisions": ("revision:old:B",)}
    assert found(two, used=Used(infos={"B": info("B", revision="old")})) == {}
    assert found(holding("C", revisions=(revision("only", 5),))) == {}


def test_half_downloads_are_found_and_the_starter_never() -> None:
    assert found(holding("A", incomplete_bytes=7)) == {"Half downloads": ("half:A",)}
    assert found(holding("starter", days=999, kind="bundled")) == {}


def test_of_duplicates_the_one_used_last_stays_and_what_is_in_use() -> None:
    three = (holding("Qwen-bf16", days=3), holding("Qwen-8bit", days=2), holding("Qwen-4bit", days=1))
    assert found(*three) == {"Duplicates": ("whole:Qwen-bf16", "whole:Qwen-8bit")}
    assert found(*three, used=Used(kept=frozenset({"Qwen-bf16"}))) == {"Duplicates": ("whole:Qwen-8bit", "whole:Qwen-4bit")}
    torch = holding("Qwen-torch", mlx=False)
    assert found(torch, three[0]) == {}


def test_unused_for_long_counts_what_was_asked_for_here_as_used() -> None:
    old = holding("A", days=120)
    assert found(old) == {"Unused for 90 days": ("whole:A",)}
    assert found(old, used=Used(infos={"A": info("A", last_used_at=NOW)})) == {}
    assert found(old, used=Used(kept=frozenset({"A"}))) == {}


def test_the_bar_tells_what_is_freed_and_what_stays_for_others() -> None:
    picked = (Selected(id="a"), Selected(id="b"))
    bar = bar_of(picked, removal(item(), item("b")), GB)
    assert bar and (bar.count, bar.frees, bar.rest) == ("2 selected", "frees 4.0 GB", "of 5.0 GB; 1.0 GB are shared with what stays")
    plain = bar_of(picked, removal(item()), 0)
    assert plain and plain.rest == ""
    refused = bar_of(picked, None, 0, "It is being downloaded.")
    assert refused and (refused.frees, refused.problem) == ("", "It is being downloaded.")
    assert bar_of((), None, 0) is None


def test_the_question_names_ids_bytes_and_who_will_miss_them() -> None:
    model = info(profiles=("work",), chats=3, revision="abc")
    over = info("org/lora", adapter="/a", base="org/Qwen-4bit")
    used = Used(loaded=frozenset({"org/Qwen-4bit"}), chosen="org/Qwen-4bit", infos={"org/Qwen-4bit": model, "org/lora": over})
    question = question_of(removal(item(revisions=("abc", "def"))), used)
    assert (question.title, question.yes, question.free_after) == ("Delete org/Qwen-4bit?", "Move 2.0 GB to the trash", "12 GB")
    (going,) = question.goes
    assert (going.id, going.what, going.size) == ("org/Qwen-4bit", "all of it, 2 revisions", "2.0 GB")
    assert going.notes == (
        "It is loaded and will be unloaded first.",
        "It is the default model.",
        "Named by profile work.",
        "It answered in 3 chats; those stay.",
        "Without it org/lora cannot run.",
    )


def test_a_revision_or_a_left_over_is_told_as_such() -> None:
    used = Used(loaded=frozenset({"org/Qwen-4bit"}), infos={"org/Qwen-4bit": info(revision="new")})
    parts = item(whole=False, revisions=("0123456789ab",), incomplete_bytes=4)
    (going,) = question_of(removal(parts), used).goes
    assert (going.what, going.notes) == ("revision 01234567, half downloads", ())
    (loaded,) = question_of(removal(item(whole=False, revisions=("new",))), used).goes
    assert loaded.notes == ("It is loaded and will be unloaded first.",)


def test_the_mark_changes_with_what_goes() -> None:
    assert mark_of(removal(item())) == mark_of(removal(item()))
    assert mark_of(removal(item())) != mark_of(removal(item(freed_bytes=1)))
