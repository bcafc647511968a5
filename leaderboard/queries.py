"""What pages ask of a store beside its own methods: each query walks one index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy import Connection, Select

from leaderboard.collect import Record as ResultRecord
from leaderboard.collect import Row
from leaderboard.statistics import RankInterval
from leaderboard.store import Cursor, Store
from leaderboard.store.submissions import summary_of
from leaderboard.store.tables import accounts, results, standings, submissions, suites
from leaderboard.summary import Overall
from neurotasks.results import Result, StageResult
from neurotasks.scores import Interval

__all__ = [
    "NO_FILTERS",
    "Filters",
    "Order",
    "agents_like",
    "leaders",
    "measured",
    "order_of",
    "place_one",
    "rows_of",
    "rows_of_agents",
    "suite_lines",
    "suite_order",
    "suite_ranks",
]

_COLUMNS = ("format", "summary", "seeds", "parameters", "samples", "flops", "cpu_seconds",
            "energy_kwh")  # fmt: skip
_SELECT = (
    sa.select(
        standings, accounts.c.name.label("author"), *(submissions.c[name] for name in _COLUMNS)
    )
    .join_from(standings, submissions, standings.c.submission == submissions.c.id)
    .join(accounts, standings.c.account == accounts.c.id)
)
_FOUND = 200  # agents that a search looks at


@dataclass(frozen=True)
class Filters:
    """Which rows of a table are shown; empty for all.

    Attributes:
        agent: What the agent's name begins with.
        format: Format of the submission.
        verified: "yes" for the verified ones, "no" for the self-reported ones.
    """

    agent: str = ""
    format: str = ""
    verified: str = ""


NO_FILTERS = Filters()


@dataclass(frozen=True)
class Order:
    """All of a table that a rank depends on.

    Attributes:
        ranks: Rank of each submission.
        lows: Lower ends of the intervals, sorted.
        highs: Upper ends, sorted.
    """

    ranks: Mapping[int, int]
    lows: NDArray[np.float64]
    highs: NDArray[np.float64]
    offset: int = 0

    def places(self, value: Interval) -> RankInterval:
        """Return the ranks that an interval of this table leaves open."""
        behind = len(self.lows) - int(np.searchsorted(self.lows, value.high, side="right"))
        before = int(np.searchsorted(self.highs, value.low, side="left"))
        return RankInterval(self.offset + behind + 1, self.offset + len(self.lows) - before)

    def group(self, value: Interval) -> int:
        """Return the tie group: how many different best ranks come before this one, and 1."""
        best = len(self.lows) - np.searchsorted(self.lows, np.unique(self.highs), side="right") + 1
        mine = self.places(value).best - self.offset
        return int((np.unique(best) < mine).sum()) + 1


def order_of(store: Store, board: str, task: str, card: str) -> Order:
    """Return the order of a task's ranked list."""
    query = (
        sa.select(standings.c.submission, standings.c.low, standings.c.high)
        .where(*_key(board, task, card, "ranked"))
        .order_by(standings.c.score.desc(), standings.c.submission)
    )
    with store.database.read() as connection:
        rows = connection.execute(query).all()
    ranks = {row[0]: rank for rank, row in enumerate(rows, start=1)}
    lows, highs = (np.sort(np.array([row[n] for row in rows], dtype=np.float64)) for n in (1, 2))
    return Order(ranks, lows, highs)


def place_one(connection: Connection, board: str, row: Row) -> Row:
    """Return a row with its rank and the ranks that its interval leaves open, counted in SQL."""
    value, number = row.score, row.submission
    before = (standings.c.score > value.mean) | (
        (standings.c.score == value.mean) & (standings.c.submission < number)
    )
    conditions = (before, standings.c.low > value.high, standings.c.high < value.low)
    counts = (sa.func.coalesce(sa.func.sum(sa.case((one, 1), else_=0)), 0) for one in conditions)
    query = sa.select(*counts, sa.func.count()).where(
        *_key(board, row.result.task, row.result.card, "ranked")
    )
    rank, behind, ahead, size = (int(n) for n in connection.execute(query).one())
    return replace(row, rank=rank + 1, places=RankInterval(behind + 1, size - ahead))


def suite_order(store: Store, board: str, tasks: int) -> Order:
    """Return the order of the suite's lines with so many tasks."""
    mine = sa.and_(suites.c.board == board, suites.c.tasks == tasks)
    more = sa.select(sa.func.count()).where(suites.c.board == board, suites.c.tasks > tasks)
    with store.database.read() as connection:
        rows = connection.execute(sa.select(suites.c.low, suites.c.high).where(mine)).all()
        offset = int(connection.execute(more).scalar_one())
    lows, highs = (np.sort(np.array([row[n] for row in rows], dtype=np.float64)) for n in (0, 1))
    return Order({}, lows, highs, offset)


def rows_of(  # noqa: PLR0913 - what names a page of a table
    store: Store,
    board: str,
    task: str,
    card: str,
    list_: str,
    *,
    filters: Filters = NO_FILTERS,
    after: Cursor | None = None,
    limit: int,
) -> list[Row]:
    """Return a page of a task's list, best first; ranks are given later."""
    query = _SELECT.where(*_key(board, task, card, list_))
    if filters.agent:
        query = query.where(*_begins(filters.agent))
    if filters.format:
        query = query.where(submissions.c.format == filters.format)
    if after is not None:
        query = query.where(
            standings.c.score <= after.score,
            (standings.c.score < after.score) | (standings.c.submission > after.id),
        )
    query = query.order_by(standings.c.score.desc(), standings.c.submission).limit(limit)
    with store.database.read() as connection:
        return _rows(connection, query)


def rows_of_agents(
    store: Store,
    board: str,
    agents: Sequence[tuple[int | None, str]],
    tasks: Sequence[str] | None = None,
) -> list[tuple[str, Row]]:
    """Return the rows of some agents in all tables of a board, each with the name of its list.

    Args:
        store: Where they are.
        board: Name of the board.
        agents: Pairs of account and name; without an account, whoever's agent has this name.
        tasks: Ids of the tasks; None for all.
    """
    names = sorted({name for _, name in agents})
    query = _SELECT.where(standings.c.board == board, standings.c.agent.in_(names))
    if tasks is not None:
        query = query.where(standings.c.task.in_(list(tasks)))
    query = query.order_by(standings.c.task, standings.c.card, standings.c.score.desc())
    with store.database.read() as connection:
        found = connection.execute(query).all()
    wanted = set(agents)
    return [
        (row.list, _row(row))
        for row in found
        if (row.account, row.agent) in wanted or (None, row.agent) in wanted
    ]


def leaders(store: Store, board: str, cards: Iterable[tuple[str, str]], each: int) -> list[Row]:
    """Return the first rows of the ranked list of each task, named by its id and its card."""
    found: list[Row] = []
    with store.database.read() as connection:
        for task, card in cards:
            query = _SELECT.where(*_key(board, task, card, "ranked"))
            query = query.order_by(standings.c.score.desc(), standings.c.submission).limit(each)
            found += _rows(connection, query)
    return found


def suite_lines(
    store: Store, board: str, limit: int, offset: int, agents: Sequence[tuple[int, str]] | None
) -> list[Overall]:
    """Return lines of the suite table with their ranks; tie groups are given later.

    Args:
        store: Where they are.
        board: Name of the board.
        limit: How many at most.
        offset: How many to leave out.
        agents: Only these, as account and name; None for all.
    """
    query = (
        sa.select(suites, accounts.c.name.label("author"))
        .join_from(suites, accounts, suites.c.account == accounts.c.id)
        .where(suites.c.board == board)
        .order_by(suites.c.tasks.desc(), suites.c.score.desc(), suites.c.account)
        .limit(limit)
        .offset(offset)
    )
    if agents is not None:
        query = query.where(sa.tuple_(suites.c.account, suites.c.agent).in_(list(agents)))
    with store.database.read() as connection:
        rows = connection.execute(query).all()
    return [
        Overall(row.agent, Interval(row.score, row.low, row.high, 2), row.tasks, None,
                author=row.author)
        for row in rows
    ]  # fmt: skip


def suite_ranks(store: Store, board: str, lines: Sequence[Overall]) -> list[int]:
    """Return the rank of lines that were looked up by name: how many stand before each."""
    found = []
    with store.database.read() as connection:
        for line in lines:
            before = sa.select(sa.func.count()).where(
                suites.c.board == board, suites.c.tasks >= line.tasks,
                (suites.c.tasks > line.tasks) | (suites.c.score > line.score.mean),
            )  # fmt: skip
            found.append(int(connection.execute(before).scalar_one()) + 1)
    return found


def agents_like(
    store: Store, board: str, beginning: str, limit: int = _FOUND
) -> list[tuple[int, str]]:
    """Return account and name of the agents whose name begins so."""
    query = (
        sa.select(standings.c.account, standings.c.agent)
        .where(standings.c.board == board, *_begins(beginning))
        .distinct()
        .limit(limit)
    )
    with store.database.read() as connection:
        return [(row.account, row.agent) for row in connection.execute(query)]


def measured(
    store: Store, wanted: Iterable[int]
) -> dict[int, tuple[tuple[int, ...], dict[str, StageResult]]]:
    """Return the seeds and what each earned, by stage, of submissions whose scores are released."""
    query = (
        sa.select(results)
        .join_from(results, submissions)
        .where(results.c.submission.in_(list(wanted)), submissions.c.released == 1)
        .order_by(results.c.submission, results.c.stage, results.c.place)
    )
    rows: dict[int, dict[str, list[Any]]] = {}
    with store.database.read() as connection:
        for row in connection.execute(query):
            rows.setdefault(row.submission, {}).setdefault(row.stage, []).append(row)
    return {
        submission: (
            tuple(row.seed for row in next(iter(stages.values()))),
            {name: _stage(of_seeds) for name, of_seeds in stages.items()},
        )
        for submission, stages in rows.items()
    }


def _stage(rows: Sequence[Any]) -> StageResult:
    error = tuple(row.error for row in rows if row.error is not None)
    return StageResult(tuple(r.raw for r in rows), tuple(r.score for r in rows), {}, error)


def _key(board: str, task: str, card: str, list_: str) -> tuple[Any, ...]:
    values = {"board": board, "task": task, "card": card, "list": list_}
    return tuple(standings.c[name] == value for name, value in values.items())


def _begins(text: str) -> tuple[Any, ...]:
    """Return the range of an index that holds what begins so."""
    return standings.c.agent >= text, standings.c.agent < text + "\U0010ffff"


def _rows(connection: Connection, query: Select[Any]) -> list[Row]:
    return [_row(row) for row in connection.execute(query)]


def _row(row: Any) -> Row:
    """Return a row of the read model; what no page shows of it stays empty."""
    summary = summary_of(row.summary)
    result = Result(
        task=row.task, card=row.card, agent=row.agent, config={}, seeds=tuple(range(row.seeds)),
        stages={}, parameters=row.parameters, samples=row.samples, flops=row.flops, seconds=0.0,
        cpu_seconds=row.cpu_seconds, energy_kwh=row.energy_kwh, energy_method="", hardware="",
        versions={}, commit="",
    )  # fmt: skip
    return Row(
        record=ResultRecord(Path("submissions", str(row.submission)), result), stage=row.stage,
        scores={stage: both["score"] for stage, both in summary.items()},
        raws={stage: both["raw"] for stage, both in summary.items()},
        author=row.author, submission=row.submission, format=row.format,
    )  # fmt: skip
