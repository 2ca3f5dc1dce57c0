"""What is read from the disk keeps nobody waiting but who wants it: others go on, a cancel is obeyed, and a bad file is a miss."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlx_harmony.events import Event, Finished
from mlx_harmony.records import GenerationRequest, TokenPrompt
from mlx_harmony.shelf.piece import Head
from mlx_harmony.shelf.shelf import Shelf, pieces
from mlx_harmony.worker.cache import fetching, keeping, restoring
from mlx_harmony.worker.inbox import Inbox
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.loop import Loop
from mlx_harmony.worker.prompt_cache import PromptCache
from tests.worker.cache.reading import cache_on, read, shelf_at, tokens
from tests.worker.company import GREEDY, Acts, Watched, alone, ask, end, run_loop, text, tokens_of

LATEST_S = 10.0
KNOWN = tokens(300)
WRITER = ask("writer", max_tokens=70)


class Held(Shelf):
    """A shelf whose files take until they are released; it remembers in which threads which pieces were read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, shelf_at(root).identity, 2**30)
        self.released = threading.Event()
        self.waited: list[bool] = []
        self.threads: list[str] = []
        self.ids: list[str] = []

    def read(self, piece_id: str) -> tuple[Head, list[memoryview]]:
        self.threads.append(threading.current_thread().name)
        self.ids.append(piece_id)
        self.waited.append(self.released.wait(LATEST_S))
        return super().read(piece_id)


@pytest.fixture(params=["llama", "gpt_oss"])
def loaded(request: pytest.FixtureRequest) -> LoadedModel:
    model: LoadedModel = request.getfixturevalue(request.param)
    return model


@pytest.fixture
def shelf(loaded: LoadedModel, tmp_path: Path) -> Iterator[Held]:
    """One on which a process before this one kept the known tokens, in two runs."""
    before, layers = cache_on(shelf_at(tmp_path), loaded), None
    for start, until in ((0, 200), (200, 300)):
        layers, _ = read(loaded, KNOWN[start:until], layers)
        before.put(KNOWN[:until], layers)
    before.flush()
    before.close()
    held = Held(tmp_path)
    yield held
    held.released.set()


def known(name: str, *more: int, **fields: object) -> GenerationRequest:
    settings: dict[str, object] = {"max_tokens": 6, "sampling": GREEDY, "loop_detection": "off", **fields}
    return GenerationRequest(id=name, prompt=TokenPrompt(tokens=(*KNOWN, *more)), **settings)  # type: ignore[arg-type]


READER = known("reader", 25, 26, 27)


def heard_with(
    loaded: LoadedModel, cache: PromptCache, acts: Acts, first: tuple[GenerationRequest, ...] = (WRITER,), expected: int = 2
) -> dict[str, list[Event]]:
    return run_loop(lambda model, inbox: Loop(model, inbox, cache=cache), loaded, first, acts, expected)


def release(shelf: Held) -> Callable[[Inbox], None]:
    return lambda _inbox: shelf.released.set()


def test_an_answer_goes_on_while_a_known_prompt_is_read_from_the_disk(loaded: LoadedModel, shelf: Held) -> None:
    cache = cache_on(shelf, loaded)
    acts: Acts = {("writer", 10): lambda inbox: inbox.put(READER), ("writer", 30): release(shelf)}
    heard = heard_with(loaded, cache, acts)
    assert all(shelf.waited), "the answer was to get 20 tokens while the disk was waited for"
    assert all(name.startswith("cache reader") for name in shelf.threads)
    assert text(heard["writer"]) == text(alone(loaded, WRITER))
    assert text(heard["reader"]) == text(alone(loaded, READER))
    reuse = end(heard["reader"]).reuse
    assert reuse is not None and (reuse.disk, reuse.memory) == (300, 0)


def test_a_prompt_that_is_left_meanwhile_ends_at_once(loaded: LoadedModel, shelf: Held) -> None:
    cache = cache_on(shelf, loaded)
    told: list[int] = []
    acts: Acts = {
        ("writer", 10): lambda inbox: inbox.put(READER),
        ("writer", 20): lambda inbox: inbox.cancel("reader"),
        ("reader", 1): lambda _inbox: told.append(len(shelf.waited)),
    }
    heard = heard_with(loaded, cache, acts)
    assert told == [0], "it ended before the file was there"
    assert end(heard["reader"]).reason == "cancelled"
    assert text(heard["writer"]) == text(alone(loaded, WRITER))
    shelf.released.set()
    assert cache.lookup([*KNOWN, 25]).length == 300


def test_a_worker_that_closes_meanwhile_does_not_wait(loaded: LoadedModel, shelf: Held) -> None:
    cache = cache_on(shelf, loaded)
    acts: Acts = {("writer", 10): lambda inbox: inbox.put(READER), ("writer", 20): lambda inbox: inbox.close()}
    heard = heard_with(loaded, cache, acts)
    cache.close()
    assert shelf.waited == []
    assert [end(heard[name]).reason for name in ("writer", "reader")] == ["cancelled"] * 2


def test_who_comes_while_only_the_disk_is_waited_for_is_answered(loaded: LoadedModel, shelf: Held) -> None:
    cache = cache_on(shelf, loaded)
    other = ask("other", max_tokens=5)
    order: list[str] = []
    heard: dict[str, list[Event]] = {}

    def emit(request_id: str, event: Event) -> None:
        heard.setdefault(request_id, []).append(event)
        if isinstance(event, Finished):
            order.append(request_id)
            shelf.released.set()
            if len(order) == 2:
                inbox.close()

    inbox = Inbox(emit)
    inbox.put(READER)
    threading.Timer(0.2, inbox.put, [other]).start()
    Loop(loaded, inbox, cache=cache).run()
    assert order == ["other", "reader"]
    assert text(heard["reader"]) == text(alone(loaded, READER))


def test_a_file_that_turns_bad_is_a_miss_with_its_reason_and_the_prompt_is_read(loaded: LoadedModel, shelf: Held) -> None:
    cache = cache_on(shelf, loaded)
    for file in pieces(shelf.folder):
        if file.end == 300:
            file.path.write_bytes(file.path.read_bytes()[:-1] + b"\0")
    acts: Acts = {("writer", 10): lambda inbox: inbox.put(READER), ("writer", 20): release(shelf)}
    heard = heard_with(loaded, cache, acts)
    reuse = end(heard["reader"]).reuse
    assert reuse is not None
    assert (reuse.reused, reuse.reason) == (200, "damaged")
    assert "damaged" in reuse.detail
    assert text(heard["reader"]) == text(alone(loaded, READER))
    assert text(heard["writer"]) == text(alone(loaded, WRITER))
    assert cache.look().disk_bytes == sum(file.bytes for file in pieces(shelf.folder)), "what it read instead is kept"


def test_what_several_prompts_begin_with_is_brought_once(loaded: LoadedModel, shelf: Held) -> None:
    cache = cache_on(shelf, loaded)
    others = tuple(known(str(at), 40 + at, 50 + at) for at in range(3))

    def come(inbox: Inbox) -> None:
        for other in others:
            inbox.put(other)

    acts: Acts = {("writer", 10): come, ("writer", 30): release(shelf)}
    heard = heard_with(loaded, cache, acts, expected=4)
    assert len(shelf.ids) == len(set(shelf.ids))
    for other in others:
        assert end(heard[other.id]).usage.cached_tokens >= 300
        assert text(heard[other.id]) == text(alone(loaded, other))


def test_a_prompt_alone_waits_for_its_files(loaded: LoadedModel, shelf: Held) -> None:
    cache = cache_on(shelf, loaded)
    threading.Timer(0.2, shelf.released.set).start()
    heard = heard_with(loaded, cache, {}, (READER,), expected=1)
    assert end(heard["reader"]).usage.cached_tokens == 300
    assert text(heard["reader"]) == text(alone(loaded, READER))


def test_what_was_dropped_while_it_was_read_is_not_used(loaded: LoadedModel, shelf: Held) -> None:
    cache = cache_on(shelf, loaded)
    acts: Acts = {
        ("writer", 10): lambda inbox: inbox.put(READER),
        ("writer", 20): lambda _inbox: cache.clear(),
        ("writer", 21): release(shelf),
    }
    heard = heard_with(loaded, cache, acts)
    assert end(heard["reader"]).usage.cached_tokens == 0
    assert text(heard["reader"]) == text(alone(loaded, READER))


def test_large_pieces_are_made_part_by_part_and_an_answer_gets_a_token_after_each(
    loaded: LoadedModel, shelf: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (fetching, restoring):
        monkeypatch.setattr(module, "STEP_BYTES", 5000)
    shelf.released.set()
    model = Watched(loaded.model)
    steps: list[int] = []

    def begin(inbox: Inbox) -> None:
        inbox.put(READER)
        steps.append(len(model.calls))

    acts: Acts = {("writer", 10): begin, ("reader", 1): lambda _inbox: steps.append(len(model.calls))}
    heard = heard_with(loaded._replace(model=model), cache_on(shelf, loaded), acts)  # type: ignore[arg-type]
    assert steps[1] - steps[0] >= 6, "each of both runs has more than one part, and so have the live caches"
    assert text(heard["writer"]) == text(alone(loaded, WRITER))
    assert text(heard["reader"]) == text(alone(loaded, READER))


def test_a_long_prompt_is_kept_while_it_is_read_and_gone_on_from_after_a_stop(
    loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlx_harmony.worker import reading

    monkeypatch.setattr(reading, "STEP_BYTES", 4000)
    monkeypatch.setattr(keeping, "RUN_BYTES", 16_000)
    cache = cache_on(shelf_at(tmp_path), loaded)
    long = ask("long", length=400, max_tokens=6)
    heard = heard_with(loaded, cache, {("long", 6): lambda inbox: inbox.cancel("long")}, (long,), expected=1)
    assert end(heard["long"]).reason == "cancelled"
    read_before = end(heard["long"]).timings.prompt_n
    kept = cache.peek(tokens_of(long))
    assert 32 <= kept <= read_before
    again = heard_with(loaded, cache, {}, (long,), expected=1)
    assert end(again["long"]).usage.cached_tokens == kept
    assert text(again["long"]) == text(alone(loaded, long))
    assert len([entry for entry in cache.look().entries if entry.where == "memory"]) > 5
