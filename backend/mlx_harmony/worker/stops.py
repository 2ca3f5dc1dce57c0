"""Stop strings, matched on visible text. Owns what is held back until it is clear whether a stop begins there.

Knows nothing of tokens: a stop may begin and end anywhere inside them, and inside events.
"""

from mlx_harmony.events import Event, MessageEnded, TextDelta

_MATCHED_CHANNELS = ("final", "commentary")


class StopFilter:
    """Cuts an answer at the first stop to be complete; thinking and tool calls pass untouched and in order.

    After a stop nothing but the open message's MessageEnded passes, so the parser's `finish()` can be fed as well.
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._matchers = [_Matcher(stop) for stop in dict.fromkeys(stops) if stop]
        self._held: list[TextDelta] = []
        self._stop: str | None = None

    def feed(self, events: list[Event]) -> tuple[list[Event], str | None]:
        """The events to show now, and the stop that ended the answer, None while it goes on."""
        if not self._matchers:
            return events, None
        shown: list[Event] = []
        for event in events:
            if self._stop is not None:
                if isinstance(event, MessageEnded):
                    shown.append(event)
            elif isinstance(event, TextDelta) and event.channel in _MATCHED_CHANNELS:
                shown += self._text(event)
            else:
                shown += [*self.flush(), event]
        return shown, self._stop

    def flush(self) -> list[Event]:
        """What was held back; a stop does not reach over what ends the text here."""
        held: list[Event] = list(self._held)
        self._held.clear()
        for matcher in self._matchers:
            matcher.matched = 0
        return held

    def _text(self, delta: TextDelta) -> list[Event]:
        self._held.append(delta)
        before = sum(len(piece.text) for piece in self._held[:-1])
        for at, character in enumerate(delta.text, start=before + 1):
            for matcher in self._matchers:
                if matcher.step(character) and (self._stop is None or len(matcher.stop) > len(self._stop)):
                    self._stop = matcher.stop
            if self._stop is not None:
                shown = self._release(at - len(self._stop))
                self._held.clear()
                return shown
        longest = max(matcher.matched for matcher in self._matchers)
        return self._release(before + len(delta.text) - longest)

    def _release(self, length: int) -> list[Event]:
        """The first `length` characters held, as deltas; log-probabilities go with the piece that ends their delta."""
        shown: list[Event] = []
        while length > 0 and self._held:
            first = self._held.pop(0)
            if len(first.text) <= length:
                shown.append(first)
                length -= len(first.text)
                continue
            shown.append(TextDelta(index=first.index, channel=first.channel, text=first.text[:length]))
            rest = TextDelta(index=first.index, channel=first.channel, text=first.text[length:], logprobs=first.logprobs)
            self._held.insert(0, rest)
            length = 0
        return shown


class _Matcher:
    """Finds one stop character by character (Knuth, Morris, Pratt): `matched` is how much of it the text so far ends in."""

    def __init__(self, stop: str) -> None:
        self.stop = stop
        self.matched = 0
        self._fallback = [0] * len(stop)
        length = 0
        for at in range(1, len(stop)):
            while length and stop[at] != stop[length]:
                length = self._fallback[length - 1]
            length += stop[at] == stop[length]
            self._fallback[at] = length

    def step(self, character: str) -> bool:
        """Whether the stop is complete with this character."""
        while self.matched and self.stop[self.matched] != character:
            self.matched = self._fallback[self.matched - 1]
        self.matched += self.stop[self.matched] == character
        return self.matched == len(self.stop)
