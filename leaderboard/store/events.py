"""The log: who did what and when, each event holding the hash of the one before.

The hash is the SHA-256 of the hash before and of the event as canonical JSON, so that no event can
be changed, dropped or put between others without changing all that follow. The database forbids
changes; `verify` finds those of somebody who went around it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from leaderboard.store.database import Database
from leaderboard.store.records import Event, Head
from leaderboard.store.tables import chain, events

__all__ = ["ZERO", "Events", "append", "canonical", "chain_faults", "lock"]

ZERO = "0" * 64  # what the first event follows
_BLOCK = 1000  # events read at once


def canonical(value: Any) -> str:
    """Return a value as the one JSON text that it has."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def lock(connection: Connection) -> Head:
    """Return the end of the log and let nobody else write to it before this transaction ends.

    A transaction locks rows of its own first and the log last, so that no two wait for each other.
    """
    row = connection.execute(sa.select(chain).with_for_update()).one()
    return Head(row.length, row.hash)


def append(
    connection: Connection, at: float, actor: str, action: str, subject: str, **detail: Any
) -> None:
    """Write an event.

    Args:
        connection: Of the transaction that does what the event tells.
        at: When, in UNIX seconds.
        actor: Who: "account 3", "worker host-17", "operator".
        action: What was done.
        subject: To what: "submission 17", "board spring".
        detail: What else matters, plain JSON types.
    """
    head = lock(connection)
    told = canonical(detail)
    number = head.length + 1
    hashed = _hash(head.hash, number, at, actor, action, subject, told)
    connection.execute(
        sa.insert(events).values(
            id=number, at=at, actor=actor, action=action, subject=subject, detail=told,
            previous=head.hash, hash=hashed,
        )
    )  # fmt: skip
    connection.execute(sa.update(chain).values(length=number, hash=hashed))


def _hash(previous: str, *told: Any) -> str:
    return hashlib.sha256((previous + canonical(told)).encode()).hexdigest()


def chain_faults(connection: Connection, anchor: Head | None = None) -> Iterator[str]:
    """Yield each place where the log is not whole.

    Args:
        connection: To read from.
        anchor: The end of the log as it was kept elsewhere: finds a log that was shortened, or
            written anew from some event on.
    """
    number, previous, anchored = 0, ZERO, anchor is None or anchor.length == 0
    query = sa.select(events).order_by(events.c.id)
    with connection.execute(query, execution_options={"yield_per": _BLOCK}) as rows:
        for row in rows:
            if row.id != number + 1:
                yield f"event {number + 1} is missing: after {number} comes {row.id}"
            if row.previous != previous:
                yield f"event {row.id} does not follow the event before it"
            told = (row.id, row.at, row.actor, row.action, row.subject, row.detail)
            if _hash(row.previous, *told) != row.hash:
                yield f"event {row.id} was changed: its hash is not that of its content"
            number, previous = row.id, row.hash
            anchored = anchored or anchor == Head(number, previous)
    head = connection.execute(sa.select(chain)).one_or_none()
    if head is None or (head.length, head.hash) != (number, previous):
        said = "nothing" if head is None else f"event {head.length}"
        yield f"the log ends with event {number}; its end should be {said}"
    if not anchored and anchor is not None:
        yield f"event {anchor.length} is not the one whose hash was kept: {anchor.hash}"


class Events:
    """The log, to be read.

    Args:
        database: Where it is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def head(self) -> Head:
        """Return the end of the log."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(chain)).one()
        return Head(row.length, row.hash)

    def read(
        self, subject: str | None = None, *, before: int | None = None, limit: int = 100
    ) -> Sequence[Event]:
        """Return the last events, newest first.

        Args:
            subject: Only those of one subject, such as "submission 17".
            before: Only those with a lower number.
            limit: How many at most.
        """
        query = sa.select(events).order_by(events.c.id.desc()).limit(limit)
        if subject is not None:
            query = query.where(events.c.subject == subject)
        if before is not None:
            query = query.where(events.c.id < before)
        with self._database.read() as connection:
            return [Event(*row) for row in connection.execute(query)]

    def note(self, actor: str, action: str, subject: str, **detail: Any) -> None:
        """Write an event of which the store does not know by itself."""
        with self._database.write() as connection:
            append(connection, self._database.clock(), actor, action, subject, **detail)
