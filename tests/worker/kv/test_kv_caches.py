"""What was read in one form of KV is reused in that form, gives the same answer as without, and shares one budget with the others."""

import threading
import time
from pathlib import Path

import pytest

from mlx_harmony.cache_records import CacheState
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.records import KvOptions, LoadOptions, Sampling
from mlx_harmony.worker.cache.door import CacheDoor
from mlx_harmony.worker.cache.opening import open_caches
from mlx_harmony.worker.generation import Desk, Generation, count_prompt
from mlx_harmony.worker.inbox import Inbox
from mlx_harmony.worker.kv import KvForm
from mlx_harmony.worker.kv_caches import MOST_FORMS, KvCaches
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.pace import Pace
from mlx_harmony.worker.prompt_cache import PromptCache
from tests.fixtures.wide import build_wide
from tests.worker.company import Watched, alone, ask, end, text, together
from tests.worker.kv.asking import BITS4, BITS8, desk_of, fresh, written

FORMS = (BITS8, BITS4, KvOptions(kv_bits=8, kv_group_size=32, quantized_kv_start=40), KvOptions(max_kv_size=24))


@pytest.mark.parametrize("options", FORMS, ids=lambda options: KvForm.of(options).words)
def test_a_later_prompt_reuses_what_was_read_and_answers_as_without(wide: LoadedModel, options: KvOptions) -> None:
    desk = desk_of(wide)
    for length in (30, 70, 140):
        written(desk, length=length, kv=options, max_tokens=6)
    found, ended = written(desk, length=141, kv=options, max_tokens=12)
    assert found == fresh(wide, length=141, kv=options, max_tokens=12)[0]
    assert ended.usage.cached_tokens >= 139


@pytest.mark.parametrize("options", FORMS, ids=lambda options: KvForm.of(options).words)
def test_an_answer_is_gone_on_from_in_its_form(wide: LoadedModel, options: KvOptions) -> None:
    desk = desk_of(wide)
    for _ in range(2):
        found, ended = written(desk, length=60, kv=options, max_tokens=30)
        assert found == fresh(wide, length=60, kv=options, max_tokens=30)[0]
    assert ended.usage.cached_tokens == 59


def test_forms_are_never_mixed(wide: LoadedModel) -> None:
    desk = desk_of(wide)
    written(desk, length=80)
    for options in FORMS:
        found, ended = written(desk, length=80, kv=options)
        assert found == fresh(wide, length=80, kv=options)[0]
        assert ended.usage.cached_tokens <= (options.quantized_kv_start or 0)
    found, ended = written(desk, length=80)
    assert ended.usage.cached_tokens == 79 and found == fresh(wide, length=80)[0]


def test_below_its_start_a_packed_prompt_shares_what_is_plain(wide_models: dict[str, LoadedModel]) -> None:
    desk, options = desk_of(wide_models["llama"]), KvOptions(kv_bits=8, kv_group_size=32, quantized_kv_start=50)
    written(desk, length=80)
    found, ended = written(desk, length=80, kv=options)
    assert ended.usage.cached_tokens == 50
    assert ended.reuse is not None and ended.reuse.prompt == 80
    assert found == fresh(wide_models["llama"], length=80, kv=options)[0]


def test_all_forms_keep_within_one_budget_and_the_one_used_last_stays(wide_models: dict[str, LoadedModel]) -> None:
    loaded = wide_models["llama"]
    one = desk_of(loaded)
    written(one, length=400)
    desk = desk_of(loaded, int(one.cache.bytes * 1.2))
    assert desk.caches is not None
    for options in (KvOptions(), BITS8, BITS4, KvOptions(), BITS8):
        written(desk, length=400, kv=options)
        assert sum(cache.bytes for cache in desk.caches.all()) <= desk.cache.budget_bytes
        assert written(desk, length=400, kv=options)[1].usage.cached_tokens == 399


def test_a_form_that_the_model_cannot_have_is_refused_before_anything_is_read(wide_models: dict[str, LoadedModel]) -> None:
    desk = desk_of(wide_models["mamba2"])
    for _ in range(2):
        generation = Generation(desk, ask("a", kv=BITS8), lambda: False, time.perf_counter())
        with pytest.raises(InvalidRequest, match="nothing to pack"):
            list(generation.run())
    assert written(desk)[1].reason == "length"


def test_a_form_is_tried_out_once(wide_models: dict[str, LoadedModel]) -> None:
    opened: list[KvForm] = []

    def open_cache(form: KvForm) -> PromptCache:
        opened.append(form)
        return PromptCache()

    caches = KvCaches(wide_models["llama"].model, PromptCache(), open_cache)
    assert caches.use(BITS8).cache is caches.use(BITS8).cache
    assert caches.use(KvOptions()).cache is caches.plain
    assert opened == [KvForm.of(BITS8)]


def test_requests_of_several_forms_at_once_answer_as_each_alone(wide: LoadedModel) -> None:
    requests = [ask(str(at), start=at, length=20 + 9 * at, kv=kv) for at, kv in enumerate((KvOptions(), BITS8, KvOptions(), *FORMS[1:]))]
    heard = together(wide, requests)
    for request in requests:
        assert text(heard[request.id]) == text(alone(wide, request))
        assert end(heard[request.id]).timings.kv_bytes > 0


def test_a_common_beginning_is_shared_within_a_form_only(wide_models: dict[str, LoadedModel]) -> None:
    requests = [ask(str(at), length=200 + at, kv=kv) for at, kv in enumerate((KvOptions(), KvOptions(), BITS8, BITS8))]
    heard = together(wide_models["llama"], requests)
    cached = [end(heard[request.id]).usage.cached_tokens for request in requests]
    assert cached[0] == cached[2] == 0 and cached[1] == cached[3] - 2 == 199
    for request in requests:
        assert text(heard[request.id]) == text(alone(wide_models["llama"], request))


@pytest.mark.parametrize("options", FORMS, ids=lambda options: KvForm.of(options).words)
def test_guessing_ahead_changes_nothing_in_any_form(wide: LoadedModel, options: KvOptions) -> None:
    again = Sampling(temperature=0.0, repetition_penalty=1.0, logit_bias={60: 9.0, 61: 9.0})
    plain, guessed = (
        written(desk_of(wide), length=60, kv=options, max_tokens=60, sampling=again, speculation=who) for who in ("off", "lookup")
    )
    assert guessed[0] == plain[0]
    assert guessed[1].timings.kv_length == plain[1].timings.kv_length
    assert plain[1].speculation is None and guessed[1].speculation is not None and guessed[1].speculation.drafted > 0


@pytest.mark.parametrize("options", FORMS, ids=lambda options: KvForm.of(options).words)
def test_every_form_survives_a_restart_on_a_shelf_of_its_own(llama: LoadedModel, fx1: Path, tmp_path: Path, options: KvOptions) -> None:
    loaded = llama._replace(model=build_wide("llama", llama.card.vocabulary_size))
    told = LoadOptions(path=str(fx1), cache_folder=str(tmp_path), cache_disk_bytes=2**30)
    prompt = ask("a", length=90, kv=options, max_tokens=6)
    ends = []
    for _ in range(2):
        caches = open_caches(loaded, told)
        desk = Desk(loaded, caches.plain, Pace(), caches=caches)
        ends.append(end(list(Generation(desk, prompt, lambda: False, time.perf_counter()).run())))
        caches.close()
    assert [ended.usage.cached_tokens for ended in ends] == [0, 89]
    other = KvOptions(kv_bits=4, kv_group_size=64) if options.kv_bits else KvOptions(max_kv_size=23)
    caches = open_caches(loaded, told)
    kept = {
        entry.id: entry.kv
        for cache in (caches.plain, caches.use(options).cache)
        if isinstance(cache, PromptCache)
        for entry in cache.look().entries
    }
    assert options.quantized_kv_start or set(kept.values()) == {KvForm.of(options).words}
    assert caches.use(other).cache.lookup(list(range(20, 110))).length == 0
    caches.close()


def test_all_forms_are_looked_at_and_cleared_as_one(wide_models: dict[str, LoadedModel]) -> None:
    desk = desk_of(wide_models["llama"])
    assert desk.caches is not None
    door = CacheDoor(Inbox(lambda _id, _event: None))
    assert door.act() == CacheState()
    door.open(desk.caches)
    for options in (KvOptions(), BITS8):
        written(desk, length=60, kv=options)
    state = door.act()
    assert state.memory_bytes == sum(cache.bytes for cache in desk.caches.all()) > desk.cache.bytes > 0
    assert state.requests == 2 and state.memory_budget == desk.cache.budget_bytes and len(state.recent) == 2
    assert len({entry.id for entry in state.entries}) == len(state.entries)
    assert sum(entry.memory_bytes for entry in state.entries) == state.memory_bytes
    assert door.act("clear").memory_bytes == 0
    assert all(cache.bytes == 0 for cache in desk.caches.all())


@pytest.mark.parametrize("options", FORMS, ids=lambda options: KvForm.of(options).words)
def test_what_a_prompt_would_reuse_is_told_of_its_own_form(wide_models: dict[str, LoadedModel], options: KvOptions) -> None:
    desk = desk_of(wide_models["llama"])
    request = ask("a", length=90, kv=options)
    assert count_prompt(desk, request).reused == 0
    written(desk, length=90, kv=options, max_tokens=4)
    found = count_prompt(desk, request).reused
    assert found == written(desk, length=90, kv=options)[1].usage.cached_tokens == 89
    shared = options.quantized_kv_start or 0
    assert count_prompt(desk, ask("b", length=90)).reused == shared


def test_few_forms_are_kept_at_once_however_many_are_asked_for(wide_models: dict[str, LoadedModel]) -> None:
    loaded, closed = wide_models["llama"], threading.Event()
    watched = Watched(loaded.model)

    class Kept(PromptCache):
        def close(self) -> None:
            super().close()
            closed.set()

    caches = KvCaches(watched, PromptCache(), lambda _form: Kept())  # type: ignore[arg-type]
    first = caches.use(KvOptions(max_kv_size=100))
    tried = len(watched.calls)
    for size in range(101, 101 + 3 * MOST_FORMS):
        caches.use(KvOptions(max_kv_size=size))
        assert len(caches.all()) <= MOST_FORMS + 1
    assert len(watched.calls) == tried
    assert closed.wait(5)
    assert caches.use(KvOptions(max_kv_size=100)).cache is not first.cache
