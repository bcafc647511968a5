"""Boards, and the versions of the tasks that are on them."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from leaderboard.store.database import Database
from leaderboard.store.errors import BoardClosed, InvalidEntry, NameTaken, UnknownBoard
from leaderboard.store.events import append, canonical, lock
from leaderboard.store.ranking import renew_suites
from leaderboard.store.records import BoardRecord, TaskVersion
from leaderboard.store.tables import boards, tasks
from neurotasks.card import TaskCard
from neurotasks.registry import cards, find

__all__ = ["Boards", "board_of", "check_open", "insert_task"]

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")
_SHOWN = [column for column in boards.c if column.name != "secret"]


def board_of(connection: Connection, name: str) -> BoardRecord:
    """Return a board.

    Raises:
        UnknownBoard: There is none of this name.
    """
    row = connection.execute(sa.select(*_SHOWN).where(boards.c.name == name)).one_or_none()
    if row is None:
        raise UnknownBoard(f"there is no board {name[:80]!r}; open it first")
    return BoardRecord(**row._asdict())


def check_open(board: BoardRecord, now: float) -> None:
    """Let a submission pass while the board takes any.

    Raises:
        BoardClosed: It does not; the message names the date.
    """
    if board.opens is not None and now < board.opens:
        raise BoardClosed(
            f"board {board.name!r} opens on {_date(board.opens)}; hand in from then on"
        )
    if board.closes is not None and now >= board.closes:
        raise BoardClosed(
            f"board {board.name!r} closed on {_date(board.closes)}; hand in to another board"
        )


def insert_task(connection: Connection, card: TaskCard, now: float) -> None:
    """Keep a version of a task if it is new; old ones stay, and suite scores are renewed.

    The log is locked before, so that no two keep the same one.
    """
    known = sa.select(tasks.c.id).where(tasks.c.id == card.id, tasks.c.card == card.hash)
    if connection.execute(known).first():
        return
    facts = canonical(card.to_dict())
    connection.execute(
        sa.insert(tasks).values(id=card.id, card=card.hash, facts=facts, created=now)
    )
    append(connection, now, "suite", "add task", f"task {card.id}", card=card.hash)
    renew_suites(connection, card.id)


class Boards:
    """The boards of a store.

    Args:
        database: Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(  # noqa: PLR0913 - the columns of a row
        self,
        name: str,
        title: str,
        *,
        tasks: str = "*",
        opens: float | None = None,
        closes: float | None = None,
        valid_quota: int = 20,
        total_quota: int = 50,
        minimum_seeds: int = 5,
        actor: str = "operator",
    ) -> BoardRecord:
        """Open a board, with a secret of its own for the private stage.

        Args:
            name: What addresses name it by: lower-case letters, digits and hyphens.
            title: What pages name it by.
            tasks: Globs with commas between them.
            opens: When it takes its first submission, in UNIX seconds.
            closes: When it takes no more.
            valid_quota: Submissions of an account to a task, those that failed left out.
            total_quota: The same, those that failed counted in.
            minimum_seeds: With fewer a submission has no rank.
            actor: Who opens it, for the log.

        Raises:
            InvalidEntry: A value that no board can have.
            NameTaken: There is a board of this name.
        """
        board = BoardRecord(
            name=name, title=title.strip(), tasks=tasks, opens=opens, closes=closes,
            valid_quota=valid_quota, total_quota=total_quota, minimum_seeds=minimum_seeds,
            created=self._database.clock(),
        )  # fmt: skip
        _check(board)
        values = dataclasses.asdict(board)
        with self._database.write() as connection:
            lock(connection)
            if connection.execute(sa.select(boards.c.name).where(boards.c.name == name)).first():
                raise NameTaken(f"there is a board {name!r} already; choose another name")
            secret = secrets.token_hex(32)
            connection.execute(sa.insert(boards).values(**values, secret=secret))
            commitment = hashlib.sha256(secret.encode()).hexdigest()  # shows later that it was kept
            append(connection, board.created, actor, "open board", f"board {name}",
                   commitment=commitment, **values)  # fmt: skip
            for card in find(tasks):
                insert_task(connection, card, board.created)
        return board

    def get(self, name: str) -> BoardRecord:
        """Return a board.

        Raises:
            UnknownBoard: There is none of this name.
        """
        with self._database.read() as connection:
            return board_of(connection, name)

    def all(self) -> Sequence[BoardRecord]:
        """Return all boards, newest first."""
        query = sa.select(*_SHOWN).order_by(boards.c.created.desc(), boards.c.name)
        with self._database.read() as connection:
            return [BoardRecord(**row._asdict()) for row in connection.execute(query)]

    def close(self, name: str, *, actor: str = "operator") -> BoardRecord:
        """Close a board now; what is in its queue is still scored.

        Raises:
            UnknownBoard: There is none of this name.
        """
        now = self._database.clock()
        with self._database.write() as connection:
            board_of(connection, name)
            connection.execute(sa.update(boards).where(boards.c.name == name).values(closes=now))
            append(connection, now, actor, "close board", f"board {name}")
            return board_of(connection, name)

    def versions(self, task: str) -> Sequence[TaskVersion]:
        """Return the versions of a task that were ever on a board, newest first."""
        query = sa.select(tasks).where(tasks.c.id == task).order_by(tasks.c.created.desc())
        with self._database.read() as connection:
            return [TaskVersion(*row) for row in connection.execute(query)]


def _check(board: BoardRecord) -> None:
    """Refuse a board that nobody could use.

    Raises:
        InvalidEntry: The message names the value and the cure.
    """
    if not _NAME.fullmatch(board.name):
        raise InvalidEntry(
            f"{board.name[:80]!r} is no name of a board; use lower-case letters, digits, hyphens"
        )
    if not board.title or not board.title.isprintable():
        raise InvalidEntry(f"{board.title!r} is no title; write it in one line")
    if not any(board.takes(card.id) for card in cards()):
        raise InvalidEntry(f"no task matches {board.tasks!r}; `neurotasks list` shows all")
    if not 1 <= board.valid_quota <= board.total_quota:
        raise InvalidEntry(
            f"the quotas are {board.valid_quota} valid of {board.total_quota}; "
            "they must be at least 1, and the total no less than the valid"
        )
    if board.minimum_seeds < 1:
        raise InvalidEntry(f"minimum_seeds is {board.minimum_seeds}; it must be at least 1")
    if board.opens is not None and board.closes is not None and board.closes <= board.opens:
        raise InvalidEntry("the board closes before it opens; name a later date")


def _date(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M UTC")
