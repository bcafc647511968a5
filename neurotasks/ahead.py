"""Trials that are drawn ahead of those who are going to see them.

To draw one trial takes nearly as long as to draw a hundred, so that the faces draw a block of
trials for each world and go through it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from neurotasks.rng import Draw
from neurotasks.task import Batch, StreamTask, TrialTask

__all__ = ["draw_trials", "trials_ahead"]

_BYTES = 16 << 20  # of the observations of all blocks together
_TRIALS = 64


def trials_ahead(task: TrialTask | StreamTask, num: int) -> int:
    """Return how many trials of each of N worlds to draw at a time, within the memory for all."""
    space = task.observation_space
    size = num * task.card.steps * math.prod(space.shape or ()) * np.dtype(space.dtype).itemsize
    return int(np.clip(_BYTES // max(size, 1), 1, _TRIALS))


def draw_trials(
    task: TrialTask | StreamTask,
    stage: str,
    seeds: NDArray[np.int64],
    first: NDArray[np.int64],
    count: int,
) -> Batch:
    """Return some consecutive trials of each of S seeds.

    Args:
        task: The task.
        stage: The stage.
        seeds: The seeds, (S,).
        first: The number of the first trial of each seed, (S,).
        count: How many trials of each seed.

    Returns:
        S * count trials in the order of the seeds, and no table of trials.
    """
    if isinstance(task, TrialTask):
        draw = Draw(task.card.label, stage, seeds, first, count, split=stage)
        drawn = task.generate(draw, **task.card.stage(stage).parameters)
        return Batch(drawn.x, drawn.y, drawn.mask)
    parts = [
        task.sample(range(k, k + count), s, stage)
        for s, k in zip(seeds.tolist(), first.tolist(), strict=True)
    ]
    x, y, mask = (np.concatenate([getattr(p, name) for p in parts]) for name in ("x", "y", "mask"))
    return Batch(x, y, mask)
