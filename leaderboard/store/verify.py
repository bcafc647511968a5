"""What was changed behind the store's back: the log against itself, the rows against the log."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy import Connection

from leaderboard.store import ranking
from leaderboard.store.artefacts import Artefacts
from leaderboard.store.errors import CorruptArtefact
from leaderboard.store.events import chain_faults
from leaderboard.store.records import Head
from leaderboard.store.tables import artefacts, boards, events, sizes, standings, submissions

__all__ = ["faults"]

_ENDS = {"verify": "verified", "claim": "self-reported", "fail": "failed"}
_ACTIONS = (*_ENDS, "receive", "begin", "release")
_STATES = _ENDS | {"receive": "queued", "release": "queued", "begin": "running"}


def faults(
    connection: Connection, kept: Artefacts | None, anchor: Head | None = None
) -> Iterator[str]:
    """Yield every fault that can be found.

    Args:
        connection: To read from.
        kept: The files, to be read through; None to leave them out.
        anchor: The end of the log as it was kept elsewhere.
    """
    yield from chain_faults(connection, anchor)
    yield from _submission_faults(connection)
    yield from _board_faults(connection)
    yield from _standing_faults(connection)
    if kept is not None:
        for sha256 in connection.execute(sa.select(artefacts.c.sha256)).scalars().all():
            try:
                kept.check(sha256)
            except CorruptArtefact as error:
                yield str(error)


def _submission_faults(connection: Connection) -> Iterator[str]:
    """Yield the submissions that are not as the log tells, and those that are gone."""
    told: dict[str, tuple[str, str, str]] = {}  # last state, manifest and results
    query = sa.select(events.c.subject, events.c.action, events.c.detail)
    for row in connection.execute(query.where(events.c.action.in_(_ACTIONS)).order_by(events.c.id)):
        detail, (_, manifest, results) = json.loads(row.detail), told.get(row.subject, ("", "", ""))
        told[row.subject] = (
            _STATES[row.action],
            detail.get("manifest", manifest),
            detail.get("results", results),
        )
    columns = [submissions.c[name] for name in ("id", "state", "manifest")]
    for row in connection.execute(sa.select(*columns)).all():
        name = f"submission {row.id}"
        state, manifest, results = told.pop(name, ("", "", ""))
        if row.state != state:
            yield f"{name} is {row.state!r}; the log says {state or 'nothing of it'!r}"
        if hashlib.sha256(row.manifest.encode()).hexdigest() != manifest:
            yield f"the manifest of {name} is not the one that was handed in"
        if results and ranking.digest(connection, row.id) != results:
            yield f"the results of {name} are not those that were measured"
    yield from (f"{name} is gone; the log tells of it" for name in told)


def _board_faults(connection: Connection) -> Iterator[str]:
    query = sa.select(events.c.detail).where(events.c.action == "open board")
    opened = {told["name"]: told for told in map(json.loads, connection.execute(query).scalars())}
    for row in connection.execute(sa.select(boards)):
        told = opened.pop(row.name, {})
        if hashlib.sha256(row.secret.encode()).hexdigest() != told.get("commitment"):
            yield f"the secret of board {row.name!r} is not the one that it was opened with"
        fixed = ("title", "tasks", "opens", "valid_quota", "total_quota", "minimum_seeds")
        changed = [name for name in fixed if getattr(row, name) != told.get(name)]
        if changed:
            yield f"board {row.name!r} was changed in {', '.join(changed)}"
    yield from (f"board {name!r} is gone; the log tells of it" for name in opened)


def _standing_faults(connection: Connection) -> Iterator[str]:
    """Yield rows of tables that do not show what their submission earned."""
    query = (
        sa.select(standings.c.task, standings.c.agent, standings.c.submission)
        .join_from(standings, submissions, standings.c.submission == submissions.c.id)
        .where(
            (standings.c.score != submissions.c.score)
            | (standings.c.task != submissions.c.task)
            | (standings.c.card != submissions.c.card)
            | (standings.c.agent != submissions.c.agent)
            | (standings.c.account != submissions.c.account)
            | (submissions.c.state.not_in(("verified", "self-reported")))
            | (submissions.c.released == 0)
        )
    )
    for row in connection.execute(query):
        yield f"{row.agent!r} on {row.task} is not shown as submission {row.submission} earned"
    key = [standings.c[name] for name in ("board", "task", "card", "list")]
    counted = sa.select(*key, sa.func.count()).group_by(*key)
    told = sa.select(*(sizes.c[name] for name in ("board", "task", "card", "list", "rows")))
    if set(connection.execute(counted).all()) != set(connection.execute(told).all()):
        yield "the sizes of the tables are not those that their rows have"
