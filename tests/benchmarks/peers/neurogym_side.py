"""NeuroGym's side of the comparisons of speed; runs in an environment of its own.

python neurogym_side.py batch 16 CORE
python neurogym_side.py step 1 CORE
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import neurogym
import numpy as np
from worker import serve

TASK = "PerceptualDecisionMaking-v0"
SEQUENCES, STEPS = 1024, 20_000  # of a piece of work


def batches(size: int) -> Callable[[], int]:
    """Return inputs and targets of 100 steps, as the data set hands them out."""
    dataset = neurogym.Dataset(TASK, batch_size=size, seq_len=100)
    dataset.seed(0)

    def work() -> int:
        for _ in range(SEQUENCES // size):
            inputs, targets = dataset()
        assert inputs.shape[:2] == targets.shape == (100, size)
        return SEQUENCES

    return work


def steps(_: int) -> Callable[[], int]:
    """Return one environment under actions that were drawn before; trials follow by themselves."""
    env = neurogym.make(TASK)
    env.reset()
    actions = np.random.default_rng(0).integers(0, 3, STEPS).tolist()

    def work() -> int:
        for action in actions:
            env.step(action)
        return STEPS

    return work


if __name__ == "__main__":
    what, size, core = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    serve({"batch": batches, "step": steps}[what](size), core)
