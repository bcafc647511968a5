"""Ranks, open ranks and tie groups of a large table, found by bisection."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

from leaderboard.collect import Row
from leaderboard.statistics import RankInterval
from neurotasks.scores import Interval

__all__ = ["Order"]


class Order:
    """All of a table that ranks depend on: four numbers a row.

    Args:
        rows: Score, submission, lower and upper end of the interval of each, the best first.
        offset: How many stand before all of these.
    """

    def __init__(self, rows: Sequence[Sequence[float]], offset: int = 0) -> None:
        numbers = np.fromiter(chain.from_iterable(rows), np.float64, 4 * len(rows))
        table = numbers.reshape(-1, 4)
        self._scores, self._submissions = -table[:, 0], table[:, 1]
        self._lows, self._highs = np.sort(table[:, 2]), np.sort(table[:, 3])
        self._offset = offset
        behind = len(table) - np.searchsorted(self._lows, self._highs, side="right")
        self._groups = np.unique(behind + 1)  # best ranks that anybody might have

    def __len__(self) -> int:
        """Return how many rows the table has."""
        return len(self._scores)

    def rank(self, row: Row) -> int:
        """Return the rank of a submission that stands in this table."""
        first = int(self._scores.searchsorted(-row.score.mean))
        last = int(self._scores.searchsorted(-row.score.mean, side="right"))
        same = self._submissions[first:last]
        return first + int(same.searchsorted(row.submission or 0)) + 1

    def before(self, score: float) -> int:
        """Return how many stand before whoever has this score."""
        return self._offset + int(self._scores.searchsorted(-score))

    def places(self, value: Interval) -> RankInterval:
        """Return the ranks that an interval of this table leaves open."""
        behind = len(self) - int(self._lows.searchsorted(value.high, side="right"))
        before = int(self._highs.searchsorted(value.low, side="left"))
        return RankInterval(self._offset + behind + 1, self._offset + len(self) - before)

    def group(self, places: RankInterval) -> int:
        """Return the tie group: how many different best ranks come before this one, and 1."""
        return int(self._groups.searchsorted(places.best - self._offset)) + 1
