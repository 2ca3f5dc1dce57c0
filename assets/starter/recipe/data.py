"""Packs freshly generated dialogues into flat batches, in as many processes as there are cores.

Owns the workers. Every batch is new: nothing is seen twice except by chance.
"""

from __future__ import annotations

import multiprocessing as mp
import random
from ctypes import c_double
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from queue import Full

import numpy as np

from dialogue import compose
from render import render
from tokenizer import Codec

MAX_DOC = 4096
Batch = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def pack(r: random.Random, codec: Codec, n: int, copying: float) -> Batch:
    """Tokens, targets (shifted by one), document numbers and positions, each (n,)."""
    ids: list[int] = []
    targets: list[int] = []
    docs: list[int] = []
    pos: list[int] = []
    doc = 0
    while len(ids) < n:
        a, t = codec.encode(list(render(compose(r, copying=r.random() < copying))))
        if len(a) > MAX_DOC:
            continue
        ids += a
        targets += [*t[1:], -1]
        docs += [doc] * len(a)
        pos += range(len(a))
        doc += 1
    return (
        np.asarray(ids[:n], np.uint16),
        np.asarray(targets[:n], np.int16),
        np.asarray(docs[:n], np.int32),
        np.asarray(pos[:n], np.int16),
    )


def _work(seed: int, path: str, n: int, copying: Synchronized[float], queue: mp.Queue[Batch]) -> None:
    r, codec = random.Random(seed), Codec(path)
    while True:
        batch = pack(r, codec, n, copying.value)
        while True:
            try:
                queue.put(batch, timeout=60)
                break
            except Full:
                continue


class Source:
    """Batches from worker processes; `copying` is the share of the curriculum's first stage."""

    def __init__(self, path: Path, n: int, workers: int, seed: int) -> None:
        context = mp.get_context("fork")
        self.copying: Synchronized[float] = context.Value(c_double, 0.7)
        self.queue: mp.Queue[Batch] = context.Queue(maxsize=64)
        self.workers = [
            context.Process(target=_work, args=(seed * 1000 + i, str(path), n, self.copying, self.queue), daemon=True)
            for i in range(workers)
        ]
        for w in self.workers:
            w.start()

    def next(self) -> Batch:
        """The next batch, waiting if it must."""
        return self.queue.get()

    def close(self) -> None:
        """Ends the workers."""
        for w in self.workers:
            w.terminate()
