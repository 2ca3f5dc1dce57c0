"""Muon for the hidden matrices and AdamW for the rest, behind one step.

Owns the update rules. Matrices of one shape are orthogonalised together.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def orthogonal(g: Tensor) -> Tensor:
    """Newton-Schulz on a stack of matrices (b, m, n)."""
    x = g.bfloat16() if g.is_cuda else g.float()
    flip = x.shape[-2] > x.shape[-1]
    if flip:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.mT if flip else x).float()


class Optimiser:
    """`lr_matrix` is Muon's rate, `lr_rest` AdamW's."""

    def __init__(self, model: nn.Module, lr_matrix: float, lr_rest: float, decay: float) -> None:
        self.lr_matrix, self.decay = lr_matrix, decay
        rest, groups = [], {}
        for name, p in model.named_parameters():
            if p.ndim >= 2 and "embed" not in name and "lm_head" not in name and "bias" not in name and "router" not in name:
                groups.setdefault(tuple(p.shape[-2:]), []).append(p)
            else:
                rest.append(p)
        self.groups: list[list[nn.Parameter]] = list(groups.values())
        self.moments = {p: torch.zeros_like(p) for g in self.groups for p in g}
        self.adam = torch.optim.AdamW(rest, lr=lr_rest, betas=(0.9, 0.98), eps=1e-10, weight_decay=0.0, fused=rest[0].is_cuda)
        self.lr_rest = lr_rest
        self.update = torch.compile(self._update) if rest[0].is_cuda else self._update

    @torch.no_grad()
    def _update(self, params: list[Tensor], grads: list[Tensor], moments: list[Tensor], lr: Tensor, momentum: Tensor) -> None:
        stack = []
        for g, m in zip(grads, moments, strict=True):
            m.lerp_(g, 1 - momentum)
            stack.append(g.lerp(m, momentum).view(-1, *g.shape[-2:]))
        o = orthogonal(torch.cat(stack))
        rows, columns = o.shape[-2:]
        scale = max(1.0, rows / columns) ** 0.5
        start = 0
        for p in params:
            count = p.numel() // (rows * columns)
            p.mul_(1 - lr * self.decay).sub_(o[start : start + count].view_as(p) * (lr * scale))
            start += count

    def step(self, factor: float, momentum: float) -> None:
        """One update at `factor` of the full rates."""
        device = self.groups[0][0].device
        lr, mom = torch.tensor(self.lr_matrix * factor, device=device), torch.tensor(momentum, device=device)
        for group in self.groups:
            self.update([p.data for p in group], [p.grad for p in group], [self.moments[p] for p in group], lr, mom)
        for g in self.adam.param_groups:
            g["lr"] = self.lr_rest * factor
        self.adam.step()
