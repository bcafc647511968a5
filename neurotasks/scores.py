"""Scores and their intervals: pure functions from arrays to numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neurotasks.card import Stage

__all__ = ["Interval", "interval", "score", "score_scale"]


@dataclass(frozen=True)
class Interval:
    """A mean over runs with its confidence interval.

    Attributes:
        mean: The mean.
        low: Lower end; equals the mean where there is one run and no shared error.
        high: Upper end.
        runs: How many runs.
    """

    mean: float
    low: float
    high: float
    runs: int


def score(raw: float, stage: Stage) -> float:
    """Return (raw - chance) / (ceiling - chance): 0 is chance, 1 the ceiling, never clipped."""
    return (raw - stage.chance) / (stage.ceiling - stage.chance)


def score_scale(stage: Stage) -> float:
    """Return how much a score moves for one unit of the raw metric."""
    return 1.0 / abs(stage.ceiling - stage.chance)


def interval(values: Sequence[float], level: float = 0.95, shared: float = 0.0) -> Interval:
    """Return the mean of some runs with Student's interval.

    Runs are the unit, never trials: each run has its own weights and, where the data are generated,
    its own test trials, so that the spread over runs covers both. Where all runs answer one fixed
    test set, their spread does not show that another set would give another mean.

    Args:
        values: One number a run.
        level: The part of all intervals that cover the truth.
        shared: Standard error that all runs share, such as that of a fixed test set.
    """
    from scipy.special import ndtri, stdtrit  # noqa: PLC0415 - `import neurotasks` is light

    runs = np.asarray(values, dtype=np.float64)
    mean, tail = float(runs.mean()), 0.5 + level / 2
    half = float(ndtri(tail)) * shared
    if len(runs) > 1:  # one run has no spread
        error = float(runs.std(ddof=1)) / math.sqrt(len(runs))
        half = math.hypot(half, float(stdtrit(len(runs) - 1, tail)) * error)
    return Interval(mean, mean - half, mean + half, len(runs))
