"""What a store returns: frozen records, never rows. Times are UNIX seconds (UTC)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache

from leaderboard.store.errors import InvalidEntry
from neurotasks.card import NAMESPACE
from neurotasks.results import Result, StageResult
from neurotasks.scores import Interval
from neurotasks.submission.manifest import Manifest

__all__ = [
    "LISTS",
    "STATES",
    "Account",
    "Best",
    "BoardRecord",
    "Cursor",
    "Event",
    "Head",
    "Job",
    "Standing",
    "SubmissionRecord",
    "Suite",
    "TaskVersion",
    "Token",
    "Usage",
]

_MANY = 1 << 31  # what a column holds

STATES = ("queued", "running", "verified", "self-reported", "failed")
LISTS = ("ranked", "unranked", "self-reported")
"""The tables of a task: verified with seeds enough, verified with too few, and not verified."""


@dataclass(frozen=True, kw_only=True)
class BoardRecord:
    """A board. Its secret stays in the store.

    Attributes:
        name: What addresses name it by.
        title: What pages name it by.
        tasks: Globs with commas between them, held against a task's id and label.
        opens: When it takes its first submission; None if it always did.
        closes: When it takes no more; None if it never will.
        valid_quota: Submissions of an account to a task, those that failed left out.
        total_quota: The same, those that failed counted in.
        minimum_seeds: With fewer a submission has no rank.
        created: When it was opened.
    """

    name: str
    title: str
    tasks: str
    opens: float | None
    closes: float | None
    valid_quota: int
    total_quota: int
    minimum_seeds: int
    created: float

    def takes(self, task: str) -> bool:
        """Return whether a task, named by its id, is on this board."""
        return _takes(self.tasks, task)


@dataclass(frozen=True, kw_only=True)
class Account:
    """Who hands in; `board` is None for those who belong to all boards."""

    id: int
    name: str
    board: str | None
    created: float
    revoked: float | None


@dataclass(frozen=True, kw_only=True)
class Token:
    """What is known of a token: all but its secret.

    Attributes:
        key: Its public part.
        account: Id of its account.
        label: What it is for.
        scopes: What it allows, of "submit" and "admin".
        created: When it was made.
        expires: When it ends; None if it does not.
        revoked: When it was revoked; None if it was not.
    """

    key: str
    account: int
    label: str
    scopes: frozenset[str]
    created: float
    expires: float | None
    revoked: float | None


@dataclass(frozen=True)
class Usage:
    """What an account has used of its quotas on a task."""

    valid: int
    total: int


@dataclass(frozen=True)
class TaskVersion:
    """A task under one card; `facts` is the whole card as JSON text."""

    id: str
    card: str
    facts: str
    created: float


@dataclass(frozen=True, kw_only=True)
class SubmissionRecord:
    """A submission.

    Attributes:
        id: Counted from 1.
        board: Name of its board.
        account: Id of its account.
        author: Name of its account.
        task: Id of its task.
        card: Hash of the card.
        agent: Name of the agent.
        format: One of `neurotasks.submission.FORMATS`.
        state: One of `STATES`.
        reason: Why it failed, or why it is verified and has no rank; else empty.
        released: Whether its scores may be shown. On a fixed test set the ladder decides.
        content: SHA-256 of what was handed in, words left out.
        manifest: What it says of itself.
        stage: The stage that its score stands on; None while there is none or it is hidden.
        score: Mean over seeds; likewise.
        summary: By stage "raw" and "score", as intervals over seeds; likewise empty.
        created: When it came.
        finished: When it was verified or failed.
        attempts: How often a worker began on it.
    """

    id: int
    board: str
    account: int
    author: str
    task: str
    card: str
    agent: str
    format: str
    state: str
    reason: str
    released: bool
    content: str
    manifest: Manifest
    stage: str | None
    score: float | None
    summary: Mapping[str, Mapping[str, Interval]]
    created: float
    finished: float | None
    attempts: int

    def result(self, stages: Mapping[str, StageResult]) -> Result:
        """Return it as a result, with the stages that `Submissions.stages` gives."""
        told = self.manifest
        return Result(
            task=told.task, card=told.card, agent=told.agent, config=told.config, seeds=told.seeds,
            stages=stages, parameters=told.parameters, samples=told.samples, flops=told.flops,
            seconds=told.seconds, cpu_seconds=told.cpu_seconds, energy_kwh=told.energy_kwh,
            energy_method=told.energy_method, hardware=told.hardware, versions=told.versions,
            commit=told.commit,
        )  # fmt: skip


@dataclass(frozen=True)
class Cursor:
    """Where a page of a table ended: its last rank, score and id. As text it fits an address."""

    rank: int
    score: float
    id: int

    def __str__(self) -> str:
        """Return it as text that `parse` reads."""
        return f"{self.rank}~{self.score!r}~{self.id}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read a cursor.

        Raises:
            InvalidEntry: It is none.
        """
        try:
            rank, score, place = text.split("~")
            cursor = cls(int(rank), float(score), int(place))
        except ValueError as error:
            raise InvalidEntry(f"{text[:80]!r} is no cursor; begin at the first page") from error
        if not (0 < cursor.rank < _MANY and 0 <= cursor.id < _MANY and math.isfinite(cursor.score)):
            raise InvalidEntry(f"{text[:80]!r} is no cursor; begin at the first page")
        return cursor


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A row of a task's table: the best that an account's agent has shown.

    Attributes:
        rank: From 1 in its list, by score; equal scores stand in the order of their coming.
        list: One of `LISTS`.
        task: Id of the task.
        card: Hash of the card.
        agent: Name of the agent.
        account: Id of the account.
        author: Name of the account.
        submission: Id of the submission.
        format: Its format.
        stage: The stage of the score: "private" or "test".
        score: Mean score with its interval over seeds.
        summary: By stage "raw" and "score", as intervals over seeds.
        seeds: How many.
        parameters: Trainable parameters of one agent.
        samples: Training trials of one run.
        flops: Operations of training one run.
        cpu_seconds: Process time of learning.
        energy_kwh: Energy of learning.
        created: When the submission came.
    """

    rank: int
    list: str
    task: str
    card: str
    agent: str
    account: int
    author: str
    submission: int
    format: str
    stage: str
    score: Interval
    summary: Mapping[str, Mapping[str, Interval]]
    seeds: int
    parameters: int
    samples: int
    flops: int
    cpu_seconds: float
    energy_kwh: float
    created: float

    @property
    def cursor(self) -> Cursor:
        """Where the next page begins, if this row ends one."""
        return Cursor(self.rank, self.score.mean, self.submission)


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A row of the suite table: an agent's ranked scores on all tasks of a board.

    Attributes:
        rank: From 1: first by the number of tasks, then by score.
        agent: Name of the agent.
        account: Id of the account.
        author: Name of the account.
        tasks: How many tasks it is ranked on, under their newest cards.
        score: Interquartile mean of the runs on these, with its interval.
    """

    rank: int
    agent: str
    account: int
    author: str
    tasks: int
    score: Interval


@dataclass(frozen=True, kw_only=True)
class Best:
    """A new best score of a table; `previous` is None for the first."""

    id: int
    task: str
    card: str
    agent: str
    author: str
    submission: int
    score: float
    previous: float | None
    created: float


@dataclass(frozen=True, kw_only=True)
class Job:
    """A submission that was given to a worker.

    Attributes:
        submission: Id of the submission.
        board: Name of its board.
        lease: Number of the lease: only the last one given may end the job.
        worker: Who has it.
        until: When the lease ends, unless a heartbeat comes before.
        manifest: What the submission says of itself.
        files: SHA-256 of each file by its name, the manifest left out.
        secret: The board's secret; never shown to anybody else.
    """

    submission: int
    board: str
    lease: int
    worker: str
    until: float
    manifest: Manifest
    files: Mapping[str, str]
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Event:
    """One line of the log; `detail` is JSON text."""

    id: int
    at: float
    actor: str
    action: str
    subject: str
    detail: str
    previous: str
    hash: str


@dataclass(frozen=True)
class Head:
    """How long the log is and the hash of its last event: keep it elsewhere to check it later."""

    length: int
    hash: str


@lru_cache(maxsize=1 << 14)  # every page of a board asks it of every task
def _takes(tasks: str, task: str) -> bool:
    names = (task, task.removeprefix(f"{NAMESPACE}/"))
    globs = [part.strip() for part in tasks.split(",")]
    return any(fnmatchcase(name, glob) for name in names for glob in globs)
