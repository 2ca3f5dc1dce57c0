"""The loop answers one request after another; a request that raises fails alone, whatever it raised."""

from collections.abc import Callable, Sequence

import pytest

from mlx_harmony.engine.wire import WireError
from mlx_harmony.errors import GenerationFailed, InvalidRequest, LoadFailed
from mlx_harmony.events import Event, Failed, Finished, TextDelta
from mlx_harmony.records import GenerationRequest, Prompt, Sampling, TextPrompt
from mlx_harmony.worker.formats import FormatDefaults, Rendered, TurnParser
from mlx_harmony.worker.inbox import Inbox
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.loop import Loop, guarded
from mlx_harmony.worker.tokens import Tokens
from tests.worker.company import ask


class Raising:
    """A prompt format that raises what it is told to, then works again."""

    def __init__(self, inner: LoadedModel, error: BaseException) -> None:
        self._inner = inner.format
        self._errors = [error]

    name = "raw"

    @property
    def stop_tokens(self) -> frozenset[int]:
        return self._inner.stop_tokens

    @property
    def defaults(self) -> FormatDefaults:
        return self._inner.defaults

    def render(self, prompt: Prompt) -> Rendered:
        if self._errors:
            raise self._errors.pop()
        return self._inner.render(prompt)

    @property
    def tokens(self) -> Tokens:
        return self._inner.tokens

    def parser(self, prompt: Prompt, ends: frozenset[int] = frozenset()) -> TurnParser:
        return self._inner.parser(prompt, ends)

    def answer_now(self) -> list[int] | None:
        return self._inner.answer_now()


class PanicException(BaseException):
    """As the Rust tokenizer raises it: no Exception."""


def answers(loaded: LoadedModel, count: int) -> dict[str, list[Event]]:
    """What the loop says to `count` equal requests."""
    heard: dict[str, list[Event]] = {}
    inbox = Inbox(lambda request_id, event: heard.setdefault(request_id, []).append(event))
    ended = 0

    def emit(request_id: str, event: Event) -> None:
        nonlocal ended
        heard.setdefault(request_id, []).append(event)
        if isinstance(event, Finished | Failed):
            ended += 1
            if ended == count:
                inbox.close()

    inbox.emit = emit
    for number in range(count):
        inbox.put(GenerationRequest(id=str(number), prompt=TextPrompt(text="hello"), max_tokens=3))
    Loop(loaded, inbox).run()
    return heard


@pytest.mark.parametrize(
    "error", [ValueError("bad template"), RuntimeError("[matmul] shapes"), PanicException("regex"), MemoryError(), KeyError("x")]
)
def test_a_request_that_raises_fails_alone(llama: LoadedModel, error: BaseException) -> None:
    heard = answers(llama._replace(format=Raising(llama, error)), 2)
    first, second = heard["0"][-1], heard["1"][-1]
    assert isinstance(first, Failed)
    assert first.code in ("generation_failed", "out_of_memory")
    assert first.message
    assert first.hint
    assert isinstance(second, Finished)


class Pieces:
    """An outlet that remembers what was sent in one piece, and can carry no text of the request `mute`."""

    def __init__(self, inbox: Inbox, ends: int, mute: str = "") -> None:
        self._inbox = inbox
        self._ends = ends
        self._mute = mute
        self.sent: list[list[tuple[str, Event]]] = []

    def pack(self, request_id: str, event: Event) -> tuple[str, Event]:
        if request_id == self._mute and isinstance(event, TextDelta):
            raise WireError("half a character")
        return request_id, event

    def send(self, packed: Sequence[tuple[str, Event]]) -> None:
        self.sent.append(list(packed))
        self._ends -= sum(isinstance(event, Finished | Failed) for _, event in packed)
        if self._ends == 0:
            self._inbox.close()


FORCED = Sampling(temperature=0.0, repetition_penalty=1.0, logit_bias={60: 100.0})
"""A letter with each token."""


def sent(loaded: LoadedModel, mute: str = "") -> list[list[tuple[str, Event]]]:
    """The pieces in which three requests that are answered together are told what comes of them."""
    inbox = Inbox(lambda _request_id, _event: None)
    pieces = inbox.outlet = Pieces(inbox, 3, mute)
    for number in range(3):
        inbox.put(ask(str(number), start=number * 31, sampling=FORCED))
    Loop(loaded, inbox).run()
    return pieces.sent


def test_what_a_round_s_answers_say_goes_out_in_one_piece(llama: LoadedModel) -> None:
    texts = [piece for piece in sent(llama) if any(isinstance(event, TextDelta) for _, event in piece)]
    assert sum({name for name, _ in piece} == {"0", "1", "2"} for piece in texts) > 10
    assert len(texts) < sum(len(piece) for piece in texts) / 2


def test_what_cannot_travel_ends_its_request_alone(llama: LoadedModel) -> None:
    ends = {name: event for piece in sent(llama, mute="1") for name, event in piece if isinstance(event, Finished | Failed)}
    assert {name: type(event) for name, event in ends.items()} == {"0": Finished, "1": Failed, "2": Finished}


def raising(error: BaseException) -> Callable[[], None]:
    def step() -> None:
        raise error

    return step


def test_an_error_made_for_people_passes_as_it_is() -> None:
    error = InvalidRequest("Too cold.", hint="Warm it.", param="temperature")
    assert guarded(raising(error), GenerationFailed) == Failed.of(error)


def test_what_was_not_foreseen_is_told_by_its_first_line() -> None:
    failed = guarded(raising(ValueError("first\nsecond")), LoadFailed)
    assert failed is not None
    assert (failed.code, "first" in failed.message, "second" in failed.message) == ("load_failed", True, False)


def test_an_allocation_that_fails_is_out_of_memory() -> None:
    failed = guarded(raising(RuntimeError("[malloc] Unable to allocate 99 bytes.")), GenerationFailed)
    assert failed is not None
    assert failed.code == "out_of_memory"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_the_end_of_the_program_is_no_failure_of_a_request(error: BaseException) -> None:
    with pytest.raises(type(error)):
        guarded(raising(error), GenerationFailed)


def test_a_step_that_works_is_no_failure() -> None:
    assert guarded(lambda: None, GenerationFailed) is None
