"""Compares the training model's two attention paths: flex on the GPU, dense on the CPU."""

from __future__ import annotations

import torch

from model import Config, Starter


def main() -> None:
    """Prints the largest difference of hidden states."""
    torch.manual_seed(0)
    model = Starter(Config())
    with torch.no_grad():
        for p in model.parameters():
            if not p.abs().sum():
                p.normal_(std=0.05)
        n = 512
        tokens, docs = torch.randint(0, 4096, (n,)), (torch.arange(n) > 200).int()
        pos = torch.cat((torch.arange(201), torch.arange(n - 201)))
        want = model(tokens, docs, pos)[0]
        got = model.cuda()(tokens.cuda(), docs.cuda(), pos.cuda())[0].cpu()
    print("flex against dense:", (want - got).abs().max().item(), "of", want.abs().max().item())


if __name__ == "__main__":
    main()
