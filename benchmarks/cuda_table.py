"""What `benchmarks.cuda` found, as Markdown for docs/benchmarks.md. Run `python -m benchmarks.cuda_table out.json`. Pure; needs no GPU."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Found = dict[str, Any]
"""What is in the file; a run that was cut short has found a part of it."""

ROWS = (
    ("reading, tok/s", "prompt_per_second", "{:,.0f}"),
    ("writing, tok/s", "answer_per_second", "{:,.1f}"),
    ("first token, ms", "first_token_ms", "{:,.0f}"),
    ("most memory of the GPU, GB", "peak_gb", "{:,.1f}"),
)
LESS_IS_BETTER = ("first_token_ms", "peak_gb")


def section(found: Found) -> str:
    """The whole section, its heading included."""
    return "\n".join(["## On CUDA", "", *_asked(found), "", *_speeds(found), "", *_notes(found), "", *_experts(found)]).strip() + "\n"


def _asked(found: Found) -> Iterator[str]:
    asked, device, model = found.get("asked", {}), found.get("device", {}), found.get("model", {})
    name = device.get("name") or device.get("kind", "")
    yield f"`python -m benchmarks.cuda` ({asked.get('date', 'undated')}, {name}, mlx {device.get('mlx', '')})"
    yield ""
    layers, size, rounds = model.get("layers", 0), model.get("active_gb", 0.0), len(found.get("runs", {}).get("ours", ()))
    yield (
        f"A model of gpt-oss-20b's shape with random weights, {layers} layers, {size:.1f} GB. Prompts of {asked.get('prompt', 0):,} tokens,"
        f" answers of {asked.get('tokens', 0):,}; the best of {rounds} rounds, in which both take turns."
    )


def _speeds(found: Found) -> Iterator[str]:
    if (best := found.get("best")) is None:
        yield "The run was cut short before its first round had ended."
        return
    yield "| | mlx-lm | ours | ratio |"
    yield "|---|---:|---:|---:|"
    for words, name, form in ROWS:
        stock, ours = best["stock"][name], best["ours"][name]
        ratio = stock / ours if name in LESS_IS_BETTER else ours / stock
        yield f"| {words} | {form.format(stock)} | {form.format(ours)} | {ratio:.2f} |"
    firsts = [found.get(f"{side}_first_prompt", {}).get("first_token_ms") for side in ("stock", "ours")]
    if None not in firsts:
        yield f"| the very first prompt's first token, ms | {firsts[0]:,.0f} | {firsts[1]:,.0f} | {firsts[0] / firsts[1]:.2f} |"
    yield ""
    yield "A ratio above 1: ours is better."


def _notes(found: Found) -> Iterator[str]:
    if (seconds := found.get("warm_up_s")) is not None:
        yield f"Ours compiles its kernels while it loads, which took {seconds:.0f} s; mlx-lm does so in the first prompt."
    if (agreement := found.get("agreement")) is not None:
        yield (
            f"Both ways of reading differ by {agreement['relative_distance']:.1e} of the logits' size at most; the likeliest token is the"
            f" same in {agreement['equal_likeliest']:.1%} of the places."
        )
    if (chunk := found.get("chunk")) is not None:
        yield f"Prompts were read in chunks of {chunk['settled']:,.0f} tokens."


def _experts(found: Found) -> Iterator[str]:
    if not (sweep := found.get("experts_of_one_layer")):
        return
    yield "One layer's experts, by the tokens that they are given at once:"
    yield ""
    yield "| tokens | packed, ms | unpacked, ms |"
    yield "|---:|---:|---:|"
    for row in sweep:
        yield f"| {row['tokens']:,.0f} | {row['packed_ms']:.2f} | {row['unpacked_ms']:.2f} |"


def main() -> None:
    """Print the section of a file."""
    print(section(json.loads(Path(sys.argv[1]).read_text("utf-8"))), end="")


if __name__ == "__main__":
    main()
