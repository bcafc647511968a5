"""Two agents side by side: on each task that both have, and on all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from leaderboard.collect import Row
from leaderboard.figures import FLOOR, text
from leaderboard.numbers import plain
from leaderboard.statistics import Comparison, compare, holm, probability_of_improvement
from leaderboard.svg import Lane, Mark, score_plot
from neurotasks.card import TaskCard

__all__ = ["Duel", "Pair", "duel"]

_SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Pair:
    """Both on one task, and what the paired test says."""

    card: TaskCard
    one: Row
    two: Row
    test: Comparison

    @property
    def differs(self) -> bool:
        """Whether the difference is more than chance after Holm's correction for all tasks."""
        return self.test.adjusted < _SIGNIFICANT


@dataclass(frozen=True)
class Duel:
    """Two agents on all tasks that both have.

    Attributes:
        one: The first agent.
        two: The second agent.
        pairs: Each shared task, in the order of the cards.
        improvement: How probably a run of the first beats one of the second on a random task.
        plot: Both on each task.
    """

    one: str
    two: str
    pairs: tuple[Pair, ...]
    improvement: float
    plot: str

    @property
    def wins(self) -> int:
        """On how many tasks the first is better by more than chance."""
        return sum(pair.differs and pair.test.difference > 0 for pair in self.pairs)

    @property
    def losses(self) -> int:
        """On how many tasks the second is better by more than chance."""
        return sum(pair.differs and pair.test.difference < 0 for pair in self.pairs)


def duel(
    one: str, two: str, rows: Mapping[str, tuple[Row, Row]], cards: Mapping[str, TaskCard]
) -> Duel:
    """Compare two agents.

    Args:
        one: The first agent.
        two: The second agent.
        rows: Their rows on each task that both have, by the task's id.
        cards: The cards of these tasks.
    """
    pairs = [Pair(cards[task], *both, _tested(*both)) for task, both in rows.items()]
    adjusted = holm([pair.test.p for pair in pairs]) if pairs else []
    pairs = [
        replace(pair, test=replace(pair.test, adjusted=value))
        for pair, value in zip(pairs, adjusted, strict=True)
    ]
    left = [pair.one.result.stages[pair.one.stage].score for pair in pairs]
    right = [pair.two.result.stages[pair.one.stage].score for pair in pairs]
    better = probability_of_improvement(left, right) if pairs else 0.5
    return Duel(one, two, tuple(pairs), better, _plot(one, two, pairs) if pairs else "")


def _tested(one: Row, two: Row) -> Comparison:
    """Test the runs with the same seeds, in the stage that ranks."""
    agents = {
        name: dict(zip(row.result.seeds, row.result.stages[one.stage].score, strict=True))
        for name, row in (("one", one), ("two", two))
    }
    return compare(agents)[0]


def _plot(one: str, two: str, pairs: list[Pair]) -> str:
    lanes = [
        Lane(
            pair.card.label,
            f"{plain(pair.test.difference, 2)}{'*' if pair.differs else ''}",
            ((_mark(pair.one, "test", pair.one.stage), _mark(pair.two, "shift", pair.one.stage)),),
        )
        for pair in pairs
    ]
    said = "; ".join(
        f"{pair.card.label}: {one} {text(pair.one.score)}, {two} "
        f"{text(pair.two.scores[pair.one.stage])}"
        for pair in pairs
    )
    return score_plot("duel", f"Scores of {one} and {two}", said, lanes, lowest=FLOOR)


def _mark(row: Row, shape: str, stage: str) -> Mark:
    value = row.scores[stage]
    return Mark(value.mean, "mean", shape, f"{row.agent}: {text(value)}", value.low, value.high)
