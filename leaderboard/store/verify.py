"""What was changed behind the store's back: the log against itself, the rows against the log."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from operator import eq
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from leaderboard.store import ranking
from leaderboard.store.artefacts import Artefacts
from leaderboard.store.errors import CorruptArtefact
from leaderboard.store.events import chain_faults
from leaderboard.store.records import Head
from leaderboard.store.tables import (
    artefacts,
    boards,
    events,
    records,
    sizes,
    standings,
    submissions,
    suites,
)

__all__ = ["faults"]

_ENDS = {"verify": "verified", "claim": "self-reported", "fail": "failed"}
_ACTIONS = (*_ENDS, "receive", "begin", "release")
_KEY = ("board", "task", "card", "list", "account", "agent")  # of a row of a table
_VALUES = ("submission", "stage", "score", "low", "high")
_STATES = _ENDS | {"receive": "queued", "release": "queued", "begin": "running"}

_Values: TypeAlias = tuple[Any, ...]


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
    for row, detail in _told(connection, *_ACTIONS):
        _, manifest, results = told.get(row.subject, ("", "", ""))
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
    """Yield the boards that are not as they were opened and closed, and those that are gone."""
    told: dict[str, dict[str, Any]] = {}
    for row, detail in _told(connection, "open board", "close board"):
        facts = detail if row.action == "open board" else {"closes": row.at}
        told[row.subject] = told.get(row.subject, {}) | facts
    for row in connection.execute(sa.select(boards)):
        facts = told.pop(f"board {row.name}", {})
        if hashlib.sha256(row.secret.encode()).hexdigest() != facts.get("commitment"):
            yield f"the secret of board {row.name!r} is not the one that it was opened with"
        held = {name: value for name, value in row._asdict().items() if name != "secret"}
        changed = [name for name, value in held.items() if value != facts.get(name)]
        if changed:
            yield f"board {row.name!r} was changed in {', '.join(changed)}"
    yield from (f"{name} is gone; the log tells of it" for name in told)


def _standing_faults(connection: Connection) -> Iterator[str]:
    """Yield rows of tables, records and suites that are not those that submissions earned."""
    shown, best = _earned(connection)
    columns = [standings.c[name] for name in (*_KEY, *_VALUES)]
    rows = {tuple(row[: len(_KEY)]): tuple(row[len(_KEY) :])
            for row in connection.execute(sa.select(*columns))}  # fmt: skip
    for (board, task, _, list_, _, agent), fault in _differences(shown, rows):
        yield f"{agent!r} on {task}, {list_} on board {board!r}, {fault}"
    set_: dict[int, list[_Values]] = {}
    columns = [records.c[name] for name in ("submission", "board", "score", "previous", "created")]
    for row in connection.execute(sa.select(*columns)):
        set_.setdefault(row.submission, []).append(tuple(row[1:]))
    for submission, fault in _differences(best, set_):
        yield f"the record of submission {submission} {fault}"
    yield from _suite_faults(connection)
    key = [standings.c[name] for name in ("board", "task", "card", "list")]
    counted = sa.select(*key, sa.func.count()).group_by(*key)
    told = sa.select(*(sizes.c[name] for name in ("board", "task", "card", "list", "rows")))
    if set(connection.execute(counted).all()) != set(connection.execute(told).all()):
        yield "the sizes of the tables are not those that their rows have"


def _earned(connection: Connection) -> tuple[dict[Any, _Values], dict[int, list[_Values]]]:
    """Return the rows of tables, and the records, that follow from the log and its submissions."""
    found = {f"submission {row.id}": row for row in connection.execute(sa.select(submissions))}
    shown: dict[Any, _Values] = {}
    best: dict[Any, float] = {}
    set_: dict[int, list[_Values]] = {}
    for event, detail in _told(connection, "verify", "claim"):
        row, list_ = found.get(event.subject), detail.get("list")
        if row is None or row.score is None or not detail.get("released"):
            continue
        table = (row.board, row.task, row.card)
        key = (*table, list_, row.account, row.agent)
        if key not in shown or row.score > shown[key][2]:
            summary = _object(row.summary).get(row.stage, {})
            shown[key] = (row.id, row.stage, row.score, *summary.get("score", ())[1:3])
        if list_ == "ranked" and row.score > best.get(table, -math.inf):
            set_[row.id] = [(row.board, row.score, best.get(table), event.at)]
            best[table] = row.score
    return shown, set_


def _suite_faults(connection: Connection) -> Iterator[str]:
    def rows(told: Iterable[Any]) -> dict[Any, _Values]:
        key, values = ("board", "account", "agent"), ("tasks", "score", "low", "high")
        return {tuple(row[name] for name in key): tuple(row[name] for name in values)
                for row in told}  # fmt: skip

    def near(one: _Values, other: _Values) -> bool:  # another processor rounds otherwise
        return all(map(partial(math.isclose, rel_tol=1e-9, abs_tol=1e-12), one, other))

    told = rows(ranking.earned_suites(connection))
    held = rows(connection.execute(sa.select(suites)).mappings())
    for (board, _, agent), fault in _differences(told, held, near):
        yield f"the suite score of {agent!r} on board {board!r} {fault}"


def _differences(
    told: Mapping[Any, Any], held: Mapping[Any, Any], same: Callable[[Any, Any], bool] = eq
) -> Iterator[tuple[Any, str]]:
    """Yield each key whose value is not the one that it should have, and in what way."""
    for key in sorted(told.keys() | held.keys()):
        if key not in held:
            yield key, "is missing"
        elif key not in told:
            yield key, "was never earned"
        elif not same(told[key], held[key]):
            yield key, "is not as it was earned"


def _told(connection: Connection, *actions: str) -> Iterator[tuple[Row[Any], dict[str, Any]]]:
    """Yield the events of some actions, each with its detail."""
    query = sa.select(events).where(events.c.action.in_(actions)).order_by(events.c.id)
    for row in connection.execute(query):
        yield row, _object(row.detail)


def _object(text: str) -> dict[str, Any]:
    """Return what a JSON text tells; nothing of one that was broken, of which a hash tells."""
    try:
        told = json.loads(text)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
