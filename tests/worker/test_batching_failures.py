"""What goes wrong for one request in company stays with it, and thinking that is cut in company is cut as it is alone."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from mlx_harmony.events import Event, Failed, TokenLogprob
from mlx_harmony.records import GenerationRequest, Sampling, TextPrompt
from mlx_harmony.worker.formats import TurnParser
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.sampling import Drawn, Sampler
from tests.worker.company import GREEDY, Watched, alone, ask, end, text, together
from tests.worker.test_reply import asks

BAD_SEED = 666


@pytest.fixture
def raising_sampler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A sampler that raises at the fifth token of the request with the bad seed: samplers are made where no seam is."""
    draw, drawn = Sampler.draw, dict.fromkeys([BAD_SEED], 0)

    def raising(self: Sampler, logits: Any) -> Drawn:
        if self.seed == BAD_SEED:
            drawn[BAD_SEED] += 1
            if drawn[BAD_SEED] == 5:
                raise ValueError("a filter of this request")
        return draw(self, logits)

    monkeypatch.setattr(Sampler, "draw", raising)
    return iter(())


@pytest.mark.usefixtures("raising_sampler")
def test_a_sampler_that_raises_fails_its_own_request_only(llama: LoadedModel) -> None:
    good = [ask("a"), ask("b", start=80, sampling=Sampling(temperature=0.8, seed=4))]
    heard = together(llama, [*good, ask("bad", start=120, sampling=Sampling(temperature=0.8, seed=BAD_SEED))])
    assert isinstance(heard["bad"][-1], Failed)
    assert "a filter of this request" in heard["bad"][-1].message
    for request in good:
        assert text(heard[request.id]) == text(alone(llama, request))


class Tripping(Watched):
    """A model that raises once, at its n-th step over several rows."""

    def __init__(self, model: Any, at: int) -> None:
        super().__init__(model)
        self._left = at

    def __call__(self, tokens: Any, cache: Any) -> Any:
        logits = super().__call__(tokens, cache)
        if tokens.shape[0] > 2:
            self._left -= 1
            if self._left == 0:
                raise RuntimeError("a kernel")
        return logits


@pytest.mark.parametrize("at", [1, 7])
@pytest.mark.parametrize("name", ["llama", "gpt_oss"])
def test_when_a_step_over_many_fails_each_goes_on_alone(name: str, at: int, request: pytest.FixtureRequest) -> None:
    loaded: LoadedModel = request.getfixturevalue(name)
    ways = [GREEDY, Sampling(temperature=0.9, seed=5), Sampling(temperature=0.7, seed=6, repetition_penalty=1.3)]
    requests = [ask(str(number), start=number * 40, length=12 + 9 * number, sampling=way) for number, way in enumerate(ways)]
    heard = together(loaded._replace(model=Tripping(loaded.model, at)), requests)  # type: ignore[arg-type]
    for each in requests:
        assert text(heard[each.id]) == text(alone(loaded, each))
        assert end(heard[each.id]).usage == end(alone(loaded, each)).usage


def test_who_is_lost_with_others_before_its_first_token_goes_on_alone(llama: LoadedModel) -> None:
    writers, late = [ask("a", max_tokens=40), ask("b", start=80, max_tokens=40)], ask("late", start=140, length=20)
    heard = together(llama._replace(model=Tripping(llama.model, 1)), writers, {("a", 12): lambda inbox: inbox.put(late)}, expected=3)  # type: ignore[arg-type]
    for each in (*writers, late):
        assert text(heard[each.id]) == text(alone(llama, each))
        assert end(heard[each.id]).usage == end(alone(llama, each)).usage


class TrippingParser:
    """A parser that raises at the third token of the prompt that asks for it."""

    def __init__(self, inner: TurnParser) -> None:
        self._inner = inner
        self._left = 3

    def feed(self, token: int, logprob: TokenLogprob | None = None) -> list[Event]:
        self._left -= 1
        if not self._left:
            raise KeyError("parser")
        return self._inner.feed(token, logprob)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_a_parser_that_raises_fails_its_own_request_only(llama: LoadedModel) -> None:
    class Format:
        def __getattr__(self, name: str) -> Any:
            return getattr(llama.format, name)

        def parser(self, prompt: Any, ends: frozenset[int] = frozenset()) -> Any:
            inner = llama.format.parser(prompt, ends)
            return TrippingParser(inner) if isinstance(prompt, TextPrompt) else inner

    bad = GenerationRequest(id="bad", prompt=TextPrompt(text="hello there"), sampling=GREEDY, max_tokens=20)
    requests = [ask("a"), bad, ask("b", start=44)]
    heard = together(llama._replace(format=Format()), requests)  # type: ignore[arg-type]
    assert isinstance(heard["bad"][-1], Failed)
    for name, start in (("a", 20), ("b", 44)):
        assert text(heard[name]) == text(alone(llama, ask(name, start=start)))


def test_thinking_is_cut_in_company_as_it_is_alone(gpt_oss: LoadedModel) -> None:
    cut = [msgspec.structs.replace(asks(gpt_oss, analysis_budget=budget), id=str(budget)) for budget in (0, 4, 9, 20)]
    others = [ask("other", max_tokens=70), ask("late", start=90, length=70, max_tokens=30)]
    heard = together(gpt_oss, [*cut, *others])
    for request in (*cut, *others):
        by_itself = alone(gpt_oss, request)
        assert text(heard[request.id]) == text(by_itself)
        assert end(heard[request.id]).note == end(by_itself).note
        assert end(heard[request.id]).usage.reasoning_tokens == end(by_itself).usage.reasoning_tokens
        assert end(heard[request.id]).usage.completion_tokens == end(by_itself).usage.completion_tokens


@pytest.mark.parametrize("fields", [{"stop": ("a", "the")}, {"loop_detection": "full"}, {"max_tokens": 1}, {"end_tokens": ("<s>",)}])
def test_every_way_to_end_works_in_company(llama: LoadedModel, fields: dict[str, object]) -> None:
    special = ask("special", start=70, **{"max_tokens": 40, **fields})
    heard = together(llama, [ask("a"), special, ask("b", start=44)])
    by_itself = alone(llama, special)
    assert text(heard["special"]) == text(by_itself)
    assert (end(heard["special"]).reason, end(heard["special"]).stop) == (end(by_itself).reason, end(by_itself).stop)
