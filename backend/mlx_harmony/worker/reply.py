"""One answer while it is drawn: tokens into events, and everything that can end it. Knows no prompts, no queue and no clock.

Thinking that has used its budget is closed here: the format says which tokens do that, and the model goes on after them.
"""

from collections.abc import Callable, Iterator

from mlx_harmony.events import Event, FinishReason, TokenLogprob
from mlx_harmony.records import GenerationRequest
from mlx_harmony.worker.decode import Decoder, Drawing
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.repetition import RepetitionWatch
from mlx_harmony.worker.sampling import Sampler
from mlx_harmony.worker.stops import StopFilter
from mlx_harmony.worker.trim import capped
from mlx_harmony.worker.validate import end_token_ids, tokens_left

LOOPED = "Stopped: the model was repeating itself."


class Reply:
    """Draws one answer after `prompt`. `written` holds its tokens, also those the model was made to say.

    Once `events` is through, `reason` and `stop` say what ended it and `note` what a person should know of it.
    """

    def __init__(self, loaded: LoadedModel, request: GenerationRequest, prompt: list[int], sampler: Sampler, decoder: Decoder) -> None:
        self._loaded = loaded
        self._prompt = prompt
        self._sampler = sampler
        self._decoder = decoder
        self._budget = request.analysis_budget
        self._ends = end_token_ids(request, loaded.format)
        self.parser = loaded.format.parser(request.prompt, frozenset(self._ends))
        self._stops = StopFilter((*request.stop, *loaded.format.defaults.stop))
        self._watch = RepetitionWatch(request.loop_detection)
        self._notes: dict[str, None] = {}
        room = capped(loaded.card, request)
        self._decoder.start(prompt[-1], tokens_left(len(prompt), request.max_tokens, loaded.format.defaults, room))
        self.written: list[int] = []
        self.reason: FinishReason = "length"
        self.stop: str | None = None

    @property
    def note(self) -> str:
        return " ".join(self._notes)

    @property
    def fed(self) -> list[int]:
        """The tokens that the caches hold."""
        return [*self._prompt, *self.written][: len(self._prompt) - 1 + self._decoder.fed]

    def events(self, begun: Callable[[], Event], cancelled: Callable[[], bool]) -> Iterator[Event]:
        """The answer's events; `begun` is called once, when the first token is there, and its event goes before them."""
        if (closing := self._closing()) is not None:
            yield begun()
            yield from self._say(closing)
        for drawing in self._decoder.tokens():
            if not self.written:
                yield begun()
            yield from self._take(drawing.token, self._logprob(drawing))
            if self._ended_by(drawing.token):
                break
            if cancelled():
                self.reason = "cancelled"
                break
            if (closing := self._closing()) is not None:
                yield from self._say(closing)
        yield from self._ending()

    def _take(self, token: int, logprob: TokenLogprob | None = None) -> list[Event]:
        self.written.append(token)
        events, self.stop = self._stops.feed(self.parser.feed(token, logprob))
        return events

    def _ended_by(self, token: int) -> bool:
        """Whether the answer is over with this token."""
        natural = token in self._loaded.format.stop_tokens or self.parser.done
        if not natural and self.stop is None:
            self.stop = self._ends.get(token)
        looped = not natural and self.stop is None and self._watch.sees_loop(token)
        if looped:
            self._notes[LOOPED] = None
        if natural or looped or self.stop is not None:
            self.reason = "stop"
            return True
        return False

    def _closing(self) -> list[int] | None:
        """The tokens that close thinking now, where its budget is used up, the format knows them, and room is left for an answer."""
        if self._budget is None or self.parser.reasoning_tokens < self._budget or not self.parser.may_answer:
            return None
        closing = self._loaded.format.answer_now()
        return closing if closing and len(closing) < self._decoder.left else None

    def _say(self, tokens: list[int]) -> Iterator[Event]:
        """Put words into the model's mouth: it goes on as if it had said these tokens itself."""
        thought = self.parser.reasoning_tokens
        self._notes[f"Thinking was cut at {thought} token{'' if thought == 1 else 's'}, its budget."] = None
        for token in tokens:
            yield from self._take(token)
        self._sampler.look_back_on([*self._prompt, *self.written])
        self._decoder.say(tokens)

    def _ending(self) -> Iterator[Event]:
        """What parser and stop filter still hold; a stop that completes only here has no more to cut."""
        events, stop = self._stops.feed(self.parser.finish())
        yield from events
        if stop is None:
            yield from self._stops.flush()

    def _logprob(self, drawing: Drawing) -> TokenLogprob | None:
        if drawing.logprob is None:
            return None
        spell = self._loaded.tokenizer.decode
        top = tuple((spell([token]), token, value) for token, value in drawing.top)
        return TokenLogprob(token=spell([drawing.token]), token_id=drawing.token, logprob=drawing.logprob, top=top)
