"""The queue: workers claim submissions for a time, and only the last claim may end one.

A claim is a lease with a number. Heartbeats prolong it; when it runs out, the submission is given
to another worker under the next number, and whatever the first one still says is refused. So every
submission ends exactly once, however its workers die.
"""

from __future__ import annotations

import io
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from leaderboard.scoring import Scored
from leaderboard.store import ranking
from leaderboard.store.artefacts import Artefacts
from leaderboard.store.database import Database
from leaderboard.store.errors import StaleLease, WrongTask
from leaderboard.store.events import append, lock
from leaderboard.store.intake import keep_files
from leaderboard.store.records import Job
from leaderboard.store.tables import boards, files, submissions
from neurotasks.registry import load
from neurotasks.submission.manifest import Manifest

__all__ = ["ATTEMPTS", "Queue"]

ATTEMPTS = 3
"""How many workers may die over a submission before it has failed."""

_REASON = 1000  # characters


class Queue:
    """The submissions that wait for a worker, or have one.

    Args:
        database: Where they are.
        kept: Where their files are.
        attempts: How many workers may die over one.
    """

    def __init__(self, database: Database, kept: Artefacts, attempts: int = ATTEMPTS) -> None:
        self._database, self._kept, self._attempts = database, kept, attempts

    def claim(self, worker: str, seconds: float = 60.0) -> Job | None:
        """Take the submission that has waited longest; None where none waits.

        Args:
            worker: Who takes it.
            seconds: How long the lease is without a heartbeat.
        """
        if not self.waiting():  # most looks find nothing, and need no writer's turn
            return None
        now = self._database.clock()
        with self._database.write() as connection:
            row = connection.execute(
                sa.select(submissions.c.id, submissions.c.attempts, submissions.c.lease)
                .where(submissions.c.due <= now)
                .order_by(submissions.c.due, submissions.c.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            ).one_or_none()
            if row is None:
                return None
            if row.attempts < self._attempts:
                return self._lease(connection, row.id, worker, seconds, now)
            reason = f"{row.attempts} workers ended while they scored it; ask who runs the board"
            _end(connection, row.id, row.lease, state="failed", reason=reason, finished=now)
            append(connection, now, f"worker {worker}", "fail", f"submission {row.id}",
                   reason=reason)  # fmt: skip
        return self.claim(worker, seconds)

    def _lease(
        self, connection: Connection, submission: int, worker: str, seconds: float, now: float
    ) -> Job:
        connection.execute(
            sa.update(submissions)
            .where(submissions.c.id == submission)
            .values(
                state="running", worker=worker, due=now + seconds,
                attempts=submissions.c.attempts + 1, lease=submissions.c.lease + 1,
            )
        )  # fmt: skip
        row = connection.execute(
            sa.select(submissions, boards.c.secret)
            .join_from(submissions, boards)
            .where(submissions.c.id == submission)
        ).one()
        append(connection, now, f"worker {worker}", "begin", f"submission {submission}",
               lease=row.lease)  # fmt: skip
        held = sa.select(files.c.name, files.c.sha256).where(
            files.c.submission == submission, files.c.stage.is_(None)
        )
        return Job(
            submission=submission, board=row.board, lease=row.lease, worker=worker, until=row.due,
            manifest=Manifest.from_json(row.manifest), secret=row.secret,
            files={row.name: row.sha256 for row in connection.execute(held)},
        )  # fmt: skip

    def waiting(self) -> int:
        """Return how many submissions could be claimed now."""
        query = sa.select(sa.func.count()).where(submissions.c.due <= self._database.clock())
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def running(self) -> int:
        """Return how many submissions have a worker now."""
        query = sa.select(sa.func.count()).where(submissions.c.due > self._database.clock())
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def heartbeat(self, job: Job, seconds: float = 60.0) -> bool:
        """Prolong a lease; return whether it was still the last one."""
        until = self._database.clock() + seconds
        with self._database.write() as connection:
            return _change(connection, job.submission, job.lease, due=until)

    def expire(self, worker: str) -> None:
        """End the lease of a worker that is known to have died: what it had waits again at once.

        The attempt counts, so that a submission which kills its workers fails in the end.
        """
        had = sa.and_(submissions.c.worker == worker, submissions.c.state == "running")
        with self._database.write() as connection:
            connection.execute(sa.update(submissions).where(had).values(due=self._database.clock()))

    def release(self, job: Job) -> None:
        """Give a submission back: it waits again, and the attempt does not count.

        Raises:
            StaleLease: Another worker has it, or it has ended.
        """
        now = self._database.clock()
        with self._database.write() as connection:
            attempts = submissions.c.attempts - 1
            _end(connection, job.submission, job.lease, state="queued", due=now, attempts=attempts)
            append(connection, now, f"worker {job.worker}", "release",
                   f"submission {job.submission}", lease=job.lease)  # fmt: skip

    def fail(self, job: Job, reason: str) -> None:
        """End a submission that cannot be scored.

        Args:
            job: As it was claimed.
            reason: Why, for the one who handed it in; kept in one line.

        Raises:
            StaleLease: Another worker has it, or it has ended.
        """
        now, told = self._database.clock(), _line(reason)
        with self._database.write() as connection:
            _end(connection, job.submission, job.lease, state="failed", reason=told, finished=now)
            append(connection, now, f"worker {job.worker}", "fail",
                   f"submission {job.submission}", lease=job.lease, reason=told)  # fmt: skip

    def finish(self, job: Job, scored: Scored) -> None:
        """End a submission: verified with what it earned, or failed with the reason.

        Raises:
            StaleLease: Another worker has it, or it has ended.
            WrongTask: This worker scored it under another card.
        """
        if scored.reason:
            self.fail(job, scored.reason)
            return
        card = load(job.manifest.task).card
        if card.hash != job.manifest.card:
            raise WrongTask(
                f"this worker has card {card.hash} of {card.id}, the submission "
                f"{job.manifest.card}; start it with the suite of the board"
            )
        kept, stages = {}, {}
        for stage, items in scored.items.items():
            name = f"items-{stage}.npy"
            kept[name], stages[name] = self._kept.put(io.BytesIO(ranking.packed(items))), stage
        now = self._database.clock()
        with self._database.write() as connection:
            _end(connection, job.submission, job.lease, state="verified", finished=now)
            lock(connection)
            if kept:
                keep_files(connection, job.submission, kept, now, stages)
            ranking.settle(
                connection, job.submission, card, scored.stages, now, f"worker {job.worker}"
            )


def _end(connection: Connection, submission: int, lease: int, **values: Any) -> None:
    """Change a submission and leave it with nobody.

    Raises:
        StaleLease: This was not its last lease, or it has ended.
    """
    if not _change(connection, submission, lease, **{"due": None, "worker": "", **values}):
        raise StaleLease(
            f"lease {lease} of submission {submission} has run out and another was given; "
            "drop this result"
        )


def _change(connection: Connection, submission: int, lease: int, **values: Any) -> bool:
    mine = sa.and_(
        submissions.c.id == submission,
        submissions.c.lease == lease,
        submissions.c.state == "running",
    )
    return bool(connection.execute(sa.update(submissions).where(mine).values(values)).rowcount)


def _line(text: str) -> str:
    """Return a text in one line of bounded length, without what no page can show."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(shown.split())[:_REASON] or "no reason was given"
