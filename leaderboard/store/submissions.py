"""Submissions: taking them in, and reading what became of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy import Connection, Row

from leaderboard.store import ranking
from leaderboard.store.artefacts import Artefacts
from leaderboard.store.database import Database
from leaderboard.store.errors import UnknownSubmission
from leaderboard.store.events import lock
from leaderboard.store.intake import CLAIM, MODEL, admit, insert, keep_files, usage
from leaderboard.store.records import Account, SubmissionRecord, Usage
from leaderboard.store.tables import accounts, files, results, submissions
from neurotasks.errors import CorruptSubmission
from neurotasks.results import StageResult
from neurotasks.scores import Interval, score
from neurotasks.submission.manifest import Manifest

__all__ = ["Submissions", "summary_of"]

_SELECT = sa.select(submissions, accounts.c.name.label("author")).join_from(submissions, accounts)


class Submissions:
    """The submissions of a store.

    Args:
        database: Where they are.
        kept: Where their files are.
    """

    def __init__(self, database: Database, kept: Artefacts) -> None:
        self._database, self._kept = database, kept

    def receive(
        self, board: str, account: Account, manifest: Manifest, sources: Mapping[str, Path]
    ) -> SubmissionRecord:
        """Take in a submission and put it into the queue.

        Args:
            board: Name of the board.
            account: Who hands it in, as `Accounts.authenticate` returned it.
            manifest: What it says of itself.
            sources: Where each file that the manifest names is now; it is copied.

        Raises:
            UnknownBoard: There is no such board.
            Denied: The account is of another board.
            BoardClosed: The board is not open yet, or no more.
            WrongTask: The task is not on the board, or has another card by now.
            QuotaExceeded: The account has handed in too many.
            DuplicateSubmission: It handed in the same before.
            CorruptSubmission: The files are not those that the manifest names.
        """
        if set(sources) != set(manifest.files):
            raise CorruptSubmission(
                f"the files are {sorted(sources)[:5]}, the manifest names "
                f"{sorted(manifest.files)[:5]}; pack the submission again"
            )
        with self._database.read() as connection:  # before its files fill the disk
            admit(connection, board, account, manifest, MODEL, self._database.clock())
        kept = self._keep(manifest, sources)
        with self._database.write() as connection:
            lock(connection)
            now = self._database.clock()
            admit(connection, board, account, manifest, MODEL, now)
            row = insert(connection, board, account, manifest, MODEL, now)
            keep_files(connection, row, kept, now)
            return _record(_one(connection, row))

    def report(self, board: str, account: Account, manifest: Manifest) -> SubmissionRecord:
        """Take in a claim without a model: it stands in a list of its own, as self-reported.

        Args:
            board: Name of the board.
            account: Who hands it in.
            manifest: What it says of itself; `claimed` must hold the stage "test".

        Raises:
            CorruptSubmission: It claims nothing of the stage "test".
            StoreError: As of `receive`.
        """
        if not manifest.claimed.get("test"):
            raise CorruptSubmission("the manifest claims no raw metric of the stage 'test'; add it")
        with self._database.write() as connection:
            lock(connection)
            now = self._database.clock()
            card = admit(connection, board, account, manifest, CLAIM, now)
            row = insert(connection, board, account, manifest, CLAIM, now)
            stages = {
                name: StageResult(tuple(raw), tuple(score(v, card.stage(name)) for v in raw))
                for name, raw in manifest.claimed.items()
            }
            ranking.settle(connection, row, card, stages, now)
            return _record(_one(connection, row))

    def usage(self, board: str, account: int, task: str) -> Usage:
        """Return how many models an account has handed in to a task of a board."""
        with self._database.read() as connection:
            return usage(connection, board, account, task, MODEL)

    def get(self, submission: int, *, truth: bool = False) -> SubmissionRecord:
        """Return a submission.

        Args:
            submission: Its id.
            truth: Whether to tell a score that was not released: never to the one who handed in.

        Raises:
            UnknownSubmission: There is none of this id.
        """
        with self._database.read() as connection:
            return _record(_one(connection, submission), truth=truth)

    def page(
        self,
        board: str,
        *,
        agent: str | None = None,
        account: int | None = None,
        state: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Sequence[SubmissionRecord]:
        """Return submissions of a board, newest first.

        Args:
            board: Name of the board.
            agent: Only those of this agent.
            account: Only those of this account.
            state: Only those in this state.
            before: Only those with a lower id: that of the last one of the page before.
            limit: How many at most.
        """
        wanted = {"board": board, "agent": agent, "account": account, "state": state}
        query = _SELECT.order_by(submissions.c.id.desc()).limit(limit)
        for name, value in wanted.items():
            if value is not None:
                query = query.where(submissions.c[name] == value)
        if before is not None:
            query = query.where(submissions.c.id < before)
        with self._database.read() as connection:
            return [_record(row) for row in connection.execute(query)]

    def stages(
        self, wanted: Iterable[int], *, truth: bool = False
    ) -> dict[int, dict[str, StageResult]]:
        """Return what was measured, or claimed, by submission and stage, a number for each seed.

        Args:
            wanted: Ids of the submissions; those without a released score are left out.
            truth: Whether to tell those that were not released.
        """
        query = (
            sa.select(results, submissions.c.details)
            .join_from(results, submissions)
            .where(results.c.submission.in_(list(wanted)))
            .order_by(results.c.submission, results.c.stage, results.c.place)
        )
        if not truth:
            query = query.where(submissions.c.released == 1)
        rows: dict[tuple[int, str], list[Any]] = {}
        with self._database.read() as connection:
            for row in connection.execute(query):
                rows.setdefault((row.submission, row.stage), []).append(row)
        found: dict[int, dict[str, StageResult]] = {}
        for (submission, stage), of_seeds in rows.items():
            error = tuple(row.error for row in of_seeds if row.error is not None)
            raw, scores = tuple(row.raw for row in of_seeds), tuple(row.score for row in of_seeds)
            extra = json.loads(of_seeds[0].details) if stage == "test" else {}
            found.setdefault(submission, {})[stage] = StageResult(raw, scores, extra, error)
        return found

    def items(self, submission: int, stage: str) -> NDArray[np.float32]:
        """Return the raw metric of each trial of each seed, (S, B).

        Raises:
            UnknownSubmission: There is none, or none with released items of this stage.
            CorruptArtefact: The file that holds them is missing or changed.
        """
        query = (
            sa.select(files.c.sha256)
            .join_from(files, submissions)
            .where(files.c.submission == submission, files.c.stage == stage)
            .where(submissions.c.released == 1)
        )
        with self._database.read() as connection:
            sha256 = connection.execute(query).scalar_one_or_none()
        if sha256 is None:
            raise UnknownSubmission(f"submission {submission} shows no trials of stage {stage!r}")
        return ranking.unpacked(self._kept.read(sha256))

    def files(self, submission: int) -> Mapping[str, str]:
        """Return the SHA-256 of each file that was handed in, by its name."""
        query = sa.select(files.c.name, files.c.sha256).where(
            files.c.submission == submission, files.c.stage.is_(None)
        )
        with self._database.read() as connection:
            return {row.name: row.sha256 for row in connection.execute(query)}

    def _keep(self, manifest: Manifest, sources: Mapping[str, Path]) -> dict[str, tuple[str, int]]:
        kept = {}
        for name, wanted in manifest.files.items():
            with sources[name].open("rb") as file:
                kept[name] = self._kept.put(file)
            if kept[name][0] != wanted:
                raise CorruptSubmission(
                    f"{name} has SHA-256 {kept[name][0]}, the manifest says {wanted}; "
                    "pack the submission again"
                )
        return kept


def _record(row: Row[Any], *, truth: bool = False) -> SubmissionRecord:
    """Return a submission, without its scores where they may not be shown."""
    shown = truth or bool(row.released)
    return SubmissionRecord(
        id=row.id, board=row.board, account=row.account, author=row.author, task=row.task,
        card=row.card, agent=row.agent, format=row.format, state=row.state, reason=row.reason,
        released=bool(row.released), content=row.content,
        manifest=_manifest(row.manifest), stage=row.stage if shown else None,
        score=row.score if shown else None, summary=summary_of(row.summary if shown else "{}"),
        created=row.created, finished=row.finished, attempts=row.attempts,
    )  # fmt: skip


def summary_of(text: str) -> dict[str, dict[str, Interval]]:
    """Return the intervals of a summary, by stage and by "raw" or "score"."""
    return {
        stage: {name: Interval(*ends) for name, ends in measures.items()}
        for stage, measures in json.loads(text).items()
    }


@lru_cache(maxsize=256)  # a manifest never changes, and reading one costs more than its row
def _manifest(text: str) -> Manifest:
    return Manifest.from_json(text)


def _one(connection: Connection, submission: int) -> Row[Any]:
    row = connection.execute(_SELECT.where(submissions.c.id == submission)).one_or_none()
    if row is None:
        raise UnknownSubmission(f"there is no submission {submission}; look at the list of all")
    return row
