"""The runner: plans which recipe runs on which task, and leaves one whole result file a run.

A run is one recipe on one task over several seeds. Its file is written when all of it is done, so
that a run that was killed leaves nothing, and the next call does what is missing and no more.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from baselines.recipes import RECIPES, Recipe, recipe_of
from neurotasks import Budget, StreamTask, find, load
from neurotasks.agent import Agent, Learner
from neurotasks.errors import CorruptResult
from neurotasks.evaluate import evaluate, evaluate_stream
from neurotasks.results import (
    Result,
    StageResult,
    hardware,
    meter,
    read_result,
    versions,
    write_result,
)

__all__ = ["Outcome", "Run", "execute", "is_done", "plan", "run_all"]


@dataclass(frozen=True)
class Run:
    """One recipe on one task.

    Attributes:
        task: Label of the task.
        agent: Name of the recipe.
        seeds: The seeds.
        budget: "smoke", "quick" or "full".
        device: "auto", "cpu" or "cuda".
        out: Folder of the results.
    """

    task: str
    agent: str
    seeds: tuple[int, ...]
    budget: str
    device: str
    out: Path

    @property
    def path(self) -> Path:
        """Where the result goes."""
        return self.out / self.task / f"{self.agent}.json"

    @property
    def logs(self) -> Path:
        """Where TensorBoard's files go."""
        return self.out / self.task / "tensorboard" / self.agent


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        run: The run.
        result: What it measured; None if it failed.
        error: Why it failed, in one line; empty if it did not.
        fresh: False where an earlier call had done it already.
    """

    run: Run
    result: Result | None
    error: str = ""
    fresh: bool = True


def plan(*, task: str, agent: str, seeds: int, budget: str, device: str, out: Path) -> list[Run]:
    """Return the runs of all recipes and tasks that match two globs, tasks in the order of cards.

    Raises:
        ValueError: No recipe runs on such a task.
    """
    numbers = tuple(range(seeds))
    names = tuple(dict.fromkeys(recipe.name for recipe in RECIPES))
    runs = [
        Run(card.label, name, numbers, budget, device, out)
        for card in find(task)
        for name in names
        if fnmatchcase(name, agent) and any(r.name == name and r.fits(card) for r in RECIPES)
    ]
    if not runs:
        known = ", ".join(names)
        raise ValueError(
            f"no agent that matches {agent!r} runs on a task that matches {task!r}; the agents are "
            f"{known}, and `neurotasks list` shows the tasks"
        )
    return runs


def is_done(run: Run) -> Result | None:
    """Return the finished result of a run, or None where it is missing or of another plan.

    Raises:
        CorruptResult: A file is there that is no whole result.
    """
    if not run.path.exists():
        return None
    result = read_result(run.path)
    recipe, card = recipe_of(run.agent, load(run.task).card), load(run.task).card
    same = (
        result.card == card.hash
        and result.seeds == run.seeds
        and result.config == _config(recipe, run)
    )
    return result if same else None


def run_all(runs: Sequence[Run], jobs: int) -> Iterator[Outcome]:
    """Run what is not done yet in processes of one thread each; yield each run as it ends."""
    missing = []
    for run in runs:
        try:
            result = is_done(run)
        except CorruptResult as error:
            yield Outcome(run, None, str(error))
            continue
        if result is None:
            missing.append(run)
        else:
            yield Outcome(run, result, fresh=False)
    if not missing:
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # small nets are slower with more; see docs
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(missing)), mp_context=context) as pool:
        futures = {pool.submit(execute, run): run for run in missing}
        for future in as_completed(futures):
            yield _outcome(future, futures[future])


def _outcome(future: Future[Result], run: Run) -> Outcome:
    """Return how a run ended; one that failed, for whatever reason, stops no other."""
    error = future.exception()
    if error is None:
        return Outcome(run, future.result())
    if isinstance(error, BrokenProcessPool):
        return Outcome(run, None, "its process was killed; the same command goes on with the rest")
    return Outcome(run, None, f"{type(error).__name__}: {error}")


def execute(run: Run) -> Result:
    """Train, evaluate, write the result, and return it."""
    task = load(run.task)
    recipe = recipe_of(run.agent, task.card)
    learner = recipe.learner(run.device)
    budget = Budget(run.budget, recipe.samples[run.budget])
    from baselines.logs import TensorBoardLog  # noqa: PLC0415 - its library loads slowly

    with TensorBoardLog(run.logs) as log, meter() as cost:
        agents, stages = _measure(task, learner, run, budget, log)
    result = Result(
        task=task.card.id,
        card=task.card.hash,
        agent=run.agent,
        config=_config(recipe, run),
        seeds=run.seeds,
        stages=stages,
        parameters=int(getattr(agents[0], "parameters", 0)),
        samples=budget.samples if recipe.learns else 0,
        seconds=cost.seconds,
        cpu_seconds=cost.cpu_seconds,
        energy_kwh=cost.energy_kwh,
        energy_method=cost.energy_method,
        hardware=hardware(),
        versions=versions(),
        commit=_commit(),
        curves=log.curves,
    )
    write_result(result, run.path)
    return result


def _measure(
    task: Any, learner: Learner, run: Run, budget: Budget, log: Any
) -> tuple[Sequence[Agent], dict[str, StageResult]]:
    if isinstance(task, StreamTask):
        agents, measured = evaluate_stream(task, learner, seeds=run.seeds, budget=budget, log=log)
        return agents, {"test": measured}
    stages: dict[str, StageResult] = {}
    agents = learner.learn(task, seeds=run.seeds, budget=budget, log=log)
    for stage in task.card.evaluated:
        if hasattr(learner, "stage"):  # the two ends of the scale are other agents in each stage
            learner = dataclasses.replace(learner, stage=stage)  # type: ignore[type-var]
            agents = learner.learn(task, seeds=run.seeds, budget=budget, log=log)
        stages |= evaluate(task, agents, seeds=run.seeds, stages=[stage])
    return agents, stages


def _config(recipe: Recipe, run: Run) -> dict[str, Any]:
    """Return what the agent is told, as plain JSON types."""
    learner: Any = recipe.learner(run.device)
    names = [f.name for f in dataclasses.fields(learner) if not f.name.startswith("_")]
    told = {name: _plain(getattr(learner, name)) for name in names}
    samples = recipe.samples[run.budget]
    return {"learner": type(learner).__name__, "budget": run.budget, "samples": samples, **told}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


def _commit() -> str:
    """Return the git commit of the code with "+" where it was changed, or "" outside a checkout."""
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        command = ["git", "-C", str(folder), *words]
        try:
            done = subprocess.run(  # noqa: S603 - fixed words, no shell
                command, capture_output=True, text=True, check=True, timeout=10
            )
        except (OSError, subprocess.SubprocessError):
            return ""
        return done.stdout.strip()

    commit = git("rev-parse", "--short=12", "HEAD")
    return commit + "+" if commit and git("status", "--porcelain", "-uno") else commit
