"""The runner: does what is missing of a plan, and no more.

A plan's runs are cut into jobs; an engine does the jobs, here or on a cluster; each finished job is
added to its run's file at once. When everything is killed, the jobs in flight are lost, and the
same call does them again and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from baselines.costs import cut
from baselines.engines import Ended, Engine
from baselines.keys import key
from baselines.logs import write_events
from baselines.plan import Run
from baselines.store import add, missing, stored
from baselines.work import work
from neurotasks.errors import CorruptResult
from neurotasks.results import Result

__all__ = ["Outcome", "Todo", "do", "execute", "run_all", "sort_out"]


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        run: The job: a run with some of its seeds.
        result: All that the run's file holds now; None if nothing came of the job.
        error: Why it failed, or some of its seeds did, in one line; empty if none did.
        fresh: False where an earlier call had done it already.
    """

    run: Run
    result: Result | None
    error: str = ""
    fresh: bool = True


@dataclass(frozen=True)
class Todo:
    """A plan, sorted by what is finished.

    Attributes:
        kept: Runs that are finished to the last seed, and runs whose files cannot be read.
        jobs: What is missing.
    """

    kept: tuple[Outcome, ...]
    jobs: tuple[Run, ...]


def sort_out(runs: Sequence[Run], engine: Engine) -> Todo:
    """Return what is finished of a plan, and the jobs that are not."""
    kept, open_ = [], {}
    for run in runs:
        try:
            seeds = missing(run)
            if seeds:
                open_[run.path] = set(seeds)
            else:
                kept.append(Outcome(run, stored(run), fresh=False))
        except CorruptResult as error:
            kept.append(Outcome(run, None, str(error)))
    jobs = []
    for job in cut(runs, engine.workers, engine.gpus):
        seeds = tuple(seed for seed in job.seeds if seed in open_.get(job.path, ()))
        if seeds:
            jobs.append(job.of(seeds))
    return Todo(tuple(kept), tuple(jobs))


def run_all(runs: Sequence[Run], engine: Engine) -> Iterator[Outcome]:
    """Sort out a plan and do what is missing; see `do`."""
    return do(sort_out(runs, engine), engine)


def do(todo: Todo, engine: Engine) -> Iterator[Outcome]:
    """Yield the runs that are finished, then do the jobs and yield each as it ends.

    Raises:
        UnwritableFolder: The results cannot be written.
    """
    for outcome in todo.kept:
        if outcome.result is not None:  # its events may be missing if all was killed just then
            write_events(outcome.result, outcome.run.logs)
        yield outcome
    keys = {job: key(job) for job in todo.jobs}
    for ended in engine.run(todo.jobs):
        yield _outcome(ended, keys[ended.job])


def execute(run: Run) -> Result:
    """Do a run in this process, and return all that its file holds then.

    Raises:
        NeurotasksError: All its seeds failed, or the folder cannot be written.
    """
    done = work(run)
    return add(run, done.result, done.models)


def _outcome(ended: Ended, key_: str) -> Outcome:
    """Store what a job brought, and say how it ended."""
    job, done = ended.job, ended.done
    if done is None:
        return Outcome(job, None, _line(ended.error))
    if done.result.config.get("key") != key_:
        return Outcome(job, None, "its worker has other code than this process; start again")
    error = "; ".join(f"seed {seed}: {reason}" for seed, reason in done.failures.items())
    return Outcome(job, add(job, done.result, done.models), error)


def _line(error: BaseException | None) -> str:
    """Return an error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
