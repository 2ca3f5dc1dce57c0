"""One answer while it is drawn: tokens into events, and everything that can end it. Knows no caches, no queue and no clock.

It also says when thinking has used its budget, and with which tokens of the format it is to be closed.
"""

from mlx_harmony.events import Event, FinishReason, TokenLogprob
from mlx_harmony.records import GenerationRequest
from mlx_harmony.worker.decode import Drawing
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.repetition import RepetitionWatch
from mlx_harmony.worker.stops import StopFilter
from mlx_harmony.worker.validate import end_token_ids

LOOPED = "Stopped: the model was repeating itself."


class Reply:
    """One answer after `prompt`. `written` holds its tokens, also those the model was made to say; `over` says that it has ended.

    Once it is over, `reason` and `stop` say what ended it and `note` what a person should know of it.
    """

    def __init__(self, loaded: LoadedModel, request: GenerationRequest) -> None:
        self._loaded = loaded
        self._budget = request.analysis_budget
        self._ends = end_token_ids(request, loaded.format)
        self.parser = loaded.format.parser(request.prompt, frozenset(self._ends))
        self._stops = StopFilter((*request.stop, *loaded.format.defaults.stop))
        self._watch = RepetitionWatch(request.loop_detection)
        self._notes: dict[str, None] = {}
        self.written: list[int] = []
        self.over = False
        self.reason: FinishReason = "length"
        self.stop: str | None = None

    @property
    def note(self) -> str:
        return " ".join(self._notes)

    def take(self, drawing: Drawing) -> list[Event]:
        """The events of one token that was drawn; after them the reply may be over."""
        events = self._feed(drawing.token, self._logprob(drawing))
        if self._ended_by(drawing.token):
            self.over, self.reason = True, "stop"
        return events

    def closing(self, left: int) -> list[int] | None:
        """The tokens that close thinking now, where its budget is used up, the format knows them, and `left` leaves room for an answer."""
        if self._budget is None or self.parser.reasoning_tokens < self._budget or not self.parser.may_answer:
            return None
        closing = self._loaded.format.answer_now()
        return closing if closing and len(closing) < left else None

    def say(self, tokens: list[int]) -> list[Event]:
        """The events of tokens that the model is made to say."""
        thought = self.parser.reasoning_tokens
        self._notes[f"Thinking was cut at {thought} token{'' if thought == 1 else 's'}, its budget."] = None
        return [event for token in tokens for event in self._feed(token)]

    def ending(self) -> list[Event]:
        """What parser and stop filter still hold; a stop that completes only here has no more to cut."""
        events, stop = self._stops.feed(self.parser.finish())
        return events if stop is not None else [*events, *self._stops.flush()]

    def _feed(self, token: int, logprob: TokenLogprob | None = None) -> list[Event]:
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
        return natural or looped or self.stop is not None

    def _logprob(self, drawing: Drawing) -> TokenLogprob | None:
        if drawing.logprob is None:
            return None
        spell = self._loaded.tokenizer.decode
        top = tuple((spell([token]), token, value) for token, value in drawing.top)
        return TokenLogprob(token=spell([drawing.token]), token_id=drawing.token, logprob=drawing.logprob, top=top)
