"""A gpt-oss-20b-shaped model of random weights on a GPU: our engine beside stock mlx-lm, in one process, by turns.

Run `python -m benchmarks.cuda --json out.json`. Experts are mxfp4, all else bfloat16, as the model is published. Both models have the
same arrays; ours reads long chunks through unpacked experts. What is known is written to the file after each step, so that a run that
is cut short has said what it found; `python -m benchmarks.cuda_table out.json` makes Markdown of it, which a whole run prints at its end.
`--tiny` runs the same steps on a model that any CPU can take, to see that they run.

It needs no more than mlx, mlx-lm, msgspec and numpy.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.cuda_table import section
from mlx_harmony.worker.device import prepare

UNUSED = {
    "transformers": ("AutoTokenizer", "PreTrainedTokenizer", "PreTrainedTokenizerFast"),
    "transformers.tokenization_utils_base": ("PreTrainedTokenizerBase",),
    "huggingface_hub": ("snapshot_download",),
}
"""What mlx-lm imports for its tokenizers and downloads."""


def stand_in() -> None:
    """Let mlx-lm be imported on a bare machine: nothing here tokenises or downloads, so what is missing for that may be empty."""
    absent = {name for name in UNUSED if find_spec(name.partition(".")[0]) is None}
    for name in absent:
        sys.modules[name] = ModuleType(name)
        for each in UNUSED[name]:
            setattr(sys.modules[name], each, type(each, (), {"register": lambda *_given, **_named: None}))


DEVICE = prepare()
stand_in()

import mlx.core as mx  # noqa: E402 (mlx may only be imported after prepare)
import mlx.nn as nn  # noqa: E402
from mlx.utils import tree_flatten, tree_unflatten  # noqa: E402
from mlx_lm.generate import generate_step  # noqa: E402
from mlx_lm.models import gpt_oss  # noqa: E402

from mlx_harmony.records import Sampling  # noqa: E402
from mlx_harmony.worker import experts  # noqa: E402
from mlx_harmony.worker.batch import Batch  # noqa: E402
from mlx_harmony.worker.decode import Row  # noqa: E402
from mlx_harmony.worker.pace import Pace  # noqa: E402
from mlx_harmony.worker.prompt_cache import PromptCache  # noqa: E402
from mlx_harmony.worker.reading import Reading  # noqa: E402
from mlx_harmony.worker.sampling import Penalties, Sampler  # noqa: E402
from mlx_harmony.worker.warming import chunk_lengths, timed, warm_up  # noqa: E402

SWEEP = (16, 32, 64, 128, 256, 512, 1024, 2048)
SWEEP_REPEATS = 3
MXFP4_SCALE = 120
"""An exponent byte: 2^-7, which gives weights of about the usual size."""
YARN = {
    "rope_type": "yarn",
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "original_max_position_embeddings": 4096,
    "truncate": False,
}

Rates = dict[str, float]
"""What one run took: prompt and answer in tokens a second, the first token in milliseconds, the most memory in gigabytes."""


def shape(tiny: bool, layers: int) -> gpt_oss.ModelArgs:
    small = {
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "vocab_size": 512,
        "hidden_size": 64,
        "intermediate_size": 64,
        "head_dim": 32,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    given: dict[str, Any] = small if tiny else {"num_local_experts": 32}
    return gpt_oss.ModelArgs(num_hidden_layers=layers, rope_scaling=YARN, **given)


def skeleton(args: gpt_oss.ModelArgs) -> nn.Module:
    """The model before any of its weights is computed; only the experts are packed."""
    model = gpt_oss.Model(args)
    nn.quantize(model, 32, 4, mode="mxfp4", class_predicate=lambda path, part: ".experts." in path and hasattr(part, "to_quantized"))
    model.eval()
    return model


def with_random_weights(model: nn.Module, dtype: mx.Dtype) -> nn.Module:
    """Random weights, drawn in the form in which they are kept: seconds, and no more memory than they need in the end."""
    for number, (path, leaf) in enumerate(tree_flatten(model.parameters())):
        key = mx.random.key(number)
        if leaf.dtype == mx.uint32:
            drawn = mx.random.randint(-(2**31), 2**31 - 1, leaf.shape, mx.int32, key=key).view(mx.uint32)
        elif leaf.dtype == mx.uint8:
            drawn = mx.full(leaf.shape, MXFP4_SCALE, mx.uint8)
        elif "norm" in path:
            drawn = mx.ones(leaf.shape, dtype)
        else:
            drawn = (mx.random.normal(leaf.shape, dtype, key=key) * leaf.shape[-1] ** -0.5).astype(dtype)
        model.update(tree_unflatten([(path, drawn)]))
        mx.eval(drawn)
    mx.clear_cache()
    return model


def prompt_of(number: int, length: int, vocabulary: int) -> list[int]:
    """A prompt of its own for each run."""
    drawn: list[int] = np.random.default_rng(number).integers(0, vocabulary, length).tolist()
    return drawn


def stock(model: nn.Module, prompt: list[int], tokens: int) -> Rates:
    """mlx-lm's generate_step as it comes."""
    mx.reset_peak_memory()
    began = time.perf_counter()
    steps = generate_step(mx.array(prompt), model, max_tokens=tokens)
    next(steps)
    first = time.perf_counter()
    written = sum(1 for _ in steps)
    return _rates(len(prompt), written, began, first)


def ours(model: nn.Module, pace: Pace, prompt: list[int], tokens: int) -> Rates:
    """The engine's own reading and drawing, with nothing kept."""
    mx.reset_peak_memory()
    began = time.perf_counter()
    reading = Reading(model, PromptCache(0), pace, prompt)
    reading.begin()
    while not reading.over:
        reading.read()
    batch = Batch(model)
    row = Row(Sampler(Sampling(temperature=0.0), Penalties(), (), prompt), None, len(prompt) - 1, tokens)
    batch.join(row, reading.layers, prompt[-1:])
    batch.step()
    first = time.perf_counter()
    written = 0
    while row.left > 0:
        batch.step()
        written += 1
    return _rates(len(prompt), written, began, first)


def _rates(prompt: int, written: int, began: float, first: float) -> Rates:
    ended = time.perf_counter()
    mx.clear_cache()
    return {
        "prompt_per_second": prompt / (first - began),
        "answer_per_second": written / (ended - first),
        "first_token_ms": (first - began) * 1000,
        "peak_gb": mx.get_peak_memory() / 1e9,
    }


def best(runs: list[Rates]) -> Rates:
    """The fastest of each figure, and the most memory."""
    lowest = min(run["first_token_ms"] for run in runs)
    return {name: max(run[name] for run in runs) for name in runs[0]} | {"first_token_ms": lowest}


def agreement(plain: nn.Module, unpacking: nn.Module, tokens: list[int]) -> Rates:
    """How near the logits of both ways of reading are: the distance relative to their size, and the share of equal likeliest tokens."""
    one, other = (model(mx.array([tokens])).astype(mx.float32) for model in (plain, unpacking))
    off = mx.linalg.norm(one - other, axis=-1) / mx.linalg.norm(one, axis=-1)
    same = (mx.argmax(one, axis=-1) == mx.argmax(other, axis=-1)).astype(mx.float32)
    return {"relative_distance": float(mx.max(off)), "equal_likeliest": float(mx.mean(same))}


def sweep(model: nn.Module, per_token: int) -> list[Rates]:
    """Milliseconds of one layer's experts for so many tokens, packed and unpacked: from where on unpacking is worth it."""
    block = model.layers[0].mlp.experts
    width, count = block.gate_proj.input_dims, block.gate_proj.num_experts
    dtype = block.gate_proj["bias"].dtype
    found = []
    for tokens in SWEEP:
        rows = mx.random.normal((1, tokens, width)).astype(dtype)
        chosen = mx.argsort(mx.random.normal((1, tokens, count)), axis=-1)[..., :per_token]
        mx.eval(rows, chosen)
        timed = {"tokens": float(tokens)}
        for name, worth in (("packed_ms", 10**9), ("unpacked_ms", 0)):
            experts.WORTH, before = worth, experts.WORTH
            timed[name] = min(_once(lambda: block(rows, chosen)) for _ in range(SWEEP_REPEATS + 1)) * 1000  # noqa: B023
            experts.WORTH = before
        found.append(timed)
    return found


def _once(work: Callable[[], mx.array]) -> float:
    began = time.perf_counter()
    mx.eval(work())
    return time.perf_counter() - began


class Report:
    """What is known so far, told on stderr and in the file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._began = time.perf_counter()
        self.found: dict[str, Any] = {}

    def add(self, name: str, value: Any) -> None:
        self.found[name] = value
        self.found["seconds"] = round(self.spent, 1)
        print(f"[{self.spent:6.1f} s] {name}: {json.dumps(value)}", file=sys.stderr, flush=True)
        if self._path is not None:
            self._path.write_text(json.dumps(self.found, indent=1) + "\n", "utf-8")

    @property
    def spent(self) -> float:
        return time.perf_counter() - self._began


def measure(args: argparse.Namespace, report: Report) -> None:
    made = shape(args.tiny, args.layers)
    report.add("asked", {"prompt": args.prompt, "tokens": args.tokens, "date": date.today().isoformat()})
    report.add("device", {"kind": DEVICE.kind, "mlx": mx.__version__, "name": str(mx.device_info().get("device_name", ""))})
    began = time.perf_counter()
    plain = with_random_weights(skeleton(made), mx.float32 if DEVICE.kind == "cpu" else mx.bfloat16)
    unpacking = skeleton(made)
    unpacking.update(plain.parameters())
    least = experts.unpack_for_long_chunks(unpacking)
    report.add("model", {"layers": args.layers, "active_gb": mx.get_active_memory() / 1e9, "built_s": time.perf_counter() - began})
    began = time.perf_counter()
    lengths = chunk_lengths("cuda", least, 2 * args.prompt)
    warm_up(unpacking, lengths, made.vocab_size, lambda done, of: print(f"warming up, {done} of {of}", file=sys.stderr))
    took = timed(unpacking, lengths, made.vocab_size)
    pace = Pace(least=least, layers_s=took)
    report.add("warm_up_s", time.perf_counter() - began)
    report.add("layers_s", took)
    report.add("ours_first_prompt", ours(unpacking, pace, prompt_of(0, args.prompt, made.vocab_size), 8))
    report.add("stock_first_prompt", stock(plain, prompt_of(0, args.prompt, made.vocab_size), 8))
    runs: dict[str, list[Rates]] = {"stock": [], "ours": []}
    for number in range(1, args.rounds + 1):
        if runs["ours"] and report.spent > args.limit:
            break
        prompt = prompt_of(number, args.prompt, made.vocab_size)
        runs["stock"].append(stock(plain, prompt, args.tokens))
        runs["ours"].append(ours(unpacking, pace, prompt, args.tokens))
        report.add("runs", runs)
    chosen = {name: best(of) for name, of in runs.items()}
    report.add("best", chosen)
    names = ("prompt_per_second", "answer_per_second")
    report.add("ratios", {name: chosen["ours"][name] / chosen["stock"][name] for name in names})
    report.add("agreement", agreement(plain, unpacking, prompt_of(99, 512, made.vocab_size)))
    report.add("chunk", {"least": pace.least, "settled": pace.chunk})
    report.add("experts_of_one_layer", sweep(unpacking, made.num_experts_per_tok))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cuda", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go")
    parser.add_argument("--prompt", type=int, default=4096, metavar="N", help="tokens of the prompt (default: 4096)")
    parser.add_argument("--tokens", type=int, default=128, metavar="N", help="tokens of the answer (default: 128)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="how often each has its turn (default: 3)")
    parser.add_argument("--layers", type=int, default=24, metavar="N", help="an even number of layers (default: 24)")
    parser.add_argument("--limit", type=float, default=200, metavar="S", help="no round begins after so many seconds (default: 200)")
    parser.add_argument("--tiny", action="store_true", help="a model of a few kilobytes, to see that all of it runs")
    args = parser.parse_args()
    report = Report(args.json)
    measure(args, report)
    print(section(report.found), end="")


if __name__ == "__main__":
    main()
