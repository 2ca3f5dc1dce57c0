"""Raw prompts and raw answers: text in, text out on the final channel, no template. Control tokens end up in the lane's raw text only."""

from mlx_harmony.errors import InvalidRequest
from mlx_harmony.events import Event, TokenLogprob
from mlx_harmony.records import TextPrompt, TokenPrompt
from mlx_harmony.worker.chat import check_text
from mlx_harmony.worker.stops import StopFilter
from mlx_harmony.worker.tokens import Tokens
from mlx_harmony.worker.writing import TextWriter
from mlx_harmony.worker.wrote import Wrote


def encode_plain_prompt(tokens: Tokens, prompt: TextPrompt | TokenPrompt) -> list[int]:
    """The tokens of a raw prompt, control tokens by their names, with what the tokenizer begins a text with. Raises InvalidRequest."""
    if isinstance(prompt, TokenPrompt):
        encoded = list(prompt.tokens)
    else:
        begin = tokens.tokenizer.bos_token
        special = not (begin and prompt.text.startswith(begin))
        encoded = tokens.encode_markup(check_text(prompt.text, "prompt"), special=special) if prompt.text else []
    if not encoded:
        raise InvalidRequest("The prompt is empty.", hint="Write something for the model to continue.", param="prompt")
    return encoded


class PlainParser:
    """One message on the final channel. With `stops` it is a chat's answer: it ends at the first of them, and begins without a space."""

    repaired = ""
    called_tool = False
    reasoning_tokens = 0
    may_answer = False

    def __init__(self, tokens: Tokens, stops: tuple[str, ...] = ()) -> None:
        self._tokens = tokens
        self._stops = StopFilter(stops)
        self._trim = bool(stops)
        self._writer = TextWriter(0, "final")
        self._wrote = Wrote()
        self._stop_token = ""
        self.done = False

    def feed(self, token: int, logprob: TokenLogprob | None = None) -> list[Event]:
        if self.done:
            return []
        events = self._writer.start() if not self._wrote else []
        piece = self._tokens.piece(token)
        self._wrote.add(token, piece)
        self._stop_token = self._tokens.control.get(token, "")
        if not self._stop_token:
            piece = piece.lstrip() if self._trim else piece
            self._trim = self._trim and not piece
            events += self._writer.write(piece, (logprob,) if logprob else ())
        shown, stop = self._stops.feed(events)
        if stop is not None:
            self.done = True
            shown = [*shown, self._ended()]
        return shown

    def finish(self) -> list[Event]:
        if self.done or not self._wrote:
            return []
        self.done = True
        return [*self._stops.flush(), *self._writer.finish(True), self._ended()]

    def _ended(self) -> Event:
        return self._wrote.ended(0, self._stop_token)
