"""What a worker does: train and evaluate the seeds of a run, and return what was measured.

A worker stores no result. It may sit on another machine that shares no disk with the one that
plans; curves are shown while they grow only where it is told that it does not.
"""

from __future__ import annotations

import dataclasses
import math
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from baselines.keys import key
from baselines.logs import CurveLog, live
from baselines.models import Model, model_of
from baselines.plan import Run
from neurotasks import Budget, ControlTask, load
from neurotasks.agent import Agent, Learner, Log
from neurotasks.continual import evaluate_stream, is_stream
from neurotasks.errors import NeurotasksError
from neurotasks.evaluate import evaluate
from neurotasks.meter import meter
from neurotasks.results import Result, StageResult, hardware, versions
from neurotasks.task import Task

__all__ = ["Done", "work"]


@dataclass(frozen=True)
class Done:
    """What came of a run.

    Attributes:
        result: What was measured of the seeds that learned.
        failures: Why each of the others failed.
        models: The trained agents by seed, where they are wanted.
    """

    result: Result
    failures: Mapping[int, str] = field(default_factory=dict)
    models: Mapping[int, Model] = field(default_factory=dict)


def work(run: Run, *, here: bool = False) -> Done:
    """Train and evaluate the seeds of a run.

    Args:
        run: The run.
        here: Whether its folder is that of the process that plans: then TensorBoard shows its
            curves while it learns.

    Raises:
        NeurotasksError: All seeds failed.
    """
    task, recipe = load(run.task), run.recipe
    learner = recipe.learner(run.device)
    budget = Budget(run.budget, recipe.samples[run.budget])
    with live(run.logs, run.seeds if here else ()) as show, meter(_gpus(learner)) as cost:
        log = CurveLog(show)
        agents, failures, stages = _measure(task, learner, run, budget, log)
    shown = _shown(list(agents.values()), budget.samples if recipe.learns else 0)
    result = Result(
        task=task.card.id,
        card=task.card.hash,
        agent=run.agent,
        config=_config(learner, run) | _trained(list(agents.values())),
        seeds=tuple(agents),
        stages=stages,
        parameters=int(getattr(next(iter(agents.values())), "parameters", 0)),
        samples=shown,
        flops=_flops(next(iter(agents.values())), task, shown),
        seconds=cost.seconds,
        cpu_seconds=cost.cpu_seconds,
        energy_kwh=cost.energy_kwh,
        energy_method=cost.energy_method,
        hardware=hardware(),
        versions=versions(),
        commit=_commit(),
        curves=_curves(log, run.seeds, tuple(agents)),
    )
    return Done(result, failures, _models(agents, task) if run.models else {})


def _models(agents: Mapping[int, Agent], task: Task) -> dict[int, Model]:
    """Return the agents as files, by seed."""
    return {seed: model_of(agent, task, seed) for seed, agent in agents.items()}


def _measure(
    task: Any, learner: Learner, run: Run, budget: Budget, log: CurveLog
) -> tuple[dict[int, Agent], dict[int, str], dict[str, StageResult]]:
    """Return the agents by seed, why other seeds failed, and what was measured in each stage."""
    seeds = run.seeds
    if is_stream(task):
        return _teach(task, learner, seeds, budget, log)
    agents, failures = _learn(task, learner, seeds, budget, log)
    stages: dict[str, StageResult] = {}
    for stage in task.card.evaluated:
        if hasattr(learner, "stage"):  # the two ends of the scale are other agents in each stage
            learner = dataclasses.replace(learner, stage=stage)  # type: ignore[type-var]
            agents, _ = _learn(task, learner, seeds, budget, log)
        stages |= evaluate(task, list(agents.values()), seeds=list(agents), stages=[stage])
    return agents, failures, stages


def _teach(
    task: Any, learner: Learner, seeds: Sequence[int], budget: Budget, log: CurveLog
) -> tuple[dict[int, Agent], dict[int, str], dict[str, StageResult]]:
    """Teach a stream; where seeds failed by themselves, the others begin again without them."""
    failures: dict[int, str] = {}
    while True:
        good = [seed for seed in seeds if seed not in failures]
        try:
            agents, stages = evaluate_stream(task, learner, seeds=good, budget=budget, log=log)
        except NeurotasksError as error:
            if not getattr(error, "agents", {}):
                raise
            failures |= getattr(error, "failures", {})
            log.clear()
        else:
            return dict(zip(good, agents, strict=True)), failures, stages


def _learn(
    task: Any, learner: Learner, seeds: Sequence[int], budget: Budget, log: Log
) -> tuple[dict[int, Agent], dict[int, str]]:
    """Return the agents by seed; a seed that failed by itself is left out, with its reason."""
    try:
        agents = learner.learn(task, seeds=seeds, budget=budget, log=log)
    except NeurotasksError as error:
        good: Mapping[int, Agent] = getattr(error, "agents", {})
        if not good:
            raise
        failures: Mapping[int, str] = getattr(error, "failures", {})
        return dict(good), dict(failures)
    return dict(zip(seeds, agents, strict=True)), {}


def _curves(log: CurveLog, seeds: Sequence[int], good: Sequence[int]) -> dict[str, Any]:
    """Return a curve for each good seed, empty where it did not report.

    Which seed a curve is of is known only if none stayed silent: else the curves are left out.
    """
    curves = {}
    for name, found in log.curves.items():
        if len(found) == len(seeds):
            by_seed = dict(zip(seeds, found, strict=True))
            curves[name] = [by_seed[seed] for seed in good]
    return curves


def _gpus(learner: Any) -> tuple[str, ...]:
    """Return the UUIDs of the GPUs that a learner trains on."""
    name = getattr(learner, "device", "cpu")
    if name == "cpu":
        return ()
    from agents.devices import choose_device, gpus  # noqa: PLC0415 - torch loads slowly

    return gpus(choose_device(name))


def _shown(agents: Sequence[Any], samples: int) -> int:
    """Return how many samples one agent was shown, the mean over the agents.

    It is the budget, but for agents that know that they stopped early.
    """
    counts = [getattr(agent, "samples", None) for agent in agents]
    return round(sum(samples if n is None else n for n in counts) / len(counts))


def _flops(agent: Any, task: Any, shown: int) -> int:
    """Return the floating-point operations of training one agent on the samples it was shown.

    They are counted for networks of torch that learned from trials, not for what learned by acting:
    there the agent is a part alone of what was trained.
    """
    if isinstance(task, ControlTask) or not hasattr(agent, "network"):
        return 0
    from agents.flops import flops  # noqa: PLC0415 - torch loads slowly

    return round(flops(agent, task).training * shown)


def _config(learner: Any, run: Run) -> dict[str, Any]:
    """Return what the agent is told and the key of the run, as plain JSON types."""
    names = [f.name for f in dataclasses.fields(learner) if not f.name.startswith("_")]
    told = {name: _plain(getattr(learner, name)) for name in names}
    samples = run.recipe.samples[run.budget]
    head = {"key": key(run), "learner": type(learner).__name__, "budget": run.budget}
    return {**head, "samples": samples, **told}


def _trained(agents: Sequence[Any]) -> dict[str, str]:
    """Return how the agents were trained, where they know it; more than one way where memory ended.

    It is what happened and not what was asked for, so it is no part of the key.
    """
    ways = [str(way) for agent in agents if (way := getattr(agent, "trained", ""))]
    return {"trained": " + ".join(dict.fromkeys(ways))} if ways else {}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)  # JSON has no word for it
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


@cache
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
