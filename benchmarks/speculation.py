"""How much guessing ahead brings, and what it costs where there is nothing to guess; prints a Markdown table.

Run `python -m benchmarks.speculation [--tokens N] [--rounds N]`. Plain and guessed answers take turns in one process on one loaded model,
greedy; the best of the rounds counts. *Edit*: the model writes a file of this repository again, with a name changed, lines put in and
lines left out. None of the models here can do that by itself, so its words are given to it: every pass is computed in full, and the script
decides only which token is likeliest afterwards. *Own words*: what the Starter says by itself to questions that leave nothing to copy.
"""

import argparse
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.models import build_qwen2
from benchmarks.streams import endless
from mlx_harmony.events import Finished
from mlx_harmony.models.catalog import starter_folder
from mlx_harmony.records import ChatPrompt, GenerationRequest, LoadOptions, Message, Sampling, Speculated, Speculation, TokenPrompt

FILE = Path(__file__).parent / "streams.py"
FIRST_ID = 100
"""Below it are the ids of control tokens."""
LIKELIER = 1000.0
QUESTIONS = ("What does the temperature slider do?", "Who are you?", "What is a token?", "How do I stop an answer?")
GREEDY = Sampling(temperature=0.0, repetition_penalty=1.0)


class Side(NamedTuple):
    """One answer: tokens a second, and what was guessed."""

    rate: float
    guessed: Speculated


def edited(text: str) -> str:
    """The file as a person might want it changed: a name, a comment every 20 lines, every 33rd line left out."""
    lines = text.replace("tokens", "words").split("\n")
    kept = [line for number, line in enumerate(lines, 1) if number % 33]
    return "\n".join(f"{line}\n# checked" if number % 20 == 0 else line for number, line in enumerate(kept, 1))


def task(length: int) -> tuple[list[int], list[int]]:
    """The prompt, which holds the file, and the answer, at most `length` tokens: words, blanks and signs as ids of their own."""
    before = FILE.read_text("utf-8")
    ids: dict[str, int] = {}

    def tokens(text: str) -> list[int]:
        return [ids.setdefault(piece, FIRST_ID + len(ids)) for piece in re.findall(r"\w+|\s+|[^\w\s]", text)]

    return tokens(before + "\nChange it.\n"), tokens(edited(before))[:length]


class Scripted:
    """A model that computes every pass, and whose likeliest next token is the script's."""

    def __init__(self, model: Any, script: list[int], vocabulary: int) -> None:
        import mlx.core as mx

        self._model = model
        self._script = mx.array([*script, script[-1]])
        self._ids = mx.arange(vocabulary)

    def __call__(self, tokens: Any, cache: Any) -> Any:
        import mlx.core as mx

        start = next(layer.offset for layer in cache)
        logits = self._model(tokens, cache=cache)
        places = mx.minimum(mx.arange(start + 1, start + 1 + tokens.shape[1]), len(self._script) - 1)
        return mx.where(self._script[places][:, None] == self._ids, LIKELIER, logits.astype(mx.float32))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def editing(loaded: Any, length: int) -> Callable[[Speculation, Any], Side]:
    """How a model does the edit, `length` tokens of it."""
    prompt, answer = task(length)
    vocabulary = loaded.card.vocabulary_size
    prompt, answer = [token % vocabulary for token in prompt], [token % vocabulary for token in answer]
    scripted = endless(loaded)._replace(model=Scripted(loaded.model, [*prompt, *answer], vocabulary))
    request = GenerationRequest(
        id="edit", prompt=TokenPrompt(tokens=tuple(prompt)), sampling=GREEDY, max_tokens=len(answer), loop_detection="off"
    )
    return answering(scripted, [request])


def speaking(loaded: Any) -> Callable[[Speculation, Any], Side]:
    """How the Starter answers by itself."""
    chats = [ChatPrompt(messages=(Message(role="user", content=question),)) for question in QUESTIONS]
    requests = [GenerationRequest(id="own", prompt=chat, sampling=GREEDY, max_tokens=300) for chat in chats]
    return answering(loaded, requests)


def answering(loaded: Any, requests: list[GenerationRequest]) -> Callable[[Speculation, Any], Side]:
    """The requests one after another, by a desk that reads their prompts once."""
    from mlx_harmony.worker.generation import Desk
    from mlx_harmony.worker.pace import Pace
    from mlx_harmony.worker.prompt_cache import PromptCache

    desk = Desk(loaded, PromptCache(), Pace(least=loaded.least_chunk))
    return lambda speculation, gain: answered(desk, requests, speculation, gain)


def answered(desk: Any, requests: list[GenerationRequest], speculation: Speculation, gain: Any) -> Side:
    """Tokens a second of all answers, without reading."""
    import msgspec

    from mlx_harmony.worker.generation import Generation

    written, seconds, drafted, accepted = 0, 0.0, 0, 0
    for request in requests:
        asked = msgspec.structs.replace(request, speculation=speculation)
        *_, end = Generation(desk, asked, lambda: False, time.perf_counter()).run(gain)
        assert isinstance(end, Finished), end
        written, seconds = written + end.timings.predicted_n, seconds + end.timings.predicted_ms / 1000
        drafted += end.speculation.drafted if end.speculation else 0
        accepted += end.speculation.accepted if end.speculation else 0
    return Side(written / seconds, Speculated(drafted=drafted, accepted=accepted))


def row(name: str, answer: Callable[[Speculation, Any], Side], rounds: int) -> str:
    """One line of the table; what passes cost is learnt in the first round, as in a server's life."""
    from mlx_harmony.worker.speculation.gain import Gain

    gain, pairs = Gain(), []
    for _ in range(rounds):
        pairs.append((answer("off", Gain()), answer("lookup", gain)))
    plain = max(off.rate for off, _ in pairs)
    guessed = max((lookup for _, lookup in pairs), key=lambda side: side.rate)
    right = f"{guessed.guessed.accepted} of {guessed.guessed.drafted}"
    return f"| {name} | {plain:.1f} | {guessed.rate:.1f} | {guessed.rate / plain:.2f} | {right} |"


def table(tokens: int, rounds: int, small: bool) -> str:
    """Measure and write the table; `small`: the Starter alone."""
    from mlx_harmony.worker.device import prepare

    device = prepare()
    from mlx_harmony.worker.load import load

    def opened(folder: Path) -> Any:
        return load(LoadOptions(path=str(folder)), device, lambda _stage, _fraction: None)

    rows = [
        f"Up to {tokens} tokens, float32 on CPU, best of {rounds}.\n",
        "| task | plain tok/s | guessed tok/s | ratio | guesses that were right |\n|---|---:|---:|---:|---:|",
    ]
    starter = opened(starter_folder())
    rows.append(row("own words, the Starter", speaking(starter), rounds))
    rows.append(row("edit, the Starter", editing(starter, tokens), rounds))
    if not small:
        with tempfile.TemporaryDirectory() as home:
            large = opened(build_qwen2(Path(home) / "qwen2"))
            rows.append(row("edit, Qwen2 0.5B's shape, 4 bits on disk", editing(large, tokens), rounds))
    return "\n".join(rows)


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="the Starter alone")
    options = parser.parse_args(arguments)
    print("\n" + table(options.tokens, options.rounds, options.small))


if __name__ == "__main__":
    main()
