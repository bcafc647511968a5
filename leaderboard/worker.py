"""The worker: claims submissions, inspects and scores them in the sandbox, and ends them.

A process of its own. While it scores, a thread prolongs its lease; when the process dies, its
keeper ends the lease, and when the machine dies it runs out: another worker begins anew. On
SIGTERM, and when its keeper has died, it gives back what it has and ends.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TypeAlias

from sqlalchemy.exc import DBAPIError

from leaderboard.log import log_as_json
from leaderboard.scoring import Scored, inspect, reason, score
from leaderboard.store import Job, Store, open_store
from leaderboard.store.errors import StaleLease
from neurotasks.errors import CorruptSubmission, NeurotasksError
from neurotasks.submission.manifest import NAME, Manifest

__all__ = ["Scorer", "Worker", "inspect_and_score", "run_workers"]

Scorer: TypeAlias = Callable[[Path, Manifest, str], Scored]
"""Scores the submission in a folder, given its manifest and the board's secret."""

_log = logging.getLogger(__name__)

_LOOK = 0.5  # seconds between two looks at an empty queue
_GRACE = 10.0  # seconds that a worker has to end


class _Stopped(BaseException):
    """Somebody asked this worker to end."""


def inspect_and_score(folder: Path, manifest: Manifest, secret: str) -> Scored:
    """Inspect a submission in the sandbox and, if nothing is wrong with it, score it there.

    Args:
        folder: Where its files are.
        manifest: What it says of itself.
        secret: The board's secret.
    """
    found = inspect(folder)
    if found:
        return Scored(reason=reason(found))
    return score(folder, manifest, secret)


class Worker:
    """Takes one submission after the other.

    Args:
        store: Where they wait.
        name: Who it is, for the log.
        scorer: How it scores one.
        lease: Seconds that a submission is its own without a heartbeat; it sends three in a lease.
    """

    def __init__(
        self, store: Store, name: str, scorer: Scorer = inspect_and_score, lease: float = 60.0
    ) -> None:
        self._store, self._name, self._scorer, self._lease = store, name, scorer, lease
        self._ending = threading.Event()
        self._scoring = False

    def stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """End soon: a handler for signals, which also breaks off what is being scored."""
        self._ending.set()
        if self._scoring:
            self._scoring = False
            raise _Stopped

    def run(self) -> None:
        """Work until somebody stops it."""
        while not self._ending.is_set():
            if not self.step():
                self._ending.wait(_LOOK)

    def step(self) -> bool:
        """Claim a submission and end it; return whether there was one."""
        job = self._store.queue.claim(self._name, self._lease)
        if job is None:
            return False
        _log.info("began submission %d, lease %d", job.submission, job.lease)
        try:
            with self._heartbeats(job):
                scored = self._score(job)
            self._store.queue.finish(job, scored)
        except StaleLease as error:
            _log.warning("%s", error)
        except _Stopped:
            with suppress(StaleLease):
                self._store.queue.release(job)
            _log.info("gave submission %d back", job.submission)
        else:
            _log.info("ended submission %d: %s", job.submission, scored.reason or "verified")
        return True

    def _score(self, job: Job) -> Scored:
        with tempfile.TemporaryDirectory(prefix="submission-") as name:
            folder = Path(name)
            try:
                self._lay_out(job, folder)
                self._scoring = True
                if self._ending.is_set():  # the signal came before it could be heard
                    raise _Stopped
                return self._scorer(folder, job.manifest, job.secret)
            except CorruptSubmission as error:
                return Scored(reason=str(error))
            except NeurotasksError as error:
                return Scored(reason=f"this board cannot score it: {error}")
            finally:
                self._scoring = False

    def _lay_out(self, job: Job, folder: Path) -> None:
        """Write the files of a submission where another user, the sandbox's, may read them."""
        folder.chmod(0o755)
        (folder / NAME).write_text(job.manifest.to_json(), encoding="utf-8")
        for name, sha256 in job.files.items():
            self._store.artefacts.copy(sha256, folder / name)
        for path in folder.iterdir():
            path.chmod(0o644)

    @contextmanager
    def _heartbeats(self, job: Job) -> Iterator[None]:
        """Prolong the lease while the block runs."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(self._lease / 3):
                if not self._store.queue.heartbeat(job, self._lease):
                    return

        thread = threading.Thread(target=beat, name="heartbeats", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def run_workers(url: str, count: int, stop: threading.Event, artefacts: Path | None = None) -> None:
    """Keep some workers running, each in a process of its own, until `stop` is set.

    One that dies is followed by another; at the end each gives back what it has.

    Args:
        url: Address of the store.
        count: How many.
        stop: Ends them.
        artefacts: Folder of the kept files, if not beside the database.
    """
    context = multiprocessing.get_context("spawn")
    workers: list[multiprocessing.process.BaseProcess] = []
    try:
        while not stop.wait(_LOOK):
            for dead in [worker for worker in workers if not worker.is_alive()]:
                _log.warning("%s ended with code %s", dead.name, dead.exitcode)
                _expire(url, artefacts, _name(dead.pid))
                workers.remove(dead)
            while len(workers) < count:
                workers.append(context.Process(target=_work, args=(url, artefacts), daemon=True))
                workers[-1].start()
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join(_GRACE)
            worker.kill()
            worker.join()


def _expire(url: str, artefacts: Path | None, worker: str) -> None:
    try:
        with open_store(url, artefacts) as store:
            store.queue.expire(worker)
    except DBAPIError as error:
        _log.warning("the lease of %s runs out by itself: %s", worker, error)


def _name(process: int | None) -> str:
    return f"{socket.gethostname()}-{process}"


def _work(url: str, artefacts: Path | None) -> None:
    """Be a worker: what a process of `run_workers` does."""
    log_as_json()
    with open_store(url, artefacts) as store:
        worker = Worker(store, _name(os.getpid()))
        signal.signal(signal.SIGTERM, worker.stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the parent sends SIGTERM
        threading.Thread(target=_end_with_keeper, name="keeper", daemon=True).start()
        worker.run()


def _end_with_keeper() -> None:
    keeper = multiprocessing.parent_process()
    if keeper is not None:
        keeper.join()
        os.kill(os.getpid(), signal.SIGTERM)
