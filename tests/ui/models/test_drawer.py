"""The drawer: every fact that is known, the forecast at each context, revisions, and who uses the model."""

import json

from mlx_harmony.engine.protocols import ModelState
from mlx_harmony.records import ChatName
from mlx_harmony_ui.models.drawer import Drawer, Opened, contexts, drawer_of, going_text
from mlx_harmony_ui.models.rows import Standing
from tests.ui.models.made import DAY, GB, NOW, holding, info, needs, revision


def drawer(**others: object) -> Drawer:
    known = {"info": info(thinking="think tags", tools="hermes", drafts=("org/small",), profiles=("work",), chats=2), "holding": None}
    return drawer_of(Opened(**(known | {"needs": ()} | others)), Standing(), NOW)  # type: ignore[arg-type]


def test_contexts_double_up_to_the_model_s_own_length() -> None:
    assert contexts(40_960) == (1024, 2048, 4096, 8192, 16_384, 32_768, 40_960)
    assert contexts(512) == (512,) and contexts(None) == (1024, 2048, 4096)


def test_the_forecast_begins_at_16k_and_tells_what_fits() -> None:
    at = tuple((length, needs(context=length)) for length in contexts(32_768))
    told = drawer(needs=at)
    assert told.points[told.step].context == "16,384 tokens"
    points = json.loads(told.told)
    assert points[0]["fit"] == "It fits: 3.0 GB are free." and points[-1]["fit"] == "Will not fit: 3.0 GB are free."
    last = points[-1]
    assert last["total"] == "5.6 GB" and abs(last["weights"] + last["kv"] + last["working"] - 100) < 0.1 and 50 < last["free"] < 60
    unknown = drawer(needs=((4096, needs("unknown", free=None)),)).points[0]
    assert (unknown.free, unknown.fit) == (-1.0, "What is free is not known here.")


def test_facts_that_are_not_known_are_left_out_and_paths_can_be_copied() -> None:
    facts = {fact.name: fact for fact in drawer().facts}
    assert (facts["Thinking"].text, facts["Tools"].text, facts["Context"].text) == ("think tags", "hermes", "32,768 tokens")
    assert facts["Path"].copied == "/hub/org/Qwen-4bit" and "In memory" not in facts and "Revision" not in facts
    state = ModelState(id="org/Qwen-4bit", phase="awake", memory_bytes=GB, loaded_at=NOW - 60)
    loaded = drawer_of(Opened(info(), None, ()), Standing(states={state.id: state}), NOW)
    assert [fact.text for fact in loaded.facts if fact.name in ("In memory", "Loaded")] == ["1.0 GB", "1 minute ago"]


def test_revisions_tell_which_is_used_what_is_freed_and_half_downloads() -> None:
    old, new = revision("old" * 5, 5 * GB), revision("new" * 5, 6 * GB, "main")
    told = drawer(info=info(revision="new" * 5), holding=holding("org/Qwen-4bit", revisions=(old, new), incomplete_bytes=7))
    assert [(each.current, each.detached, each.alone, each.size) for each in told.revisions] == [
        (False, True, False, "5.0 GB"),
        (True, False, False, "6.0 GB"),
    ]
    assert (told.half_key, told.half_size) == ("half:org/Qwen-4bit", "7 B")
    (only,) = drawer(holding=holding("org/Qwen-4bit", revisions=(new,))).revisions
    assert only.alone and only.used == f"{int(DAY // DAY)} day ago"


def test_the_latest_chats_are_named_with_what_they_leave_out() -> None:
    named = tuple(ChatName(id=f"c{at}", title=f"About {at}") for at in range(5))
    told = drawer(info=info(chats=1_007, latest_chats=named))
    assert (told.chats, told.more_chats) == ("It answered in 1,007 chats:", "and 1,002 more")
    assert told.latest_chats == named
    few = drawer(info=info(chats=2, latest_chats=named[:2]))
    assert (few.chats, few.more_chats) == ("It answered in 2 chats:", "")
    assert drawer(info=info()).chats == ""


def test_what_a_load_does_to_others_is_said() -> None:
    assert going_text(("a",), ()) == "Loading it makes room: a is unloaded."
    assert going_text((), ("a", "b")) == "Loading it waits until a, b have answered."
    assert going_text((), ()) == ""
