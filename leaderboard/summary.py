"""Across tasks: the tables of a topic side by side, and each agent's score on the whole suite."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from leaderboard.collect import ANCHORS, Row, Table, order, placed
from leaderboard.statistics import RankInterval, iqm_interval
from neurotasks.scores import Interval

__all__ = ["Overall", "SuiteLine", "by_agent", "by_topic", "overall", "suite"]


@dataclass(frozen=True)
class Overall:
    """One agent on all tasks that it has.

    Attributes:
        agent: Its name.
        score: Interquartile mean of its runs, tasks weighing equal.
        tasks: How many it has.
        rank: Place among the learned agents; None for the anchors.
        places: The ranks that the intervals leave open among agents with the same tasks.
        group: Tie group, counted from 1; likewise.
        author: Who handed it in; empty for result files.
    """

    agent: str
    score: Interval
    tasks: int
    rank: int | None = None
    places: RankInterval | None = None
    group: int | None = None
    author: str = ""

    @property
    def anchor(self) -> bool:
        """Whether this is the ideal or the trivial agent."""
        return self.agent in ANCHORS


@dataclass(frozen=True)
class SuiteLine:
    """One agent and its row on each of some tasks, None where it has none."""

    overall: Overall
    cells: tuple[Row | None, ...]


def by_topic(tables: Iterable[Table]) -> dict[str, list[Table]]:
    """Return the tables of each topic, topics in alphabetical order."""
    topics: defaultdict[str, list[Table]] = defaultdict(list)
    for table in tables:
        topics[table.card.topic].append(table)
    return dict(sorted(topics.items()))


def by_agent(tables: Iterable[Table]) -> dict[str, dict[str, Row]]:
    """Return each agent's row on each task that it has, by the task's id."""
    found: defaultdict[str, dict[str, Row]] = defaultdict(dict)
    for table in tables:
        for row in table.rows:
            found[row.agent].setdefault(table.card.id, row)  # the best, where a name stands twice
    return dict(found)


def suite(tables: Sequence[Table]) -> tuple[SuiteLine, ...]:
    """Return the agents of some tasks side by side, in the order of `overall`."""
    rows = by_agent(tables)
    return tuple(
        SuiteLine(line, tuple(rows[line.agent].get(table.card.id) for table in tables))
        for line in overall(tables)
    )


def overall(tables: Iterable[Table]) -> tuple[Overall, ...]:
    """Return each agent's interquartile mean over the runs on the tasks that it has.

    Sorted by the number of tasks and then by the mean, because means over unlike sets of tasks do
    not compare; the ideal agent first and the trivial one last. Open ranks and tie groups stand
    among agents with the very same tasks.
    """
    rows = by_agent(tables)
    lines = [
        Overall(agent, _interval(tuple(row.result.stages[row.stage].score for row in own.values())),
                len(own))
        for agent, own in rows.items()
    ]  # fmt: skip
    lines.sort(key=lambda line: (order(line.agent), -line.tasks, -line.score.mean, line.agent))
    learned = [line for line in lines if not line.anchor]
    ranks = {line.agent: rank for rank, line in enumerate(learned, start=1)}
    told = _placed(learned, {agent: frozenset(own) for agent, own in rows.items()})
    return tuple(replace(told.get(line.agent, line), rank=ranks.get(line.agent)) for line in lines)


@lru_cache(maxsize=2048)  # the bootstrap is dear, and most agents stay as they are
def _interval(tasks: tuple[tuple[float, ...], ...]) -> Interval:
    return iqm_interval(tasks)


def _placed(lines: Sequence[Overall], tasks: Mapping[str, frozenset[str]]) -> dict[str, Overall]:
    """Return the lines with open ranks and groups, found among those with equal tasks.

    An agent alone with its tasks compares with nobody.
    """
    alike: defaultdict[frozenset[str], list[Overall]] = defaultdict(list)
    for line in lines:
        alike[tasks[line.agent]].append(line)
    ranks = {line.agent: rank for rank, line in enumerate(lines, start=1)}
    found: dict[str, Overall] = {}
    for same in alike.values():
        own = [ranks[line.agent] for line in same]  # they may stand between others
        for line, (places, group) in zip(same, placed([s.score for s in same]), strict=True):
            if places is not None and len(same) > 1:
                best, worst = own[places.best - 1], own[places.worst - 1]
                line = replace(line, places=RankInterval(best, worst), group=group)  # noqa: PLW2901
            found[line.agent] = line
    return found
