"""Shows a stream of events as they come: the answer on stdout, progress on stderr. It knows no service and no model."""

from mlx_harmony.cli.errors import DONE, report
from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.conversation.records import TurnEvent
from mlx_harmony.events import Failed, Finished, Loading, MessageStarted, Prefill, Queued, TextDelta, ToolCallDelta
from mlx_harmony.prompting.records import ChatSetup
from mlx_harmony.records import Speculated, Timings

PREFILL_WORTH_SHOWING = 512


class Answer:
    """One answer on its way to the terminal. `code` is the exit code so far."""

    def __init__(self, terminal: Terminal, setup: ChatSetup | None = None) -> None:
        self._terminal = terminal
        self._setup = setup
        self._room = {"thinking": setup.truncate_thinking, "answer": setup.truncate_response} if setup and terminal.interactive else {}
        self._progress = ""
        self._wrote = ""
        self.code = DONE

    def show(self, event: TurnEvent) -> None:
        """Shows one event; thinking only where a person reads along, since stdout carries data."""
        match event:
            case Queued(position=position):
                self._tell(f"Waiting, {position - 1} before this one")
            case Loading(stage=stage, fraction=fraction):
                self._tell(f"Loading: {stage}, {fraction:.0%}")
            case Prefill(done=done, total=total) if total >= PREFILL_WORTH_SHOWING:
                self._tell(f"Reading the prompt: {done} of {total} tokens")
            case MessageStarted():
                self._begin()
            case TextDelta(channel="analysis", text=text):
                if self._terminal.interactive:
                    self._tell("")
                    self._terminal.thinking(self._cut("thinking", text))
                    self._wrote = text
            case TextDelta(text=text):
                self._tell("")
                self._terminal.write(self._cut("answer", text))
                self._wrote = text
            case ToolCallDelta(name=name, arguments=arguments):
                self._tell("")
                self._terminal.aside(f"[{name}] {arguments}" if name else arguments)
            case Finished() | Failed():
                self._end(event)

    def leave(self) -> None:
        """Ends an answer that was stopped: whatever comes next begins on a line of its own."""
        self._tell("")
        self._begin()

    def _begin(self) -> None:
        if self._wrote and not self._wrote.endswith("\n"):
            self._terminal.line()
        self._wrote = ""

    def _cut(self, part: str, text: str) -> str:
        """What of a piece still has room on the screen; of the first that has not, with an ellipsis."""
        room = self._room.get(part)
        if room is None:
            return text
        self._room[part] = room - len(text)
        if room < 0 or len(text) <= room:
            return text if room >= 0 else ""
        return text[:room] + "…"

    def _end(self, event: Finished | Failed) -> None:
        self.leave()
        match event:
            case Failed():
                self.code = report(event.error(), self._terminal)
            case Finished(timings=timings, reason=reason, repaired=repaired, note=note, speculation=guessed):
                hidden = -min(0, self._room.get("answer", 0))
                if hidden:
                    self._terminal.aside(f"{hidden} more characters are hidden here; truncate_response says how many are shown.", end="\n")
                if self._setup and self._setup.show_timings:
                    self._terminal.aside(" ".join(filter(None, (timing_line(timings), guessed_line(guessed)))), end="\n")
                if guessed is not None and guessed.note:
                    self._terminal.warn(guessed.note)
                if note:
                    self._terminal.warn(note)
                if reason == "length":
                    self._terminal.warn("The answer reached its longest length; --max-tokens allows more.")
                elif repaired:
                    self._terminal.warn(f"The model's output was malformed and has been mended: {repaired}")

    def _tell(self, progress: str) -> None:
        """Progress rewrites one line of stderr, where a person watches it; "" takes the line away."""
        if self._terminal.watched and progress != self._progress:
            self._terminal.progress(progress)
        self._progress = progress


def timing_line(timings: Timings) -> str:
    """What an answer took, in one line."""
    read = f"{timings.prompt_n} tokens read, {timings.cached_n} known"
    written = f"{timings.predicted_n} written, {timings.predicted_per_second:.1f} a second"
    return f"First token after {timings.first_token_ms:.0f} ms; {read}; {written}."


def guessed_line(guessed: Speculated | None) -> str:
    """What guessing ahead brought, "" where nothing was guessed."""
    if guessed is None or not guessed.drafted:
        return ""
    return f"{guessed.accepted} of {guessed.drafted} guessed tokens were right ({guessed.kind})."
