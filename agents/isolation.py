"""Keep libraries that draw from global generators away from everybody else's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["isolated"]


@contextmanager
def isolated(*seed: int) -> Iterator[None]:
    """Seed the global generators of Python, NumPy and torch for a block, then put them back.

    Avalanche and Stable-Baselines3 know no other generators. A block gives the same numbers
    whatever ran before it, and what runs after it sees no trace.

    Args:
        seed: What the block's randomness depends on, one or more numbers: a seed, an experience.
    """
    words = np.random.SeedSequence(seed).generate_state(3)
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - it is the point
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        random.seed(int(words[0]))
        np.random.seed(int(words[1]))  # noqa: NPY002
        torch.manual_seed(int(words[2]))
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
