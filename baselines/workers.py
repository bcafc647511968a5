"""The processes of this machine that do jobs, and how they begin.

Torch takes seconds to load, and a plan of many small jobs would load it in every process. So it is
loaded once, in a process beside the workers, while they do jobs that need no library; a worker that
needs it then is replaced by a fork of that process, which has it at once.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import threading
from collections.abc import Collection
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import Any

from baselines.plan import Run
from baselines.work import Done, work
from neurotasks.errors import NeurotasksError

__all__ = ["Preloaded", "Worker", "WorkerKilled"]

_TRIES = 2
_KILLED = "its process was killed {} times; is there enough memory? The same command tries again"
_SHARED = {"torch": ("torch", "torch._dynamo"), "stable-baselines3": ("stable_baselines3",)}
"""What is loaded once for all: packages, and what optimisers of torch load when they first step."""


class WorkerKilled(NeurotasksError, RuntimeError):
    """The process that did a job was killed, more than once."""


class Preloaded:
    """A process that loads slow libraries once; workers that need them are forked from it.

    Args:
        libraries: Those that the plan needs; only the ones that are worth it are loaded.
    """

    def __init__(self, libraries: Collection[str]) -> None:
        self.libraries = [name for name in libraries if name in _SHARED]
        self._first: Future[Any] = Future()
        if not self.libraries or not sys.platform.startswith("linux"):  # forks elsewhere are frail
            self.libraries = []
            self._first.set_result(None)
            return
        self.context = multiprocessing.get_context("forkserver")
        own = ("baselines.work", "neurotasks")
        modules = [module for name in self.libraries for module in _SHARED[name]]
        self.context.set_forkserver_preload([*own, *modules])
        pool = ThreadPoolExecutor(1)
        self._first = pool.submit(self._await_first)
        pool.shutdown(wait=False)

    @property
    def pending(self) -> tuple[Future[Any], ...]:
        """What ends when the libraries are loaded; nothing once they are."""
        return () if self._first.done() else (self._first,)

    @property
    def ready(self) -> list[str]:
        """The libraries that a fork has at once."""
        return self.libraries if self._first.done() and not self._first.exception() else []

    def _await_first(self) -> None:
        """Start the process; a first fork answers only when everything is loaded."""
        process = self.context.Process(target=int)
        process.start()
        process.join()


class Worker:
    """One process that does one job after the other, and is replaced when it is killed.

    Args:
        core: The core that it keeps to; None for any.
        gpu: The GPU that it sees; None for all that this process sees.
        preloaded: Where libraries are loaded.
    """

    def __init__(self, core: int | None, gpu: str | None, preloaded: Preloaded) -> None:
        self.has_gpu = gpu is not None
        self.kinds: list[str] = []
        self._core, self._gpu, self._preloaded = core, gpu, preloaded
        self._forked = False
        self._pool = self._process()
        self._job: Run | None = None
        self._tries = 0

    @property
    def kind(self) -> str:
        """The kind of job that it does, or did last."""
        return self.kinds[-1]

    def start(self, job: Run) -> Future[Done]:
        """Begin a job."""
        self._job, self._tries = job, 1
        if not self._forked and {*job.recipe.learner.libraries} & {*self._preloaded.ready}:
            self._forked = True
            self.close()
            self._pool = self._process()
            self.kinds.clear()
        self.kinds.append(job.recipe.learner.module)
        return self._pool.submit(work, job, here=True)

    def restart(self) -> Future[Done]:
        """Begin the job again in a new process."""
        self._tries += 1
        self._pool = self._process()
        return self._pool.submit(work, self._current, here=True)

    def was_killed(self, future: Future[Done]) -> bool:
        """Say whether the process was killed and the job deserves another try."""
        killed = isinstance(future.exception(), BrokenProcessPool)
        if killed and self._tries >= _TRIES:
            self._pool = self._process()  # for the next job
        return killed and self._tries < _TRIES

    def ended(self, future: Future[Done]) -> tuple[Run, Done | None, BaseException | None]:
        """Return the job, what came of it, and why it failed; its failure stops no other."""
        error = future.exception()
        if error is None:
            return self._current, future.result(), None
        if isinstance(error, BrokenProcessPool):
            error = WorkerKilled(_KILLED.format(self._tries))
        return self._current, None, error

    def close(self) -> None:
        """Take no more jobs."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def _current(self) -> Run:
        if self._job is None:
            raise RuntimeError("this process has not begun a job")
        return self._job

    def _process(self) -> ProcessPoolExecutor:
        spawn = multiprocessing.get_context("spawn")
        context = self._preloaded.context if self._forked else spawn
        return ProcessPoolExecutor(1, context, _settle, (self._core, self._gpu))


def _settle(core: int | None, gpu: str | None) -> None:
    """Prepare a new process: its core, its GPU, and an end when its parent ends."""
    if core is not None:
        with contextlib.suppress(OSError):  # the core may have gone offline
            os.sched_setaffinity(0, {core})
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """End this process at once when its parent is gone, be it killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
