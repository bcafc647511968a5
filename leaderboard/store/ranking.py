"""Where a scored submission stands: its score is entered when it ends, so that pages only read.

A table is a task under one card on one board. It stands on the private stage where the data are
generated, else on the test stage, whose scores the ladder releases. An agent of an account has one
row in each list, that of the best score it has shown.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy import Connection, Row

from leaderboard.statistics import iqm_interval, ladder
from leaderboard.store.events import append, canonical
from leaderboard.store.tables import (
    boards,
    records,
    results,
    sizes,
    standings,
    submissions,
    suites,
    tasks,
)
from neurotasks.card import TaskCard
from neurotasks.results import StageResult
from neurotasks.scores import Interval
from neurotasks.submission.manifest import Manifest

__all__ = ["digest", "earned_suites", "packed", "renew_suites", "settle", "unpacked"]


def settle(
    connection: Connection,
    submission: int,
    card: TaskCard,
    stages: Mapping[str, StageResult],
    now: float,
    actor: str = "",
) -> None:
    """Keep what a submission earned and enter it into its table; the log is locked.

    Args:
        connection: Of the transaction.
        submission: Its id.
        card: Of its task.
        stages: What was measured, or claimed.
        now: In UNIX seconds.
        actor: Who measured; empty for a claim.
    """
    row = connection.execute(
        sa.select(submissions, boards.c.minimum_seeds)
        .join_from(submissions, boards)
        .where(submissions.c.id == submission)
    ).one()
    claimed = row.kind == "claim"
    stage = "private" if "private" in stages else "test"
    reason = "" if claimed else _no_rank(row, card, stage)
    list_ = "self-reported" if claimed else "unranked" if reason else "ranked"
    score = stages[stage].score_interval(card, stage)
    _keep_results(connection, row, stages)
    connection.execute(
        sa.update(submissions)
        .where(submissions.c.id == submission)
        .values(
            state="self-reported" if claimed else "verified", reason=reason, stage=stage,
            score=score.mean, summary=_summary(card, stages), finished=now, due=None,
            details=json.dumps(dict(stages["test"].extra), allow_nan=False),  # parts keep order
        )
    )  # fmt: skip
    released = _enter(connection, row, card, list_, stage, score)
    if released:
        _release(connection, row, list_, score.mean, now)
    append(connection, now, actor or f"account {row.account}", "claim" if claimed else "verify",
           f"submission {submission}", results=digest(connection, submission),
           list=list_, released=released)  # fmt: skip


def _no_rank(row: Row[Any], card: TaskCard, stage: str) -> str:
    """Return why a verified submission has no rank, or nothing."""
    if row.seeds < row.minimum_seeds:
        return f"{row.seeds} seeds; with {row.minimum_seeds} or more it has a rank"
    if card.data == "generated" and stage != "private":
        return f"{row.format} cannot answer the private stage; a model has a rank"
    return ""


def _keep_results(connection: Connection, row: Row[Any], stages: Mapping[str, StageResult]) -> None:
    seeds = Manifest.from_json(row.manifest).seeds
    rows = []
    for name, stage in stages.items():
        errors = stage.error or (None,) * len(seeds)
        measured = zip(seeds, stage.raw, stage.score, errors, strict=True)
        for place, (seed, raw, score, error) in enumerate(measured):
            rows.append({"submission": row.id, "stage": name, "seed": seed, "place": place,
                         "raw": raw, "score": score, "error": error})  # fmt: skip
    connection.execute(sa.insert(results), rows)


def _summary(card: TaskCard, stages: Mapping[str, StageResult]) -> str:
    def ends(interval: Interval) -> list[float]:
        return [interval.mean, interval.low, interval.high, interval.runs]

    return canonical(
        {
            name: {
                "raw": ends(stage.raw_interval(card)),
                "score": ends(stage.score_interval(card, name)),
            }
            for name, stage in stages.items()
        }
    )


def _key(row: Row[Any], list_: str) -> dict[str, Any]:
    told = {name: getattr(row, name) for name in ("board", "task", "card", "account", "agent")}
    return {**told, "list": list_}


def _enter(
    connection: Connection, row: Row[Any], card: TaskCard, list_: str, stage: str, score: Interval
) -> bool:
    """Enter a score where it is the agent's best; return whether it may be shown."""
    key = _key(row, list_)
    same = sa.and_(*(standings.c[name] == value for name, value in key.items()))
    shown = connection.execute(sa.select(standings.c.score).where(same)).scalar()
    if card.data == "generated" or list_ == "self-reported":
        released, better = True, shown is None or score.mean > shown
    else:
        released = better = ladder(shown, score.mean, card.stage("test").trials) != shown
    if better:
        table = {name: key[name] for name in ("board", "task", "card", "list")}
        _note(connection, table, row.id, added=int(shown is None))
        connection.execute(sa.delete(standings).where(same))
        connection.execute(
            sa.insert(standings).values(
                **key, submission=row.id, stage=stage, score=score.mean, low=score.low,
                high=score.high,
            )
        )  # fmt: skip
    return released


def _note(connection: Connection, table: dict[str, Any], submission: int, added: int) -> None:
    """Note which submission a table got last, and count its rows."""
    same = sa.and_(*(sizes.c[name] == value for name, value in table.items()))
    changed = sa.update(sizes).where(same).values(rows=sizes.c.rows + added, last=submission)
    if not connection.execute(changed).rowcount:
        connection.execute(sa.insert(sizes).values(**table, rows=1, last=submission))


def _release(connection: Connection, row: Row[Any], list_: str, score: float, now: float) -> None:
    """Let a score be shown: note it if it is the table's best, and renew the agent's suite."""
    connection.execute(sa.update(submissions).where(submissions.c.id == row.id).values(released=1))
    if list_ != "ranked":
        return
    best = connection.execute(
        sa.select(records.c.score)
        .join_from(records, submissions)
        .where(
            records.c.board == row.board, submissions.c.task == row.task,
            submissions.c.card == row.card,
        )
        .order_by(records.c.id.desc())
        .limit(1)
    ).scalar()  # fmt: skip
    if best is None or score > best:
        connection.execute(
            sa.insert(records).values(
                board=row.board, submission=row.id, score=score, previous=best, created=now
            )
        )
    _renew_suite(connection, row.board, row.account, row.agent)


def renew_suites(connection: Connection, task: str) -> None:
    """Renew the suite scores of all who stand on a task that has a new card."""
    query = (
        sa.select(standings.c.board, standings.c.account, standings.c.agent)
        .where(standings.c.task == task, standings.c.list == "ranked")
        .distinct()
    )
    for board, account, agent in connection.execute(query).all():
        _renew_suite(connection, board, account, agent)


def _renew_suite(connection: Connection, board: str, account: int, agent: str) -> None:
    same = {"board": board, "account": account, "agent": agent}
    connection.execute(
        sa.delete(suites).where(*(suites.c[name] == value for name, value in same.items()))
    )
    for row in earned_suites(connection, **same):
        connection.execute(sa.insert(suites).values(**row))


def earned_suites(connection: Connection, **only: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of the suite table that follow from what is ranked under the newest cards.

    Args:
        connection: Of the transaction.
        only: Values that the columns of `standings` must have.
    """
    newest = (
        sa.select(tasks.c.card)
        .where(tasks.c.id == standings.c.task)
        .order_by(tasks.c.created.desc())
        .limit(1)
        .scalar_subquery()
    )
    key = [standings.c[name] for name in ("board", "account", "agent")]
    query = (
        sa.select(*key, standings.c.task, results.c.score)
        .join_from(
            standings,
            results,
            sa.and_(
                results.c.submission == standings.c.submission, results.c.stage == standings.c.stage
            ),
        )
        .where(*(standings.c[name] == value for name, value in only.items()))
        .where(standings.c.list == "ranked", standings.c.card == newest)
        .order_by(*key, results.c.place)
    )
    for same, rows in groupby(connection.execute(query), key=lambda row: row[:3]):
        runs: dict[str, list[float]] = {}
        for row in rows:
            runs.setdefault(row.task, []).append(row.score)
        score = iqm_interval([runs[task] for task in sorted(runs)])  # no database's own order
        named = dict(zip(("board", "account", "agent"), same, strict=True))
        yield {**named, "tasks": len(runs), "score": score.mean, "low": score.low,
               "high": score.high}  # fmt: skip


def digest(connection: Connection, submission: int) -> str:
    """Return the SHA-256 of all that a submission earned: the log holds it too."""
    query = (
        sa.select(results)
        .where(results.c.submission == submission)
        .order_by(results.c.stage, results.c.place)
    )
    told = [list(row) for row in connection.execute(query)]
    shown = [submissions.c[name] for name in ("stage", "score", "released", "summary", "details")]
    whole = sa.select(*shown).where(submissions.c.id == submission)
    told.append(list(connection.execute(whole).one()))
    return hashlib.sha256(canonical(told).encode()).hexdigest()


def packed(items: NDArray[np.float32]) -> bytes:
    """Return the raw metric of each trial of each seed as the content of a file."""
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(items, dtype=np.float32), allow_pickle=False)
    return file.getvalue()


def unpacked(content: bytes) -> NDArray[np.float32]:
    """Return what `packed` packed."""
    items: NDArray[np.float32] = np.load(io.BytesIO(content), allow_pickle=False)
    return items
