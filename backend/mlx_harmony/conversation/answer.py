"""An answer as it grows: events go in, the message so far comes out. Knows neither the model nor the store."""

import time
from collections.abc import Callable

import msgspec

from mlx_harmony.conversation.figures import both_guesses, both_timings, both_usages
from mlx_harmony.conversation.records import ChatMessage, Lane, MessageState, Provenance
from mlx_harmony.events import Event, Failed, Finished, MessageEnded, MessageStarted, Routed, TextDelta, ToolCallDelta
from mlx_harmony.records import Numerics, ToolCall

NO_ANSWER = "The model ended its turn without an answer. Regenerate, or ask in other words."
ONLY_THINKING = "The model ended its turn after thinking, without an answer. Regenerate, or ask in other words."
CUT_WHILE_THINKING = "The length limit was reached while the model was still thinking. Allow a longer answer or less effort."

_END_STATES: dict[str, MessageState] = {"stop": "complete", "tool_calls": "complete", "length": "length", "cancelled": "cancelled"}


class Answer:
    """Gathers one turn's events into `message`. `clock` gives seconds and never goes back.

    `resumed` is the same message as it was before it went on: its text grows, and it is as before when nothing more came.
    """

    def __init__(self, message: ChatMessage, clock: Callable[[], float] = time.monotonic, resumed: ChatMessage | None = None) -> None:
        self._message = message
        self._clock = clock
        self._resumed = resumed
        self._grown = False
        self._texts: list[list[str]] = [[lane.text] for lane in message.lanes]
        self._lanes: list[Lane] = list(message.lanes)
        self._places: dict[int, int] = {}
        self._calls: dict[str, tuple[str, list[str]]] = {}
        self._thinking_ms = message.thinking_ms
        self._thinking_since: float | None = None
        self.changed = False

    def add(self, event: Event) -> Event:
        """Take one event in; returns it as the page should see it (an end without an answer says so)."""
        match event:
            case MessageStarted():
                self._open(event)
            case TextDelta(index=index, channel=channel, text=text):
                if index not in self._places:
                    self._open(MessageStarted(index=index, channel=channel))
                self._texts[self._places[index]].append(text)
                self._grown = True
            case ToolCallDelta(index=index, call_id=call_id, name=name, arguments=arguments):
                _, pieces = self._calls.setdefault(call_id, (name, []))
                pieces.append(arguments)
                self._grown = True
                if index in self._places:
                    self._texts[self._places[index]].append(arguments)
            case MessageEnded():
                self._close(event)
            case Routed(model=model):
                self._message = msgspec.structs.replace(self._message, provenance=_by(model, self._message.provenance))
            case Finished():
                return self._finish(event)
            case Failed():
                self.end("failed", error=event)
            case _:
                return event
        self.changed = True
        return event

    @property
    def message(self) -> ChatMessage:
        """The message as it stands now."""
        lanes = self._all_lanes()
        spoken = [lane.text for lane in lanes if lane.channel == "final" and lane.text]
        preambles = [lane.text for lane in lanes if lane.channel == "commentary" and lane.recipient is None and lane.text]
        return msgspec.structs.replace(
            self._message,
            content="\n\n".join(spoken or preambles),
            reasoning="\n\n".join(lane.text for lane in lanes if lane.channel == "analysis" and lane.recipient is None and lane.text),
            tool_calls=tuple(ToolCall(id=key, name=name, arguments="".join(parts)) for key, (name, parts) in self._calls.items()),
            lanes=lanes,
            thinking_ms=self._thinking_ms,
        )

    def made_by(self, fingerprint: str, numerics: Numerics) -> None:
        """Remember the fingerprint of the weights that write this answer, and what computes it."""
        made = self._message.provenance
        provenance = made and msgspec.structs.replace(made, fingerprint=fingerprint, numerics=numerics)
        self._message = msgspec.structs.replace(self._message, provenance=provenance)

    def sees_from(self, message_id: str | None) -> None:
        """Remember the oldest message that the model sees, where it does not see all."""
        self._message = msgspec.structs.replace(self._message, seen_from=message_id)

    @property
    def ended(self) -> bool:
        return self._message.state != "streaming"

    def end(self, state: MessageState, error: Failed | None = None) -> None:
        """Close the answer for a reason that came from outside: the person left, or something failed."""
        self._stop_thinking()
        if self._resumed is not None and not self._grown and state != "complete":
            self._message = self._resumed
        else:
            self._message = msgspec.structs.replace(self._message, state=state, error=error)
        self.changed = True

    def _open(self, event: MessageStarted) -> None:
        self._stop_thinking()
        if event.channel == "analysis" and event.recipient is None:
            self._thinking_since = self._clock()
        if self._reopens(event):
            self._places[event.index] = len(self._lanes) - 1
            return
        self._places[event.index] = len(self._lanes)
        self._lanes.append(Lane(channel=event.channel, text="", recipient=event.recipient, content_type=event.content_type))
        self._texts.append([])

    def _reopens(self, event: MessageStarted) -> bool:
        """Whether this is the message that was cut, going on."""
        last = self._resumed.lanes[-1] if self._resumed is not None and self._resumed.lanes else None
        return last is not None and not self._places and event.recipient is None and (last.channel, last.recipient) == (event.channel, None)

    def _close(self, event: MessageEnded) -> None:
        self._stop_thinking()
        place = self._places.get(event.index)
        if place is not None:
            lane = self._lanes[place]
            self._lanes[place] = msgspec.structs.replace(
                lane,
                stop_token=event.stop_token,
                raw=lane.raw + event.raw,
                tokens=lane.tokens + event.tokens,
                ids=lane.ids + event.ids,
                sizes=lane.sizes + event.sizes,
            )

    def _finish(self, event: Finished) -> Finished:
        self.end(_END_STATES[event.reason])
        so_far = self.message
        repaired = " ".join(note for note in (event.repaired, _missing(so_far, event)) if note)
        provenance = so_far.provenance and msgspec.structs.replace(so_far.provenance, seed=event.seed)
        before = self._resumed
        self._message = msgspec.structs.replace(
            self._message,
            usage=both_usages(before.usage, event.usage) if before and before.usage else event.usage,
            timings=both_timings(before.timings, event.timings) if before and before.timings else event.timings,
            speculation=both_guesses(before.speculation if before else None, event.speculation),
            repaired=repaired,
            note=event.note,
            provenance=provenance,
        )
        return msgspec.structs.replace(event, repaired=repaired)

    def _stop_thinking(self) -> None:
        if self._thinking_since is not None:
            self._thinking_ms += (self._clock() - self._thinking_since) * 1000
            self._thinking_since = None

    def _all_lanes(self) -> tuple[Lane, ...]:
        for texts in self._texts:
            if len(texts) > 1:
                texts[:] = ["".join(texts)]
        pairs = zip(self._lanes, self._texts, strict=True)
        return tuple(msgspec.structs.replace(lane, text=texts[0] if texts else "") for lane, texts in pairs)


def _by(model: str, made: Provenance | None) -> Provenance | None:
    return made and msgspec.structs.replace(made, model=model)


def _missing(message: ChatMessage, event: Finished) -> str:
    """What to tell a person who would otherwise see an empty answer."""
    if message.content.strip() or message.tool_calls or event.reason == "cancelled":
        return ""
    if event.reason == "length":
        return CUT_WHILE_THINKING
    return ONLY_THINKING if message.reasoning.strip() else NO_ANSWER
