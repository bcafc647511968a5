"""The tables as pages show them: read in the order of an index, a page at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Row, Select

from leaderboard.store.boards import board_of
from leaderboard.store.database import Database
from leaderboard.store.records import Best, Cursor, Standing, Suite
from leaderboard.store.submissions import summary_of
from leaderboard.store.tables import accounts, records, sizes, standings, submissions, suites, tasks
from neurotasks.scores import Interval

__all__ = ["Standings"]

_COLUMNS = ("format", "summary", "seeds", "parameters", "samples", "flops", "cpu_seconds",
            "energy_kwh", "created")  # fmt: skip
_SELECT = (
    sa.select(
        standings, accounts.c.name.label("author"), *(submissions.c[name] for name in _COLUMNS)
    )
    .join_from(standings, submissions, standings.c.submission == submissions.c.id)
    .join(accounts, standings.c.account == accounts.c.id)
)
_HEADER = ("task", "card", "list", "rank", "agent", "account", "score", "low", "high", "seeds",
           "submission", "handed in")  # fmt: skip
_PAGE = 1000


class Standings:
    """The tables of a store.

    Args:
        database: Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(
        self,
        board: str,
        task: str,
        *,
        card: str | None = None,
        list_: str = "ranked",
        limit: int = 100,
        after: Cursor | None = None,
    ) -> Sequence[Standing]:
        """Return a page of a task's table, best first.

        Args:
            board: Name of the board.
            task: Id of the task.
            card: Hash of a card; None for the newest that the store knows.
            list_: One of `LISTS`.
            limit: How many rows at most.
            after: `cursor` of the last row of the page before.
        """
        with self._database.read() as connection:
            card = card or connection.execute(_newest(task)).scalar()
            query = _SELECT.where(
                standings.c.board == board, standings.c.task == task, standings.c.card == card,
                standings.c.list == list_,
            )  # fmt: skip
            if after is not None:
                query = query.where(
                    standings.c.score <= after.score,
                    (standings.c.score < after.score) | (standings.c.submission > after.id),
                )
            query = query.order_by(standings.c.score.desc(), standings.c.submission).limit(limit)
            first = 1 if after is None else after.rank + 1
            rows = connection.execute(query).all()
        return [_standing(row, rank) for rank, row in enumerate(rows, first)]

    def size(self, board: str, task: str, *, card: str | None = None, list_: str = "ranked") -> int:
        """Return how many rows a table has."""
        with self._database.read() as connection:
            card = card or connection.execute(_newest(task)).scalar()
            query = sa.select(sizes.c.rows).where(
                sizes.c.board == board, sizes.c.task == task, sizes.c.card == card,
                sizes.c.list == list_,
            )  # fmt: skip
            return connection.execute(query).scalar() or 0

    def of_agent(self, board: str, agent: str, *, account: int | None = None) -> Sequence[Standing]:
        """Return the rows of an agent in all tables of a board, by task.

        Args:
            board: Name of the board.
            agent: Name of the agent.
            account: Id of its account; None for all whose agent has this name.
        """
        query = _SELECT.where(standings.c.board == board, standings.c.agent == agent)
        if account is not None:
            query = query.where(standings.c.account == account)
        return self._ranked(query.order_by(standings.c.task, standings.c.card, standings.c.list))

    def of_submission(self, submission: int) -> Standing | None:
        """Return the row that shows a submission; None where another one of its agent stands."""
        found = self._ranked(_SELECT.where(standings.c.submission == submission))
        return found[0] if found else None

    def _ranked(self, query: Select[Any]) -> Sequence[Standing]:
        """Return rows of several tables, each with its rank: how many stand before it."""
        other = standings.alias()
        before = sa.select(sa.func.count()).where(
            *(other.c[name] == standings.c[name] for name in ("board", "task", "card", "list")),
            other.c.score >= standings.c.score,
            (other.c.score > standings.c.score) | (other.c.submission < standings.c.submission),
        )
        ranked = query.add_columns(before.scalar_subquery().label("before"))
        with self._database.read() as connection:
            rows = connection.execute(ranked).all()
        return [_standing(row, row.before + 1) for row in rows]

    def suite(self, board: str, *, limit: int = 100, offset: int = 0) -> Sequence[Suite]:
        """Return a page of the suite table, best first.

        Args:
            board: Name of the board.
            limit: How many rows at most.
            offset: How many to leave out.
        """
        query = (
            sa.select(suites, accounts.c.name.label("author"))
            .join_from(suites, accounts, suites.c.account == accounts.c.id)
            .where(suites.c.board == board)
            .order_by(suites.c.tasks.desc(), suites.c.score.desc(), suites.c.account)
            .limit(limit)
            .offset(offset)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [
            Suite(
                rank=rank, agent=row.agent, account=row.account, author=row.author,
                tasks=row.tasks, score=Interval(row.score, row.low, row.high, row.tasks),
            )
            for rank, row in enumerate(rows, offset + 1)
        ]  # fmt: skip

    def tables(self, board: str) -> Sequence[tuple[str, str, str, int]]:
        """Return task, card, list and number of rows of all tables that have any, by task."""
        columns = [sizes.c[name] for name in ("task", "card", "list", "rows")]
        query = sa.select(*columns).where(sizes.c.board == board).order_by(*columns[:3])
        with self._database.read() as connection:
            return [(row[0], row[1], row[2], row[3]) for row in connection.execute(query)]

    def records(self, board: str, *, task: str | None = None, limit: int = 50) -> Sequence[Best]:
        """Return the last times that a table got a new best score, newest first.

        Args:
            board: Name of the board.
            task: Only those of one task.
            limit: How many at most.
        """
        last = sa.select(records).where(records.c.board == board)
        if task is not None:
            last = last.join(submissions).where(submissions.c.task == task)
        last = last.order_by(records.c.id.desc()).limit(limit)
        whose = sa.select(
            submissions.c.id, submissions.c.task, submissions.c.card, submissions.c.agent,
            accounts.c.name.label("author"),
        ).join_from(submissions, accounts)  # fmt: skip
        with self._database.read() as connection:
            # Two steps: of a join, PostgreSQL guesses that it needs the oldest submissions only.
            found = connection.execute(last).all()
            wanted = submissions.c.id.in_([row.submission for row in found])
            told = {row.id: row._asdict() for row in connection.execute(whose.where(wanted))}
        return [
            Best(
                **told[row.submission]
                | {key: value for key, value in row._asdict().items() if key != "board"}
            )
            for row in found
        ]

    def csv(self, board: str) -> str:
        """Return all tables of a board as CSV, for whoever gives marks.

        Raises:
            UnknownBoard: There is no such board.
        """
        with self._database.read() as connection:
            board_of(connection, board)
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_HEADER)
        for task, card, list_, _ in self.tables(board):
            for row in self._all(board, task, card, list_):
                handed_in = datetime.fromtimestamp(row.created, UTC).isoformat(timespec="seconds")
                writer.writerow((
                    row.task, row.card, row.list, row.rank if row.list == "ranked" else "",
                    _inert(row.agent), _inert(row.author), repr(row.score.mean),
                    repr(row.score.low), repr(row.score.high), row.seeds, row.submission, handed_in,
                ))  # fmt: skip
        return file.getvalue()

    def _all(self, board: str, task: str, card: str, list_: str) -> Iterator[Standing]:
        after: Cursor | None = None
        while rows := self.page(board, task, card=card, list_=list_, limit=_PAGE, after=after):
            yield from rows
            after = rows[-1].cursor


def _newest(task: str) -> Select[Any]:
    return (
        sa.select(tasks.c.card).where(tasks.c.id == task).order_by(tasks.c.created.desc()).limit(1)
    )


def _standing(row: Row[Any], rank: int) -> Standing:
    told = row._asdict()
    for name in ("board", "before"):
        told.pop(name, None)
    score = Interval(told.pop("score"), told.pop("low"), told.pop("high"), row.seeds)
    summary = summary_of(told.pop("summary"))
    return Standing(rank=rank, score=score, summary=summary, **told)


def _inert(text: str) -> str:
    """Return a name that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text
