"""Intake: which submissions a board takes, and how they are written down."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from leaderboard.collect import ANCHORS
from leaderboard.store.boards import board_of, check_open, insert_task
from leaderboard.store.errors import (
    Denied,
    DuplicateSubmission,
    QuotaExceeded,
    Refused,
    WrongTask,
)
from leaderboard.store.events import append, canonical
from leaderboard.store.records import Account, BoardRecord, Usage
from leaderboard.store.tables import artefacts, files, submissions
from neurotasks.card import TaskCard
from neurotasks.registry import load
from neurotasks.submission.manifest import Manifest

__all__ = ["CLAIM", "MODEL", "admit", "insert", "keep_files", "usage"]

MODEL, CLAIM = "model", "claim"


def admit(
    connection: Connection, board: str, account: Account, manifest: Manifest, kind: str, now: float
) -> TaskCard:
    """Return the card of a submission that the board takes.

    Args:
        connection: Of the transaction.
        board: Name of the board.
        account: Who hands it in.
        manifest: What it says of itself.
        kind: `MODEL` or `CLAIM`.
        now: In UNIX seconds.

    Raises:
        UnknownBoard: There is no such board.
        Refused: Why the board does not take it.
        Denied: The account is of another board.
    """
    found = board_of(connection, board)
    if account.board not in (None, board):
        raise Denied(f"{account.name!r} is an account of board {account.board!r}, not {board!r}")
    check_open(found, now)
    card = _card(found, manifest)
    content = _content(manifest, kind)
    first = connection.execute(
        sa.select(submissions.c.id).where(
            submissions.c.board == board, submissions.c.task == manifest.task,
            submissions.c.account == account.id, submissions.c.kind == kind,
            submissions.c.content == content, submissions.c.state != "failed",
        )
    ).scalar()  # fmt: skip
    if first is not None:
        raise DuplicateSubmission(f"this was handed in before, as submission {first}", first)
    used = usage(connection, board, account.id, manifest.task, kind)
    if used.valid >= found.valid_quota or used.total >= found.total_quota:
        raise QuotaExceeded(
            f"{account.name!r} has handed in {used.total} to {manifest.task}, {used.valid} of "
            f"them valid; board {board!r} takes {found.total_quota}, "
            f"{found.valid_quota} of them valid"
        )
    return card


def insert(
    connection: Connection, board: str, account: Account, manifest: Manifest, kind: str, now: float
) -> int:
    """Keep an admitted submission, into the queue if it has a model; return its id."""
    card = load(manifest.task).card
    content = _content(manifest, kind)
    insert_task(connection, card, now)
    text = manifest.to_json()
    made: int = connection.execute(
        sa.insert(submissions).values(
            board=board, account=account.id, task=manifest.task, card=manifest.card,
            agent=manifest.agent, format=manifest.format, kind=kind, state="queued", reason="",
            released=0, content=content, manifest=text, seeds=len(manifest.seeds),
            parameters=manifest.parameters, samples=manifest.samples, flops=manifest.flops,
            cpu_seconds=manifest.cpu_seconds, energy_kwh=manifest.energy_kwh, summary="{}",
            details="{}", created=now, attempts=0, lease=0, worker="",
            due=now if kind == MODEL else None,
        ).returning(submissions.c.id)
    ).scalar_one()  # fmt: skip
    digest = hashlib.sha256(text.encode()).hexdigest()
    append(connection, now, f"account {account.id}", "receive", f"submission {made}",
           board=board, manifest=digest, kind=kind)  # fmt: skip
    return made


def keep_files(
    connection: Connection,
    submission: int,
    kept: Mapping[str, tuple[str, int]],
    now: float,
    stages: Mapping[str, str] | None = None,
) -> None:
    """Write down which files belong to a submission; the log is locked.

    Args:
        connection: Of the transaction.
        submission: Its id.
        kept: SHA-256 and size of each file, by name.
        now: In UNIX seconds.
        stages: The stage of each file that holds measured items, by name.
    """
    wanted = {sha256 for sha256, _ in kept.values()}
    query = sa.select(artefacts.c.sha256).where(artefacts.c.sha256.in_(wanted))
    known = set(connection.execute(query).scalars())
    new = {sha256: size for sha256, size in kept.values() if sha256 not in known}
    if new:
        rows = [{"sha256": sha, "size": size, "created": now} for sha, size in new.items()]
        connection.execute(sa.insert(artefacts), rows)
    rows = [
        {"submission": submission, "name": name, "stage": (stages or {}).get(name), "sha256": sha}
        for name, (sha, _) in kept.items()
    ]
    connection.execute(sa.insert(files), rows)


def usage(connection: Connection, board: str, account: int, task: str, kind: str) -> Usage:
    """Return how many submissions of a kind an account has handed in to a task of a board."""
    valid = sa.func.sum(sa.case((submissions.c.state == "failed", 0), else_=1))
    row = connection.execute(
        sa.select(sa.func.coalesce(valid, 0), sa.func.count()).where(
            submissions.c.board == board, submissions.c.task == task,
            submissions.c.account == account, submissions.c.kind == kind,
        )
    ).one()  # fmt: skip
    return Usage(int(row[0]), int(row[1]))


def _card(board: BoardRecord, manifest: Manifest) -> TaskCard:
    """Return the present card of the task of a submission.

    Raises:
        WrongTask: The task is not on the board, or the submission was earned under another card.
        UnknownTask: There is no such task.
    """
    card = load(manifest.task).card
    if manifest.task != card.id or not board.takes(card.id):
        raise WrongTask(
            f"{manifest.task} is not on board {board.name!r}, which takes {board.tasks}"
        )
    if manifest.card != card.hash:
        raise WrongTask(
            f"this was earned under card {manifest.card} of {card.id}, whose card is now "
            f"{card.hash}; run the agent again with this version of the suite"
        )
    if manifest.agent in ANCHORS:
        raise Refused(f"the name {manifest.agent!r} is that of a mark on the scale; choose another")
    unknown = sorted(set(manifest.claimed) - set(card.evaluated))
    if unknown:
        raise Refused(f"{card.id} has no stage {unknown}; leave it out of 'claimed'")
    return card


def _content(manifest: Manifest, kind: str) -> str:
    """Return the SHA-256 of all that a score depends on; of a claim it is what it claims."""
    told: list[Any] = [manifest.task, manifest.card, manifest.format, dict(manifest.files)]
    told += [dict(manifest.architecture), list(manifest.seeds)]
    if kind == CLAIM:
        told += [manifest.agent, {stage: list(raw) for stage, raw in manifest.claimed.items()}]
    return hashlib.sha256(canonical(told).encode()).hexdigest()
