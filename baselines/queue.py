"""Which job a process does next."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from baselines.costs import estimates
from baselines.plan import Run

__all__ = ["Queue"]


class Queue:
    """The jobs that wait, by their kind: the module of the learner.

    A library may take longer to load than a small job takes to run. So a process that has loaded
    one keeps to its kind while there is work of it, then joins where the most work waits for each
    process; it loads a library for a kind that others are busy with only if that saves time. Among
    kinds that need no loading the longest job comes first.

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

    def take(
        self,
        kinds: Sequence[str],
        active: Sequence[str],
        *,
        has_gpu: bool,
        ready: Collection[str] = (),
        soon: Collection[str] = (),
    ) -> Run | None:
        """Take the longest job of the best kind for a process, or None where it better waits.

        Args:
            kinds: The kinds that the process has done, the last one at the end.
            active: The kind that each busy process does.
            has_gpu: Whether the process has a GPU.
            ready: Libraries that the process need not load, beside those of `kinds`.
            soon: Libraries that will be ready in a moment: their jobs wait for that.
        """
        for name in self._order(kinds, active, ready):
            if {*self._learners[name].libraries} & {*soon}:
                continue
            waiting = self._waiting[name]
            for place in range(len(waiting) - 1, -1, -1):
                if has_gpu or not (self._gpus and waiting[place][1].on_gpu):
                    return waiting.pop(place)[1]
        return None

    def _order(
        self, kinds: Sequence[str], active: Sequence[str], ready: Collection[str]
    ) -> list[str]:
        """Return the kinds that are worth a process's time, the best first."""
        loaded = {name for kind in kinds for name in self._learners[kind].libraries} | {*ready}
        gains = {}
        for kind, waiting in self._waiting.items():
            learner, busy = self._learners[kind], active.count(kind)
            share = sum(cost for cost, _ in waiting) / (busy + 1)
            if not waiting:
                continue
            if {*learner.libraries} <= {*ready}:
                gains[kind] = waiting[-1][0]
            elif kind in kinds[-1:]:
                gains[kind] = math.inf  # what it has loaded, others would have to load
            elif not busy:
                gains[kind] = share + learner.loading(loaded)
            elif share > learner.loading(loaded):
                gains[kind] = share - learner.loading(loaded)
        return sorted(gains, key=lambda kind: -gains[kind])
