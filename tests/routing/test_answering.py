"""Answering for an alias: who answers when models cannot be loaded, and what is said of it. Models are scripted, routes are real."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from mlx_harmony.errors import (
    ContextTooLong,
    EngineCrashed,
    GenerationFailed,
    HarmonyError,
    LoadFailed,
    ModelNotFound,
    OutOfMemory,
    QueueFull,
    Unavailable,
)
from mlx_harmony.events import Event, Failed, Finished, Loading, Queued, Routed, TextDelta
from mlx_harmony.records import ChatPrompt, GenerationRequest, Message, ModelEntry
from mlx_harmony.routing import answering
from mlx_harmony.routing.answering import Router
from mlx_harmony.routing.records import Alias
from tests.fixtures.scripted import say


def entry(name: str, source: str = "folder", problem: str = "") -> ModelEntry:
    return ModelEntry(
        id=name,
        path=f"/models/{name}",
        bytes=1,
        architecture="x",
        format="template",
        source=source,  # type: ignore[arg-type]
        problem=problem,
    )


REQUEST = GenerationRequest(id="1", prompt=ChatPrompt(messages=(Message(role="user", content="Hello"),)))


class Models:
    """Models by name that answer with their name, or fail: while loading, or in the middle of their answer."""

    def __init__(
        self, *aliases: Alias, failing: dict[str, HarmonyError] | None = None, late: dict[str, HarmonyError] | None = None
    ) -> None:
        self._aliases = {alias.name: alias for alias in aliases}
        self.failing = failing or {}
        self._late = late or {}
        self.asked: list[str] = []
        self.router = Router(lambda: self, self, lambda _entry, request: request)

    def find(self, model_id: str | None) -> ModelEntry:
        if model_id == "gone" or model_id is None:
            raise ModelNotFound(f"No model {model_id!r} on this machine.")
        return entry(model_id, problem="Its weights are missing." if model_id == "broken" else "")

    def aliases(self) -> dict[str, Alias]:
        return self._aliases

    async def generate(self, entry: ModelEntry, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        self.asked.append(entry.id)
        yield Queued(position=1)
        yield Loading(stage="Weights", fraction=0.5)
        if error := self.failing.get(entry.id):
            yield Failed.of(error)
            return
        await asyncio.sleep(0)
        for event in say(entry.id):
            if isinstance(event, Finished) and (late := self._late.get(entry.id)):
                yield Failed.of(late)
                return
            yield event

    async def ask(self, alias: str) -> list[Event]:
        async with aclosing(self.router.generate(entry(alias, "alias"), REQUEST)) as events:
            return [event async for event in events]


def said(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_a_hundred_requests_at_once_are_shared_half_and_half() -> None:
    models = Models(Alias(name="both", models=("a", "b")))
    answers = await asyncio.gather(*(models.ask("both") for _ in range(100)))
    assert Counter(map(said, answers)) == {"a": 50, "b": 50} == Counter(models.asked)
    for events in answers:
        (routed,) = [event for event in events if isinstance(event, Routed)]
        assert routed == Routed(alias="both", model=said(events), note=f"{said(events)} answered for both: its models take turns.")
        end = events[-1]
        assert isinstance(end, Finished) and end.note == routed.note
    assert models.router.answered == {"both": {"a": 50, "b": 50}}
    assert len(models.router.recent) == answering.RECENT


@pytest.mark.parametrize("error", [LoadFailed("The weights are cut off."), OutOfMemory("It needs 9 GB."), EngineCrashed("It died.")])
async def test_a_model_that_cannot_be_loaded_is_stood_in_for_and_that_is_said(error: HarmonyError) -> None:
    models = Models(Alias(name="x", models=("big",), fallbacks=("small",)), failing={"big": error})
    events = await models.ask("x")
    assert said(events) == "small" and isinstance(events[-1], Finished)
    assert events[-1].note == f"small answered for x. big could not be used: {error.message}"
    assert [event.fraction for event in events if isinstance(event, Loading)] == [0.5, 0.5]
    kinds = [type(event) for event in events]
    assert kinds.index(Routed) > max(at for at, kind in enumerate(kinds) if kind is Loading), "it comes once the model is loaded"


async def test_models_that_are_gone_or_broken_are_not_even_started() -> None:
    models = Models(Alias(name="x", models=("gone", "broken", "a"), strategy="first"))
    events = await models.ask("x")
    assert said(events) == "a" and models.asked == ["a"]
    assert isinstance(events[-1], Finished)
    assert "gone could not be used: No model 'gone'" in events[-1].note and "broken could not be used: Its weights" in events[-1].note


async def test_what_failed_a_moment_ago_is_asked_last(monkeypatch: pytest.MonkeyPatch) -> None:
    models = Models(Alias(name="x", models=("big", "small"), strategy="first"), failing={"big": LoadFailed("It is damaged.")})
    for _ in range(3):
        end = (await models.ask("x"))[-1]
        assert isinstance(end, Finished) and end.note.endswith("big could not be used: It is damaged.")
    assert models.asked == ["big", "small", "small", "small"]
    models.failing["small"] = LoadFailed("So is this.")
    del models.failing["big"]
    end = (await models.ask("x"))[-1]
    assert isinstance(end, Finished) and end.note == "big answered for x. small could not be used: So is this."
    monkeypatch.setattr(answering, "AGAIN_AFTER_S", 0.0)
    models.failing.clear()
    assert said(await models.ask("x")) == "big"


@pytest.mark.parametrize("error", [QueueFull("64 are waiting."), Unavailable("No more than 2 may be loaded, and these are pinned.")])
async def test_a_model_without_a_place_is_stood_in_for_and_asked_again_at_once(error: HarmonyError) -> None:
    models = Models(Alias(name="x", models=("a", "b"), strategy="first"), failing={"a": error})
    end = (await models.ask("x"))[-1]
    assert isinstance(end, Finished) and end.note == f"b answered for x. a could not be used: {error.message}"
    del models.failing["a"]
    assert said(await models.ask("x")) == "a" and models.asked == ["a", "b", "a"]
    models.failing = {"a": error, "b": error}
    failed = (await models.ask("x"))[-1]
    assert isinstance(failed, Failed) and failed.code == error.code, "it can be tried again later"


@pytest.mark.parametrize("error", [ContextTooLong("It is too long."), GenerationFailed("A step raised.")])
async def test_a_failure_that_the_next_model_would_not_mend_stays_the_answer(error: HarmonyError) -> None:
    models = Models(Alias(name="x", models=("a", "b"), strategy="first"), failing={"a": error})
    events = await models.ask("x")
    assert events[-1] == Failed.of(error) and models.asked == ["a"]


async def test_nobody_takes_over_in_the_middle_of_an_answer() -> None:
    crash = EngineCrashed("The process died.")
    models = Models(Alias(name="x", models=("a", "b"), strategy="first"), late={"a": crash})
    events = await models.ask("x")
    assert said(events) == "a" and events[-1] == Failed.of(crash) and models.asked == ["a"]


async def test_where_no_model_can_be_used_each_one_s_reason_is_told() -> None:
    models = Models(Alias(name="x", models=("big", "gone")), failing={"big": OutOfMemory("It needs 9 GB.", hint="Take a smaller one.")})
    failed = (await models.ask("x"))[-1]
    assert isinstance(failed, Failed) and (failed.code, failed.hint) == ("out_of_memory", "Take a smaller one.")
    assert failed.message == "No model of the alias x could be used. big: It needs 9 GB. gone: No model 'gone' on this machine."


async def test_a_draft_model_that_is_not_there_is_the_request_s_fault() -> None:
    models = Models(Alias(name="x", models=("a", "b"), strategy="first"))

    def refuse(_entry: ModelEntry, _request: GenerationRequest) -> GenerationRequest:
        raise ModelNotFound("There is no draft model 'z'.", param="draft_model")

    models.router = Router(lambda: models, models, refuse)
    (failed,) = await models.ask("x")
    assert isinstance(failed, Failed) and failed.param == "draft_model" and models.asked == []
