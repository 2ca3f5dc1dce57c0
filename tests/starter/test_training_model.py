"""The training model computes what transformers' gpt_oss computes. Needs torch, which the app does not."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the training model needs torch")


def _theirs(state: dict[str, Any], c: Any) -> dict[str, Any]:
    """Our weights under transformers' names: gate and up interleaved, experts transposed."""
    out = {}
    for name, value in state.items():
        head, dot, leaf = name.rpartition(".mlp.")
        key = name if name.startswith("lm_head") else f"model.{name}"
        if not dot or leaf.startswith("router"):
            out[key] = value
        elif leaf == "gate":
            pair = torch.stack((value, state[f"{head}.mlp.up"]), 2)
            out[f"model.{head}.mlp.experts.gate_up_proj"] = pair.reshape(c.experts, 2 * c.inner, c.hidden).transpose(1, 2)
        elif leaf == "gate_bias":
            out[f"model.{head}.mlp.experts.gate_up_proj_bias"] = torch.stack((value, state[f"{head}.mlp.up_bias"]), 2).reshape(
                c.experts, -1
            )
        elif leaf == "down":
            out[f"model.{head}.mlp.experts.down_proj"] = value.transpose(1, 2)
        elif leaf == "down_bias":
            out[f"model.{head}.mlp.experts.down_proj_bias"] = value
    return out


def test_equals_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    from model import Config, Starter

    torch.manual_seed(0)
    c = Config(vocab=256)
    ours = Starter(c)
    with torch.no_grad():
        for p in ours.parameters():
            if not p.abs().sum():
                p.normal_(std=0.05)
    config = transformers.GptOssConfig(**{k: v for k, v in c.to_dict().items() if k != "architectures"})
    config._attn_implementation = "eager"
    theirs = transformers.GptOssForCausalLM(config).float().eval()
    theirs.load_state_dict(_theirs(ours.state_dict(), c))
    tokens, n = torch.randint(0, 256, (300,)), 300
    with torch.no_grad():
        want = theirs(tokens[None]).logits[0]
        got = ours.lm_head(ours(tokens, torch.zeros(n, dtype=torch.int32), torch.arange(n))[0])
    assert (want - got).abs().max() < 1e-4
