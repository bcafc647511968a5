"""What pages ask of a store beside its own methods: each query walks one index."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Select

from leaderboard.collect import Record as ResultRecord
from leaderboard.collect import Row
from leaderboard.order import Order
from leaderboard.store import Cursor, Store
from leaderboard.store.submissions import summary_of
from leaderboard.store.tables import accounts, results, sizes, standings, submissions, suites
from leaderboard.summary import Overall
from neurotasks.results import Result, StageResult
from neurotasks.scores import Interval

__all__ = [
    "NO_FILTERS",
    "Filters",
    "agents_like",
    "agents_named",
    "measured",
    "order_of",
    "rows_of",
    "rows_of_agents",
    "stamps",
    "suite_lines",
    "suite_order",
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


def stamps(store: Store, board: str) -> dict[tuple[str, str, str], int]:
    """Return the submission that each table of a board got last, by task, card and list.

    None comes twice: while it stays, so does the table.
    """
    columns = [sizes.c[name] for name in ("task", "card", "list", "last")]
    with store.database.read() as connection:
        rows = connection.execute(sa.select(*columns).where(sizes.c.board == board))
        return {(row[0], row[1], row[2]): row[3] for row in rows}


def order_of(store: Store, board: str, task: str, card: str) -> Order:
    """Return the order of a task's ranked list."""
    columns = [standings.c[name] for name in ("score", "submission", "low", "high")]
    query = (
        sa.select(*columns)
        .where(*_key(board, task, card, "ranked"))
        .order_by(standings.c.score.desc(), standings.c.submission)
    )
    with store.database.read() as connection:
        return Order(connection.execute(query).all())


def suite_order(store: Store, board: str, tasks: int) -> Order:
    """Return the order of the suite's lines with so many tasks."""
    mine = sa.and_(suites.c.board == board, suites.c.tasks == tasks)
    more = sa.select(sa.func.count()).where(suites.c.board == board, suites.c.tasks > tasks)
    columns = (suites.c.score, suites.c.account, suites.c.low, suites.c.high)
    query = sa.select(*columns).where(mine).order_by(suites.c.score.desc(), suites.c.account)
    with store.database.read() as connection:
        rows = connection.execute(query).all()
        return Order(rows, int(connection.execute(more).scalar_one()))


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


def agents_named(store: Store, board: str, agent: str) -> list[tuple[int, str]]:
    """Return account and name of the agents of a name."""
    query = sa.select(standings.c.account).where(
        standings.c.board == board, standings.c.agent == agent
    )
    with store.database.read() as connection:
        return [(account, agent) for account in connection.execute(query.distinct()).scalars()]


def measured(
    store: Store, wanted: Iterable[int]
) -> dict[int, tuple[tuple[int, ...], dict[str, StageResult]]]:
    """Return the seeds and what each earned, by stage, of submissions whose scores are released."""
    query = (
        sa.select(results, submissions.c.details)
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
    extra = json.loads(rows[0].details) if rows[0].stage == "test" else {}
    return StageResult(tuple(r.raw for r in rows), tuple(r.score for r in rows), extra, error)


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
    scores, raws = _intervals(row.summary)
    result = Result(
        task=row.task, card=row.card, agent=row.agent, config={}, seeds=tuple(range(row.seeds)),
        stages={}, parameters=row.parameters, samples=row.samples, flops=row.flops, seconds=0.0,
        cpu_seconds=row.cpu_seconds, energy_kwh=row.energy_kwh, energy_method="", hardware="",
        versions={}, commit="",
    )  # fmt: skip
    return Row(
        record=ResultRecord(Path("submissions", str(row.submission)), result), stage=row.stage,
        scores=scores, raws=raws, author=row.author, submission=row.submission, format=row.format,
    )  # fmt: skip


@lru_cache(maxsize=1 << 13)  # a summary never changes, and reading one costs more than its row
def _intervals(text: str) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """Return the scores and the raw metrics of a summary, by stage."""
    summary = summary_of(text)
    return (
        {stage: both["score"] for stage, both in summary.items()},
        {stage: both["raw"] for stage, both in summary.items()},
    )
