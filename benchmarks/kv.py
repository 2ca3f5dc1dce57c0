"""What forms of KV take and what they cost; prints a Markdown table.

Run `python -m benchmarks.kv [MODEL_FOLDER] [--tokens N]`. One text is read in every form. Memory is what its caches really take, beside
16 bits a number for as many tokens. Agreement is the share of the text's places at which the likeliest next token is that of KV as it is
computed; nothing is drawn in between, so that one difference counts once. Rates are the best of three, by turns in one process.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

from mlx_harmony.models.catalog import starter_folder
from mlx_harmony.records import KvOptions, LoadOptions

TEXT_TOKENS = 1024
DRAWN = 64
REPEATS = 3
ROOT = Path(__file__).parent.parent


def forms(width: int, tokens: int) -> list[tuple[str, KvOptions]]:
    """What is measured: groups as heads of this width allow, and a window of a quarter of the text."""
    groups = [size for size in (64, 32) if width % size == 0]
    packed = [(f"{bits} bits, groups of {size}", KvOptions(kv_bits=bits, kv_group_size=size)) for bits in (8, 4) for size in groups[:1]]
    return [("as computed", KvOptions()), *packed, (f"window of {tokens // 4}", KvOptions(max_kv_size=tokens // 4))]


def measured(loaded: Any, options: KvOptions, tokens: list[int]) -> tuple[Any, int, float]:
    """The likeliest next tokens of a text, tokens a second of steps after it, and the bytes of KV then."""
    import mlx.core as mx

    from mlx_harmony.worker.kv import KvForm, size_of

    layers = KvForm.of(options).fresh(loaded.model)
    likeliest = mx.argmax(loaded.model(mx.array([tokens]), cache=layers), axis=-1)
    mx.eval(likeliest, [layer.state for layer in layers])
    began = time.perf_counter()
    for token in tokens[:DRAWN]:
        mx.eval(mx.argmax(loaded.model(mx.array([[token]]), cache=layers)[:, -1], axis=-1))
    rate = DRAWN / (time.perf_counter() - began)
    return likeliest, size_of(layers).bytes, rate


def steadiness(loaded: Any, window: int) -> float:
    """How fast steps are once four windows were written, beside those just after the first was full; medians of half a window."""
    import mlx.core as mx

    from mlx_harmony.worker.kv import KvForm

    layers, took = KvForm.of(KvOptions(max_kv_size=window)).fresh(loaded.model), []
    for step in range(4 * window):
        began = time.perf_counter()
        mx.eval(mx.argmax(loaded.model(mx.array([[step % 1000]]), cache=layers)[:, -1], axis=-1))
        took.append(time.perf_counter() - began)
    return statistics.median(took[window : window + window // 2]) / statistics.median(took[-window // 2 :])


def main() -> None:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kv", description=__doc__, formatter_class=shape)
    parser.add_argument("folder", type=Path, nargs="?", default=starter_folder(), help="a model folder (default: the Starter)")
    parser.add_argument("--tokens", type=int, default=TEXT_TOKENS, metavar="N", help=f"tokens of the text (default: {TEXT_TOKENS})")
    args = parser.parse_args()
    from mlx_harmony.worker.device import prepare

    device = prepare()
    import mlx.core as mx

    from mlx_harmony.worker.kv_trial import widths
    from mlx_harmony.worker.load import load

    loaded = load(LoadOptions(path=str(args.folder)), device, lambda _stage, _fraction: None)
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    tokens = loaded.tokenizer.encode(text[: 8 * args.tokens], add_special_tokens=False)[: args.tokens]
    chosen = forms(min(widths(loaded.model)), len(tokens))
    runs = {name: [measured(loaded, options, tokens)] for name, options in chosen}
    for _ in range(REPEATS - 1):
        for name, options in chosen:
            runs[name].append(measured(loaded, options, tokens))
    plain = runs["as computed"][0]
    half = plain[1] * 2 // number_bytes(loaded.model)
    print(f"{args.folder.name}, {len(tokens)} tokens of docs/architecture.md.\n")
    print("| KV | memory | of 16 bits | agreement | tokens/s |\n|---|---|---|---|---|")
    for name, _ in chosen:
        likeliest, held, _ = runs[name][0]
        agreeing = float(mx.mean((likeliest == plain[0]).astype(mx.float32)))
        rate = max(run[2] for run in runs[name])
        print(f"| {name} | {held / 1e6:.2f} MB | {held / half:.2f} | {agreeing:.1%} | {rate:.0f} |")

    window = max(16, len(tokens) // 8)
    print(f"\nAfter four windows of {window} tokens a step is {steadiness(loaded, window):.0%} as fast as when the first was just full.")


def number_bytes(model: Any) -> int:
    """How many bytes a number of this model's KV has as it is computed."""
    import mlx.core as mx

    from mlx_harmony.worker.cache.layers import leaves
    from mlx_harmony.worker.kv import PLAIN

    layers = PLAIN.fresh(model)
    mx.eval(model(mx.array([[1, 2]]), cache=layers))
    return max(int(leaf.keys.dtype.size) for leaf in leaves(layers) if hasattr(leaf, "keys"))


if __name__ == "__main__":
    main()
