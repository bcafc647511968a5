"""Our side of the comparisons of speed.

python neurotasks_side.py batch 16 CORE
python neurotasks_side.py step 1024 CORE
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import gymnasium
import numpy as np
from worker import serve

import neurotasks
from neurotasks.sequences import sequences

TASK = "neurotasks/PerceptualDecisionMaking-v0"
SEQUENCES, STEPS = 32 * 1024, 40_000  # of a piece of work


def batches(size: int) -> Callable[[], int]:
    """Return inputs, targets and masks of 100 steps."""
    stream = sequences(neurotasks.load(TASK), size, 100)

    def work() -> int:
        for _ in range(SEQUENCES // size):
            batch = next(stream)
        assert batch.x.shape[:2] == batch.y.shape == (size, 100)
        return SEQUENCES

    return work


def steps(size: int) -> Callable[[], int]:
    """Return one environment, or many worlds, under actions that were drawn before."""
    return one_env() if size == 1 else many_worlds(size)


def one_env() -> Callable[[], int]:
    """Return the single environment, which begins each trial with `reset`."""
    env = gymnasium.make(TASK)
    env.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, 3, STEPS).tolist()

    def work() -> int:
        for action in actions:
            _, _, terminated, _, _ = env.step(action)
            if terminated:
                env.reset()
        return STEPS

    return work


def many_worlds(size: int) -> Callable[[], int]:
    """Return worlds that begin the next trial in the step that ends the last one."""
    worlds = gymnasium.make_vec(TASK, num_envs=size, autoreset_mode="SameStep")
    worlds.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, 3, (STEPS // 20, size))

    def work() -> int:
        for action in actions:
            worlds.step(action)
        return len(actions) * size

    return work


if __name__ == "__main__":
    what, size, core = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    serve({"batch": batches, "step": steps}[what](size), core)
