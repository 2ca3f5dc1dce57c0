"""mlx-lm's own loops and its server over a model, for `bench --against mlx-lm`. A process of its own, nothing of our engine in it.

`steps FOLDER` reads commands as lines of JSON on stdin and answers each with a line on stdout; `serve FOLDER --port N` is
mlx_lm.server. With `--fitted` the model is brought to the form that our device policy gives it, with the same BLAS; what
`cpu` computes another way than mlx does not belong to that.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Collection, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

from mlx_harmony.records import LoadOptions

Command = dict[str, Any]


class Opened(NamedTuple):
    """A model, its vocabulary's size, and the tokens that end its answers."""

    model: Any
    vocabulary: int
    stops: Collection[int]


def one(opened: Opened, prompt: Sequence[int], tokens: int) -> Command:
    """One answer of mlx-lm's generate_step. Seconds, tokens a second, milliseconds between tokens."""
    import mlx.core as mx
    from mlx_lm.generate import generate_step

    began = time.perf_counter()
    stamps = []
    for _token, _logprobs in generate_step(mx.array(list(prompt)), opened.model, max_tokens=tokens):
        stamps.append(time.perf_counter())
    first, wrote = stamps[0] - began, stamps[-1] - stamps[0]
    return {
        "first_token_s": first,
        "prefill_per_second": len(prompt) / first,
        "decode_per_second": (len(stamps) - 1) / wrote if wrote > 0 else 0.0,
        "tokens": len(stamps),
        "gaps_ms": [(after - before) * 1000 for before, after in itertools.pairwise(stamps)],
    }


def many(opened: Opened, prompts: Sequence[Sequence[int]], tokens: int) -> Command:
    """Tokens a second of mlx-lm's BatchGenerator, prompts included. Answers end where the model ends them, as ours do."""
    from mlx_lm.generate import BatchGenerator

    generator = BatchGenerator(opened.model, stop_tokens=[[token] for token in opened.stops])
    began = time.perf_counter()
    generator.insert([list(prompt) for prompt in prompts], [tokens] * len(prompts))
    written = 0
    while written_now := generator.next_generated():
        written += len(written_now)
    seconds = time.perf_counter() - began
    generator.close()
    return {"tokens_per_second": written / seconds, "tokens": written}


COMMANDS: dict[str, Callable[..., Command]] = {"one": one, "many": many}


def open_model(folder: str, fitted: bool) -> Opened:
    """The model as mlx-lm loads it, or in the form that our device policy gives it."""
    if fitted:
        from mlx_harmony.worker.device import prepare

        device = prepare()
        from mlx_harmony.worker.load import load

        ours = load(LoadOptions(path=folder), device, lambda _stage, _fraction: None)
        return Opened(ours.model, ours.card.vocabulary_size, ours.format.stop_tokens)
    from mlx_lm import load as load_stock

    from mlx_harmony.worker.load import vocabulary_size

    model, tokenizer = load_stock(folder)[:2]
    return Opened(model, vocabulary_size(model, tokenizer), tokenizer.eos_token_ids)


def device_kind() -> str:
    """What mlx computes on here."""
    import mlx.core as mx

    if mx.metal.is_available():
        return "metal"
    return "cuda" if mx.default_device() == mx.Device(mx.gpu, 0) else "cpu"


def steps(folder: str, fitted: bool) -> None:
    """Load the model, say so, then do what each line asks for; each answer tells how much memory it took at most so far."""
    began = time.perf_counter()
    opened = open_model(folder, fitted)
    _say({"load_s": time.perf_counter() - began, "vocabulary": opened.vocabulary, "version": version("mlx-lm")})
    for line in sys.stdin:
        asked = json.loads(line)
        _say(COMMANDS[asked.pop("do")](opened, **asked))


def serve(folder: str, port: int, fitted: bool) -> None:
    """mlx_lm.server, until it is ended."""
    if fitted:
        from mlx_harmony.worker.device import prepare

        device = prepare()
    import mlx.core as mx
    from mlx_lm import server

    if fitted:
        from mlx_lm.utils import get_total_parameters

        from mlx_harmony.models.forecast import RUNTIME_BYTES, becomes_plain
        from mlx_harmony.worker.device import fit, free_bytes

        class Fitted(server.ModelProvider):  # type: ignore[misc]
            """Brings each model it loads to the form that our device policy gives it."""

            def _load(self, *args: Any, **kwargs: Any) -> None:
                super()._load(*args, **kwargs)
                parameters = int(get_total_parameters(self.model))
                fit(self.model, device, parameters, becomes_plain(parameters, RUNTIME_BYTES, free_bytes(device) or 0))
                mx.eval(self.model.parameters())

        server.ModelProvider = Fitted
    sys.argv = ["mlx_lm.server", "--model", folder, "--port", str(port), "--log-level", "WARNING"]
    server.main()


def _say(answer: Command) -> None:
    from mlx_harmony.worker.footprint import peak_bytes

    print(json.dumps({**answer, "peak_bytes": peak_bytes(device_kind())}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m mlx_harmony.worker.stock", description=__doc__)
    parser.add_argument("what", choices=["steps", "serve"])
    parser.add_argument("folder")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--fitted", action="store_true")
    args = parser.parse_args()
    if args.what == "steps":
        steps(args.folder, args.fitted)
    else:
        serve(args.folder, args.port, args.fitted)


if __name__ == "__main__":
    main()
