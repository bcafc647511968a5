"""Across tasks: the tables of a topic side by side, and each agent's mean score."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from leaderboard.collect import ANCHORS, Row, Table, order
from neurotasks.scores import Interval, score_scale

__all__ = ["Overall", "SuiteLine", "by_topic", "overall", "suite"]


@dataclass(frozen=True)
class Overall:
    """The mean score of one agent over the tasks that it has."""

    agent: str
    score: Interval
    tasks: int


@dataclass(frozen=True)
class SuiteLine:
    """One agent and its row on each of some tasks, None where it has none."""

    agent: str
    cells: tuple[Row | None, ...]

    @property
    def anchor(self) -> bool:
        """Whether this is the ideal or the trivial agent."""
        return self.agent in ANCHORS


def by_topic(tables: Iterable[Table]) -> dict[str, list[Table]]:
    """Return the tables of each topic, topics in alphabetical order."""
    topics: defaultdict[str, list[Table]] = defaultdict(list)
    for table in tables:
        topics[table.card.topic].append(table)
    return dict(sorted(topics.items()))


def suite(tables: Sequence[Table]) -> tuple[SuiteLine, ...]:
    """Return the agents of some tasks side by side, in the order of `overall`."""
    rows = {(table.card.id, row.agent): row for table in tables for row in table.rows}
    return tuple(
        SuiteLine(line.agent, tuple(rows.get((table.card.id, line.agent)) for table in tables))
        for line in overall(tables)
    )


def overall(tables: Iterable[Table]) -> tuple[Overall, ...]:
    """Return each agent's mean score over the tasks that it has.

    Sorted by the number of tasks and then by the mean, because means over unlike sets of tasks do
    not compare; the ideal agent first and the trivial one last.
    """
    scores: defaultdict[str, list[_Runs]] = defaultdict(list)
    for table in tables:
        for row in table.rows:
            test = row.result.stages["test"]
            shared = test.shared_error(table.card) * score_scale(table.card.stage("test"))
            scores[row.agent].append(_Runs(test.score, shared))
    means = (Overall(agent, _pooled(runs), len(runs)) for agent, runs in scores.items())
    return tuple(
        sorted(means, key=lambda o: (order(o.agent), -o.tasks, -o.score.mean, o.agent)),
    )


class _Runs(NamedTuple):
    """The scores of one agent on one task, and the standard error that all of them share."""

    scores: Sequence[float]
    shared: float


def _pooled(tasks: Sequence[_Runs], level: float = 0.95) -> Interval:
    """Return the mean over tasks of the means over runs, with Welch and Satterthwaite's interval.

    The tasks are taken as they are: the interval says how far other runs of the same tasks would
    move the mean, not how other tasks would.
    """
    mean = float(np.mean([np.mean(task.scores) for task in tasks]))
    runs = np.array([len(task.scores) for task in tasks])
    if runs.min() == 1:
        return Interval(mean, mean, mean, 1)
    variances = np.array([np.var(task.scores, ddof=1) for task in tasks]) / runs
    total = float(variances.sum()) + sum(task.shared**2 for task in tasks)
    if total == 0.0:
        return Interval(mean, mean, mean, int(runs.min()))
    estimated = float((variances**2 / (runs - 1)).sum())  # the shared errors are known better
    freedom = total**2 / estimated if estimated else math.inf
    half = float(stdtrit(freedom, 0.5 + level / 2)) * math.sqrt(total) / len(tasks)
    return Interval(mean, mean - half, mean + half, int(runs.min()))
