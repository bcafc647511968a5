"""Where jobs are done: in processes of this machine. An engine hands out jobs and takes results.

Each process keeps to one core and one thread. One that is killed takes its own job with it alone:
another takes its place, and the job is tried once more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

from baselines.plan import Run
from baselines.queue import Queue
from baselines.work import Done
from baselines.workers import Preloaded, Worker

__all__ = ["Ended", "Engine", "Local", "count_gpus"]


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
        # Small nets are slower with more threads; libraries read this before a process can say it.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        queue = Queue(jobs, self.gpus)
        number = min(self.workers, len(jobs))
        shared = {name for job in jobs for name in job.recipe.learner.libraries}
        preloaded = Preloaded(shared if number > 1 else ())
        workers = [Worker(*self._place(i), preloaded) for i in range(number)]
        running: dict[Future[Done], Worker] = {}
        try:
            while queue or running:
                # What loads libraries has the last core to itself: all are to wait for it soon.
                present = workers[:-1] if preloaded.pending else workers
                for worker in [w for w in present if w not in running.values()]:
                    job = self._next(queue, worker, running, preloaded)
                    if job is not None:
                        running[worker.start(job)] = worker
                ended = wait([*running, *preloaded.pending], return_when=FIRST_COMPLETED).done
                for future in [f for f in ended if f in running]:
                    worker = running.pop(future)
                    if worker.was_killed(future):
                        running[worker.restart()] = worker
                    else:
                        yield Ended(*worker.ended(future))
        finally:
            for worker in workers:
                worker.close()

    def _next(
        self,
        queue: Queue,
        worker: Worker,
        running: dict[Future[Done], Worker],
        preloaded: Preloaded,
    ) -> Run | None:
        """Return the job that an idle worker does next, or None where it better waits."""
        return queue.take(
            worker.kinds,
            [other.kind for other in running.values()],
            has_gpu=worker.has_gpu,
            ready=preloaded.ready,
            soon=preloaded.libraries if preloaded.pending else (),
        )

    def _place(self, number: int) -> tuple[int | None, str | None]:
        """Return the core and the GPU of a worker."""
        return _core(number, self.workers), _visible(number) if number < self.gpus else None


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
