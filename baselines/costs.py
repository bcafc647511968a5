"""What a run will cost, from the committed reference results, and how runs are cut into jobs."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

from baselines.plan import Run
from neurotasks.results import Result, read_results

__all__ = ["REFERENCE", "cut", "estimate", "estimates", "makespan"]

REFERENCE = Path(__file__).parent / "results"
_UNKNOWN = 1.0  # seconds, where nothing at all is known
_EVALUATION = 0.15  # of a reference's seconds, at least: what control agents were measured to need


def estimate(run: Run) -> float | None:
    """Return how many seconds a run will take on one core, or None where no reference tells.

    What the trivial agent took, or a small part of the reference, is evaluation; the rest is scaled
    by the training samples. The reference machine's seconds are taken as this one's.
    """
    known = _references()
    reference, trivial = known.get((run.task, run.agent)), known.get((run.task, "trivial"))
    if reference is None or trivial is None:
        return None
    samples = run.recipe.samples[run.budget]
    whole = _seconds(reference)
    evaluation = min(max(_seconds(trivial), _EVALUATION * whole), whole)
    scale = samples / reference.samples if reference.samples else 1.0
    return len(run.seeds) * (evaluation + (whole - evaluation) * scale)


def estimates(runs: Sequence[Run]) -> list[float]:
    """Return seconds for each run; where they are not known, those of a mean known run."""
    found = [estimate(run) for run in runs]
    known = [seconds for seconds in found if seconds is not None]
    mean = sum(known) / len(known) if known else _UNKNOWN
    return [mean if seconds is None else seconds for seconds in found]


def cut(runs: Sequence[Run], workers: int, gpus: int = 0) -> list[Run]:
    """Cut runs into jobs, the unit that one process does in one go.

    Seeds that train one after the other are a job each. Seeds that train together stay together
    as long as the run is no longer than one worker's fair share of the whole plan, and no piece is
    shorter than its library takes to load. The cuts depend on the plan alone, never on what is done
    already: a plan that goes on after it was killed forms the same stacks and so, on a processor,
    the same bits.

    Args:
        runs: The whole plan.
        workers: Processes side by side.
        gpus: How many of them have a GPU.
    """
    costs = estimates(runs)
    jobs: list[Run] = []
    for run, cost in zip(runs, costs, strict=True):
        learner = run.recipe.learner
        pieces = len(run.seeds)
        if learner.together:
            lanes = gpus if gpus and run.on_gpu else workers
            shortest = max(sum(costs) / lanes, learner.loading())
            pieces = min(math.ceil(cost / shortest), pieces)
        jobs += _pieces(run, pieces)
    return jobs


def makespan(seconds: Sequence[float], workers: int) -> float:
    """Return how long jobs take on some workers, the longest first, each when a worker is free."""
    ends = [0.0] * max(workers, 1)
    for cost in sorted(seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + cost)
    return max(ends)


def _pieces(run: Run, number: int) -> list[Run]:
    """Return a run in so many pieces of neighbouring seeds, the sizes as equal as can be."""
    count = len(run.seeds)
    bounds = [count * i // number for i in range(number + 1)]
    return [run.of(run.seeds[low:high]) for low, high in pairwise(bounds)]


def _seconds(result: Result) -> float:
    return result.seconds / len(result.seeds)


@cache
def _references() -> dict[tuple[str, str], Result]:
    return {(r.task.split("/")[-1], r.agent): r for r in read_results(REFERENCE)}
