"""The training model: gpt_oss's architecture in PyTorch, over one flat row of packed documents.

Owns the mathematics (RMSNorm, YaRN, attention with sinks and a sliding window, routed experts) and the names
of the parameters, which are mlx-lm's. Knows nothing about data or optimisers.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, flex_attention

BLOCK = 128


@dataclass(frozen=True)
class Config:
    """Sizes of the model; `full` names the layers with full attention."""

    vocab: int = 4096
    hidden: int = 320
    layers: int = 5
    heads: int = 6
    kv_heads: int = 2
    head_dim: int = 64
    experts: int = 8
    top: int = 2
    inner: int = 256
    window: int = 128
    theta: float = 150000.0
    factor: float = 4.0
    original: int = 1024
    full: tuple[int, ...] = (1, 3, 4)
    eps: float = 1e-5

    def to_dict(self) -> dict[str, object]:
        """config.json as mlx-lm and transformers read it."""
        kinds = ["full_attention" if i in self.full else "sliding_attention" for i in range(self.layers)]
        rope = {
            "rope_type": "yarn",
            "factor": self.factor,
            "original_max_position_embeddings": self.original,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "truncate": True,
        }
        return {
            "architectures": ["GptOssForCausalLM"],
            "model_type": "gpt_oss",
            "vocab_size": self.vocab,
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "num_local_experts": self.experts,
            "num_experts_per_tok": self.top,
            "experts_per_token": self.top,
            "intermediate_size": self.inner,
            "sliding_window": self.window,
            "layer_types": kinds,
            "rope_theta": int(self.theta),
            "rope_scaling": rope,
            "max_position_embeddings": int(self.factor * self.original),
            "initial_context_length": self.original,
            "rms_norm_eps": self.eps,
            "attention_bias": True,
            "hidden_act": "silu",
            "swiglu_limit": 7.0,
            "tie_word_embeddings": False,
            "attention_dropout": 0.0,
        }


def yarn(c: Config) -> tuple[Tensor, float]:
    """Inverse frequencies of shape (head_dim / 2,) and the scale on cos and sin."""
    d = c.head_dim

    def dim(rotations: float) -> float:
        return d * math.log(c.original / (rotations * 2 * math.pi)) / (2 * math.log(c.theta))

    low, high = max(math.floor(dim(32.0)), 0), min(math.ceil(dim(1.0)), d - 1)
    extra = c.theta ** (torch.arange(0, d, 2, dtype=torch.float64) / d)
    keep = 1 - ((torch.arange(d // 2, dtype=torch.float64) - low) / max(high - low, 0.001)).clamp(0, 1)
    inverse = keep / extra + (1 - keep) / (c.factor * extra)
    return inverse.float(), 0.1 * math.log(c.factor) + 1.0


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x: (heads, n, head_dim)."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def block_masks(docs: Tensor, window: int) -> tuple[BlockMask, BlockMask]:
    """Causal-in-document masks, full and sliding; docs: (n,) rising document numbers, n a multiple of 128."""
    n = docs.numel() // BLOCK
    low, high = docs.view(n, BLOCK)[:, 0], docs.view(n, BLOCK)[:, -1]
    q, k = torch.arange(n, device=docs.device)[:, None], torch.arange(n, device=docs.device)[None]
    touch = (q >= k) & (low[:, None] <= high[None])
    inside = (q > k) & (low[None] == high[:, None])

    def full_mod(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return (i >= j) & (docs[i] == docs[j])

    def slide_mod(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return (i >= j) & (docs[i] == docs[j]) & (i - j < window)

    def pack(partial: Tensor, whole: Tensor | None, mod: object) -> BlockMask:
        def order(m: Tensor) -> tuple[Tensor, Tensor]:
            count = m.sum(-1, dtype=torch.int32)
            return count[None, None], m.to(torch.int32).argsort(dim=-1, descending=True, stable=True).to(torch.int32)[None, None]

        rest = order(whole) if whole is not None else (None, None)
        return BlockMask.from_kv_blocks(*order(partial), *rest, BLOCK_SIZE=BLOCK, mask_mod=mod)

    near = touch & (q - k <= (window + BLOCK - 2) // BLOCK)
    return pack(touch & ~inside, inside, full_mod), pack(near, None, slide_mod)


def dense_masks(docs: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """The same masks as booleans (n, n): for the CPU."""
    n = docs.numel()
    i, j = torch.arange(n)[:, None], torch.arange(n)[None]
    full = (i >= j) & (docs[:, None] == docs[None])
    return full, full & (i - j < window)


class Attention(nn.Module):
    """Grouped-query attention with one learnt sink a head."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.c = c
        self.q_proj = nn.Linear(c.hidden, c.heads * c.head_dim)
        self.k_proj = nn.Linear(c.hidden, c.kv_heads * c.head_dim)
        self.v_proj = nn.Linear(c.hidden, c.kv_heads * c.head_dim)
        self.o_proj = nn.Linear(c.heads * c.head_dim, c.hidden)
        self.sinks = nn.Parameter(torch.zeros(c.heads))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: BlockMask | Tensor) -> Tensor:
        """x: (n, hidden)."""
        n, d = x.shape[0], self.c.head_dim
        q, k, v = (p(x).view(n, -1, d).transpose(0, 1) for p in (self.q_proj, self.k_proj, self.v_proj))
        q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
        if isinstance(mask, Tensor):
            group = self.c.heads // self.c.kv_heads
            k, v = k.repeat_interleave(group, 0), v.repeat_interleave(group, 0)
            scores = (q @ k.transpose(1, 2) / math.sqrt(d)).masked_fill(~mask, float("-inf"))
            scores = torch.cat((scores, self.sinks[:, None, None].expand(-1, n, 1)), -1)
            out = scores.float().softmax(-1)[..., :-1].to(v.dtype) @ v
        else:
            out, lse = flex_attention(q[None], k[None], v[None], block_mask=mask, enable_gqa=True, return_lse=True)
            out = out[0] * torch.sigmoid(lse[0] - self.sinks[:, None])[..., None].to(out.dtype)
        return self.o_proj(out.transpose(0, 1).reshape(n, -1))


class Experts(nn.Module):
    """Top-k routed experts, computed densely for all: at this size that is the fastest way to train."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.c = c
        self.router = nn.Linear(c.hidden, c.experts)
        shape = (c.experts, c.inner, c.hidden)
        self.gate = nn.Parameter(torch.empty(shape))
        self.up = nn.Parameter(torch.empty(shape))
        self.down = nn.Parameter(torch.empty(c.experts, c.hidden, c.inner))
        self.gate_bias = nn.Parameter(torch.zeros(c.experts, c.inner))
        self.up_bias = nn.Parameter(torch.zeros(c.experts, c.inner))
        self.down_bias = nn.Parameter(torch.zeros(c.experts, c.hidden))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: (n, hidden) -> the same, and the balance loss."""
        c, n = self.c, x.shape[0]
        logits = self.router(x).float()
        best, index = logits.topk(c.top, -1)
        weight = torch.zeros_like(logits).scatter(1, index, best.softmax(-1))
        load = (weight > 0).float().mean(0)
        balance = c.experts * (load * logits.softmax(-1).mean(0)).sum() / c.top
        if not x.is_cuda:
            return self._sparse(x, weight), balance
        g = F.linear(x, self.gate.view(-1, c.hidden), self.gate_bias.view(-1)).clamp(max=7.0)
        u = F.linear(x, self.up.view(-1, c.hidden), self.up_bias.view(-1)).clamp(-7.0, 7.0)
        h = (g * torch.sigmoid(1.702 * g) * (u + 1)).view(n, c.experts, c.inner) * weight[..., None].to(g.dtype)
        y = F.linear(h.view(n, -1), self.down.transpose(0, 1).reshape(c.hidden, -1))
        return y + weight.to(y.dtype) @ self.down_bias.to(y.dtype), balance

    def _sparse(self, x: Tensor, weight: Tensor) -> Tensor:
        """Each expert on its own tokens only: what a CPU wants."""
        out = torch.zeros_like(x)
        for e in range(self.c.experts):
            rows = weight[:, e].nonzero()[:, 0]
            g = F.linear(x[rows], self.gate[e], self.gate_bias[e]).clamp(max=7.0)
            u = F.linear(x[rows], self.up[e], self.up_bias[e]).clamp(-7.0, 7.0)
            y = F.linear(g * torch.sigmoid(1.702 * g) * (u + 1), self.down[e], self.down_bias[e])
            out = out.index_add(0, rows, y * weight[rows, e, None])
        return out


class Norm(nn.Module):
    """RMSNorm."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(c.hidden))
        self.eps = c.eps

    def forward(self, x: Tensor) -> Tensor:
        """x: (n, hidden)."""
        y = x.float()
        return (y * torch.rsqrt(y.square().mean(-1, keepdim=True) + self.eps) * self.weight).to(x.dtype)


class Block(nn.Module):
    """One layer."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = Norm(c), Norm(c)
        self.self_attn, self.mlp = Attention(c), Experts(c)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: BlockMask | Tensor) -> tuple[Tensor, Tensor]:
        """x: (n, hidden)."""
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask)
        y, balance = self.mlp(self.post_attention_layernorm(x))
        return x + y, balance


class Starter(nn.Module):
    """The whole model."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.c = c
        self.embed_tokens = nn.Embedding(c.vocab, c.hidden)
        self.layers = nn.ModuleList(Block(c) for _ in range(c.layers))
        self.norm = Norm(c)
        self.lm_head = nn.Linear(c.hidden, c.vocab, bias=False)
        inverse, self.scale = yarn(c)
        self.register_buffer("inverse", inverse, persistent=False)
        self.reset()

    def reset(self) -> None:
        """Initial weights: what writes to the residual stream starts at zero."""
        for name, p in self.named_parameters():
            if name.endswith(("o_proj.weight", "mlp.down")) or "bias" in name or "sinks" in name:
                nn.init.zeros_(p)
            elif "embed_tokens" in name:
                nn.init.normal_(p, std=0.5)
            elif p.ndim >= 2:
                nn.init.normal_(p, std=0.5 / math.sqrt(p.shape[-1]))

    def forward(self, tokens: Tensor, docs: Tensor, pos: Tensor) -> tuple[Tensor, Tensor]:
        """All (n,); gives the last hidden states (n, hidden) and the balance loss."""
        angle = pos[:, None].float() * self.inverse
        cos, sin = angle.cos() * self.scale, angle.sin() * self.scale
        full, slide = (block_masks if tokens.is_cuda else dense_masks)(docs, self.c.window)
        x = self.embed_tokens(tokens)
        total = x.new_zeros((), dtype=torch.float32)
        for i, layer in enumerate(self.layers):
            x, balance = layer(x, cos, sin, full if i in self.c.full else slide)
            total = total + balance
        return self.norm(x), total / self.c.layers

    def loss(self, tokens: Tensor, targets: Tensor, docs: Tensor, pos: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy of `targets` (already shifted, -1 for none), and the balance loss."""
        x, balance = self(tokens, docs, pos)
        if not x.is_cuda:
            x, targets = x[targets >= 0], targets[targets >= 0]
        return F.cross_entropy(self.lm_head(x).float(), targets, ignore_index=-1), balance

    def sizes(self) -> dict[str, object]:
        """The configuration, for the checkpoint."""
        return asdict(self.c)
