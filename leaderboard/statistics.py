"""What may be said of scores: pure functions from arrays to numbers.

Runs are the unit of every interval. The scores of an agent on a suite are one array of runs for
each task; arrays may differ in length, and every task counts the same. Resampling draws from a
generator of its own, so that the same scores give the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

from neurotasks.scores import Interval

__all__ = [
    "Comparison",
    "RankInterval",
    "compare",
    "holm",
    "iqm",
    "iqm_interval",
    "ladder",
    "pareto",
    "probability_of_improvement",
    "profile",
    "rank_intervals",
    "tie_groups",
]

Floats: TypeAlias = NDArray[np.float64]

_DRAWS = 2000  # of the bootstrap: the standard error is then known to 1.6 %
_LOW, _HIGH = 0.25, 0.75  # the middle half of the runs
_LEVEL = 0.95


def iqm(tasks: Sequence[ArrayLike]) -> float:
    """Return the interquartile mean: the mean of the middle half of all runs, tasks weighing equal.

    Where a quartile falls inside a run, that run counts in part.

    Args:
        tasks: The scores of the runs on each task.

    Source: Agarwal et al. (2021), "Deep reinforcement learning at the edge of the statistical
    precipice".
    """
    runs = _arrays(tasks)
    return float(_middle(np.concatenate(runs)[None], _weights(runs))[0])


def iqm_interval(
    tasks: Sequence[ArrayLike], *, level: float = _LEVEL, draws: int = _DRAWS, seed: int = 0
) -> Interval:
    """Return the interquartile mean with its confidence interval.

    The standard error is that of the bootstrap stratified by task, times sqrt(n / (n - 1)) for n
    runs a task, times Student's t with the runs' degrees of freedom: with five runs it covers the
    truth in 94 to 95 % of cases, where the bootstrap's percentiles cover it in 91 %. One run on
    some task has no spread, so the ends are then the mean.

    Args:
        tasks: The scores of the runs on each task.
        level: The part of all intervals that cover the truth.
        draws: How often the runs are drawn again.
        seed: Of the draws.
    """
    runs = _arrays(tasks)
    mean, fewest = iqm(tasks), min(len(run) for run in runs)
    if fewest == 1:
        return Interval(mean, mean, mean, 1)
    generator = np.random.default_rng(seed)
    drawn = [run[generator.integers(len(run), size=(draws, len(run)))] for run in runs]
    middles = _middle(np.concatenate(drawn, axis=1), _weights(runs))
    wider = math.sqrt(float(np.mean([len(run) / (len(run) - 1) for run in runs])))
    freedom = sum(len(run) - 1 for run in runs)
    half = float(middles.std(ddof=1)) * wider * float(stdtrit(freedom, 0.5 + level / 2))
    return Interval(mean, mean - half, mean + half, fewest)


def _arrays(tasks: Sequence[ArrayLike]) -> list[Floats]:
    """Return the runs of each task.

    Raises:
        ValueError: There is no task, a task without a run, or a score that is no number.
    """
    runs = [np.asarray(task, dtype=np.float64).reshape(-1) for task in tasks]
    if not runs or any(len(run) == 0 or not np.isfinite(run).all() for run in runs):
        raise ValueError("every task needs at least one run, and every score must be finite")
    return runs


def _weights(runs: Sequence[Floats]) -> Floats:
    """Return how much each run counts, in all 1."""
    return np.concatenate([np.full(len(run), 1.0 / (len(run) * len(runs))) for run in runs])


def _middle(values: Floats, weights: Floats) -> Floats:
    """Return the weighted mean between the quartiles of each row, (D, N) to (D,)."""
    order = np.argsort(values, axis=1)
    ends = np.cumsum(weights[order], axis=1)
    begins = ends - weights[order]
    inside = np.clip(ends, _LOW, _HIGH) - np.clip(begins, _LOW, _HIGH)
    ordered = np.take_along_axis(values, order, axis=1)
    total: Floats = (ordered * inside).sum(axis=1) / inside.sum(axis=1)
    return total


class RankInterval(NamedTuple):
    """The best and the worst place that an interval allows, from 1."""

    best: int
    worst: int


def rank_intervals(intervals: Sequence[Interval]) -> list[RankInterval]:
    """Return the ranks that the intervals leave open.

    An agent is surely behind all whose lower end lies above its upper end, and surely before all
    whose upper end lies below its lower end (Chiang et al., 2024, "Chatbot Arena").
    """
    low = np.array([interval.low for interval in intervals])
    high = np.array([interval.high for interval in intervals])
    behind = (low[None, :] > high[:, None]).sum(axis=1)
    before = (high[None, :] < low[:, None]).sum(axis=1)
    count = len(intervals)
    return [RankInterval(int(b) + 1, count - int(a)) for b, a in zip(behind, before, strict=True)]


def tie_groups(intervals: Sequence[Interval]) -> list[int]:
    """Return the group of each agent, from 1: in one group are all with the same best rank."""
    best = [rank.best for rank in rank_intervals(intervals)]
    numbers = {rank: number for number, rank in enumerate(sorted(set(best)), start=1)}
    return [numbers[rank] for rank in best]


@dataclass(frozen=True)
class Comparison:
    """Two agents on the runs that both have.

    Attributes:
        one: The first agent.
        two: The second agent.
        difference: Mean of first minus second over the shared seeds.
        p: Of the paired t test, two-sided; 1 where fewer than two seeds are shared.
        adjusted: The same after Holm's correction for all comparisons of the table.
        runs: How many seeds are shared.
    """

    one: str
    two: str
    difference: float
    p: float
    adjusted: float
    runs: int


def compare(agents: Mapping[str, Mapping[int, float]]) -> list[Comparison]:
    """Compare all pairs of agents by their scores with the same seeds.

    The trials of a seed are the same for all agents, so that pairs of runs share what is hard about
    them, and their difference varies less than the scores do.

    Args:
        agents: Of each agent the score by seed.
    """
    names = list(agents)
    pairs = [(one, two) for place, one in enumerate(names) for two in names[place + 1 :]]
    found = []
    for one, two in pairs:
        seeds = sorted(agents[one].keys() & agents[two].keys())
        found.append(_paired(np.array([agents[one][s] - agents[two][s] for s in seeds])))
    adjusted = holm([p for _, p, _ in found])
    return [
        Comparison(one, two, difference, p, corrected, runs)
        for (one, two), (difference, p, runs), corrected in zip(pairs, found, adjusted, strict=True)
    ]


def _paired(differences: Floats) -> tuple[float, float, int]:
    """Return the mean, the p-value of Student's test that it is 0, and the number of runs."""
    runs = len(differences)
    mean = float(differences.mean()) if runs else 0.0
    if runs < 2:  # noqa: PLR2004 - one difference has no spread
        return mean, 1.0, runs
    error = float(differences.std(ddof=1)) / math.sqrt(runs)
    if error == 0.0:
        return mean, 1.0 if mean == 0.0 else 0.0, runs
    return mean, float(2.0 * stdtr(runs - 1, -abs(mean) / error)), runs


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values that hold for all tests together (Holm, 1979), in the order given."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1.0)
    return [float(value) for value in adjusted]


def probability_of_improvement(one: Sequence[ArrayLike], two: Sequence[ArrayLike]) -> float:
    """Return how probably a run of the first agent beats one of the second on a random task.

    Ties count half (Agarwal et al., 2021; on one task it is Mann and Whitney's statistic).

    Args:
        one: The scores of the runs of the first agent on each task.
        two: Those of the second, on the same tasks.
    """
    parts = []
    for left, right in zip(_arrays(one), _arrays(two), strict=True):
        apart = left[:, None] - right
        parts.append(float((apart > 0).mean() + 0.5 * (apart == 0).mean()))
    return sum(parts) / len(parts)


def profile(tasks: Sequence[ArrayLike], thresholds: ArrayLike) -> Floats:
    """Return the performance profile: the part of the runs above each threshold, (H,).

    Args:
        tasks: The scores of the runs on each task.
        thresholds: (H,).

    Source: Dolan and Moré (2002); over runs Agarwal et al. (2021).
    """
    runs, at = _arrays(tasks), np.asarray(thresholds, dtype=np.float64)
    above: Floats = np.stack([(run[:, None] > at).mean(axis=0) for run in runs]).mean(axis=0)
    return above


def pareto(scores: ArrayLike, costs: ArrayLike) -> NDArray[np.bool_]:
    """Return which agents no other one beats: at least as good and at most as dear, one strictly.

    Args:
        scores: (N,), higher is better.
        costs: (N,), lower is better.
    """
    score, cost = np.asarray(scores, dtype=np.float64), np.asarray(costs, dtype=np.float64)
    better = (score[None, :] >= score[:, None]) & (cost[None, :] <= cost[:, None])
    strictly = (score[None, :] > score[:, None]) | (cost[None, :] < cost[:, None])
    return np.logical_not((better & strictly).any(axis=1))


def ladder(shown: float | None, new: float, trials: int) -> float:
    """Return what a board shows after a submission to a fixed test set.

    A score is shown only where it beats the one shown before by more than the chance of the test
    set, 1 / sqrt(trials); else the old one stays. So who hands in many variants learns little of
    the hidden answers (Blum and Hardt, 2015, "The ladder").

    Args:
        shown: The best score shown so far, None before the first.
        new: The score just earned.
        trials: Of the test set.
    """
    if shown is None or new > shown + 1.0 / math.sqrt(trials):
        return new
    return shown
