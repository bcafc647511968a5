"""Where jobs are done: in processes of this machine. An engine hands out jobs and takes results.

Each process keeps to one core and one thread. One that is killed takes its own job with it alone:
another takes its place, and the job is tried once more.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import connection
from typing import Protocol

from baselines.costs import estimates
from baselines.plan import Run
from baselines.work import Done, work
from neurotasks.errors import NeurotasksError

__all__ = ["Ended", "Engine", "Local", "Queue", "WorkerKilled", "count_gpus"]

_TRIES = 2
_KILLED = "its process was killed {} times; is there enough memory? The same command tries again"


class WorkerKilled(NeurotasksError, RuntimeError):
    """The process that did a job was killed, more than once."""


@dataclass(frozen=True)
class Ended:
    """How a job ended.

    Attributes:
        job: The job.
        done: What came of it; None if it failed as a whole.
        error: Why it failed.
    """

    job: Run
    done: Done | None
    error: BaseException | None = None


class Engine(Protocol):
    """What does jobs.

    Attributes:
        workers: How many jobs it does side by side.
        gpus: How many of them have a GPU to themselves.
    """

    @property
    def workers(self) -> int:
        """How many jobs run side by side."""
        ...

    @property
    def gpus(self) -> int:
        """How many of them have a GPU."""
        ...

    def run(self, jobs: Sequence[Run]) -> Iterator[Ended]:
        """Do jobs, and yield each as it ends."""
        ...


@dataclass(frozen=True)
class Local:
    """Processes of this machine.

    Attributes:
        workers: How many.
        gpus: How many GPUs there are: the first processes have one each, and do all jobs that
            want one.
    """

    workers: int
    gpus: int = 0

    def run(self, jobs: Sequence[Run]) -> Iterator[Ended]:
        """Do jobs, long ones first, and yield each as it ends."""
        # Small nets are slower with more threads; libraries read this before `_settle` can say it.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        queue = Queue(jobs, self.gpus)
        workers = [_Worker(i, self) for i in range(min(self.workers, len(jobs)))]
        running: dict[Future[Done], _Worker] = {}
        try:
            while queue or running:
                idle = [worker for worker in workers if worker not in running.values()]
                for worker in idle:
                    active = [other.kind for other in running.values()]
                    job = queue.take(worker.kinds, active, has_gpu=worker.has_gpu)
                    if job is not None:
                        running[worker.start(job)] = worker
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    worker = running.pop(future)
                    if worker.was_killed(future):
                        running[worker.restart()] = worker
                    else:
                        yield worker.ended(future)
        finally:
            for worker in workers:
                worker.close()


class Queue:
    """The jobs that wait, by their kind: the module of the learner.

    A library may take longer to load than a small job takes to run. So a process keeps to one kind
    while there is work of it, then joins where the most work waits for each process; it loads a
    library for a kind that others are busy with only if that saves time.

    Args:
        jobs: The jobs.
        gpus: How many GPUs there are; where there are some, jobs that want one wait for it.
    """

    def __init__(self, jobs: Sequence[Run], gpus: int = 0) -> None:
        self._gpus = gpus
        self._waiting: dict[str, list[tuple[float, Run]]] = {}
        self._learners = {job.recipe.learner.module: job.recipe.learner for job in jobs}
        for cost, job in sorted(zip(estimates(jobs), jobs, strict=True), key=lambda j: j[0]):
            self._waiting.setdefault(job.recipe.learner.module, []).append((cost, job))

    def __bool__(self) -> bool:
        """Whether a job waits."""
        return any(self._waiting.values())

    def take(self, kinds: Sequence[str], active: Sequence[str], *, has_gpu: bool) -> Run | None:
        """Take the longest job of the best kind for a process, or None where it better waits.

        Args:
            kinds: The kinds that the process has done, the last one at the end.
            active: The kind that each busy process does.
            has_gpu: Whether the process has a GPU.
        """
        for name in self._order(kinds, active):
            waiting = self._waiting[name]
            for place in range(len(waiting) - 1, -1, -1):
                if has_gpu or not (self._gpus and waiting[place][1].on_gpu):
                    return waiting.pop(place)[1]
        return None

    def _order(self, kinds: Sequence[str], active: Sequence[str]) -> list[str]:
        """Return the kinds that are worth a process's time, the best first."""
        loaded = {name for kind in kinds for name in self._learners[kind].libraries}
        gains = {}
        for kind, waiting in self._waiting.items():
            loading = self._learners[kind].loading(loaded)
            busy = active.count(kind)
            share = sum(cost for cost, _ in waiting) / (busy + 1)
            gains[kind] = share - loading if busy else share + loading
        kept = [kind for kind in kinds[-1:] if self._waiting[kind]]
        worth = [k for k in gains if self._waiting[k] and (gains[k] > 0 or k not in active)]
        return kept + sorted(worth, key=lambda kind: -gains[kind])


class _Worker:
    """One process that does one job after the other, and is replaced when it is killed.

    Args:
        number: Which one, from 0.
        engine: How many there are.
    """

    def __init__(self, number: int, engine: Local) -> None:
        self.has_gpu = number < engine.gpus
        self.kinds: list[str] = []
        self._core = _core(number, engine.workers)
        self._gpu = _visible(number) if self.has_gpu else None
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
        self.kinds.append(job.recipe.learner.module)
        return self._pool.submit(work, job)

    def restart(self) -> Future[Done]:
        """Begin the job again in a new process."""
        self._tries += 1
        self._pool = self._process()
        return self._pool.submit(work, self._current)

    def was_killed(self, future: Future[Done]) -> bool:
        """Say whether the process was killed and the job deserves another try."""
        killed = isinstance(future.exception(), BrokenProcessPool)
        if killed and self._tries >= _TRIES:
            self._pool = self._process()  # for the next job
        return killed and self._tries < _TRIES

    def ended(self, future: Future[Done]) -> Ended:
        """Return how the job ended; whatever its failure, it stops no other."""
        error = future.exception()
        if error is None:
            return Ended(self._current, future.result())
        if isinstance(error, BrokenProcessPool):
            error = WorkerKilled(_KILLED.format(self._tries))
        return Ended(self._current, None, error)

    def close(self) -> None:
        """Take no more jobs."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def _current(self) -> Run:
        if self._job is None:
            raise RuntimeError("this process has not begun a job")
        return self._job

    def _process(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, context, _settle, (self._core, self._gpu))


def count_gpus(device: str) -> int:
    """Return how many GPUs jobs may use; none where they shall use the processor."""
    if device == "cpu" or find_spec("torch") is None:
        return 0
    import torch  # noqa: PLC0415 - loads slowly

    return torch.cuda.device_count()


def _core(number: int, workers: int) -> int | None:
    """Return the core of a worker, or None where there are more cores than workers.

    Then the system places them better: another program may be busy on any core.
    """
    if not hasattr(os, "sched_getaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    return cores[number % len(cores)] if workers >= len(cores) else None


def _visible(number: int) -> str:
    """Return the name of a GPU among those that this process sees."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return seen.split(",")[number] if seen else str(number)


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
