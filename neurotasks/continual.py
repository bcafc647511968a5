"""Evaluation of streams: teach one experience after the other, and test after each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotasks.accuracy_matrix import (
    area,
    backward_transfer,
    forgetting,
    forward_transfer,
    incremental,
)
from neurotasks.agent import Agent, Budget, Holder, Learner, Log
from neurotasks.arrays import Array
from neurotasks.evaluate import batch_metric, trial_metric
from neurotasks.meter import Cost, meter
from neurotasks.results import StageResult
from neurotasks.scores import score
from neurotasks.task import ControlTask, StreamTask, Task

__all__ = ["by_group", "evaluate_stream", "is_stream", "mean_error"]

_PRECISION = 6  # digits of an accuracy that are kept


def is_stream(task: Task) -> bool:
    """Say whether a task is taught one experience after the other."""
    return task.experiences > 0 if isinstance(task, ControlTask) else isinstance(task, StreamTask)


def evaluate_stream(
    task: StreamTask | ControlTask[Any],
    learner: Learner,
    *,
    seeds: Sequence[int],
    budget: Budget,
    log: Log,
) -> tuple[Sequence[Agent], dict[str, StageResult]]:
    """Teach a stream, one experience after the other, and test after each.

    Args:
        task: The stream.
        learner: Who learns; it keeps what it knows from experience to experience.
        seeds: One for each run.
        budget: The samples of the whole stream; each experience gets an equal part.
        log: Where progress is reported.

    Returns:
        The agents after the last experience, and what was measured in each public stage. `extra` of
        stage "test" holds a list over seeds each: "matrix" (E x G, raw metric in group j after
        experience i), "area"; where groups are experiences "forgetting", "backward transfer",
        "forward transfer" and "average incremental accuracy"; and lists over experiences,
        "seconds", "cpu_seconds" and "energy_kwh" of learning and, of a learner that tells it,
        "held_bytes" beside the network.
    """
    part = Budget(budget.name, budget.samples // task.experiences)
    told = _Told([_Seed(*_groups(task, task.trivial(), seed)) for seed in seeds])
    agents: Sequence[Agent] = ()
    for experience in task.stream():
        with meter() as cost:
            agents = learner.learn(experience, seeds=seeds, budget=part, log=log)
        told.add(cost, learner.held() if isinstance(learner, Holder) else None)
        for run, agent, seed in zip(told.seeds, agents, seeds, strict=True):
            if run.rows and not budget.samples:  # who is shown nothing learns nothing
                run.rows.append(run.rows[-1])
                continue
            row, run.errors = _groups(task, agent, seed)
            run.rows.append(row)
    stages = {"test": _result(task, told)}
    for stage in task.card.evaluated[1:]:
        own = agents
        if hasattr(learner, "stage"):  # the two ends of the scale are other agents in each stage
            other = replace(learner, stage=stage)  # type: ignore[type-var]
            own = other.learn(task.stream()[-1], seeds=seeds, budget=part, log=log)
        stages[stage] = _other(task, own, seeds, stage)
    return agents, stages


@dataclass
class _Seed:
    """What was measured of one seed."""

    untrained: NDArray[np.float64]
    errors: NDArray[np.float64]  # of the last row
    rows: list[NDArray[np.float64]] = field(default_factory=list)
    costs: dict[str, list[float]] = field(default_factory=dict)


@dataclass
class _Told:
    """What was measured of all seeds."""

    seeds: list[_Seed]

    def add(self, cost: Cost, held: Sequence[int] | None) -> None:
        """Take note of what an experience cost: of what all seeds did together each gets a part."""
        beside = len(self.seeds)
        for place, run in enumerate(self.seeds):
            found = {
                "seconds": cost.seconds / beside,
                "cpu_seconds": cost.cpu_seconds / beside,
                "energy_kwh": cost.energy_kwh / beside,
            }
            if held is not None:
                found["held_bytes"] = float(held[place])
            for name, value in found.items():
                run.costs.setdefault(name, []).append(value)


def by_group(
    values: NDArray[np.float64], group: Array
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean raw metric in each group of the test set, and its standard errors, (G,).

    Args:
        values: The raw metric of each trial, (N,).
        group: The group of each, (N,) integers from 0.
    """
    sizes = np.bincount(group)
    means = np.bincount(group, values) / sizes
    spread = np.bincount(group, values**2) / sizes - means**2
    return means, np.sqrt(np.maximum(spread, 0.0) / sizes)


def _groups(
    task: StreamTask | ControlTask[Any], agent: Agent, seed: int, stage: str = "test"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean raw metric in each group or kind of world, and its standard errors."""
    if isinstance(task, StreamTask):
        batch = task.test(seed, stage)
        return by_group(batch_metric(task, agent, batch), batch.trials["group"])
    trials = task.card.stage(stage).trials // task.experiences
    worlds = [trial_metric(w, agent, seed=seed, stage=stage, trials=trials) for w in task.stream()]
    errors = [world.std() / np.sqrt(trials) for world in worlds]
    return np.array([world.mean() for world in worlds]), np.array(errors)


def _result(task: StreamTask | ControlTask[Any], told: _Told) -> StageResult:
    """Return what the matrices of all seeds say."""
    matrices = [np.stack(run.rows) for run in told.seeds]
    raw = tuple(float(matrix[-1].mean()) for matrix in matrices)
    extra: dict[str, Any] = {
        "matrix": [matrix.round(_PRECISION).tolist() for matrix in matrices],
        "area": [area(matrix) for matrix in matrices],
    }
    if all(matrix.shape[0] == matrix.shape[1] for matrix in matrices):
        extra["forgetting"] = [forgetting(matrix) for matrix in matrices]
        extra["backward transfer"] = [backward_transfer(matrix) for matrix in matrices]
        extra["forward transfer"] = [
            forward_transfer(m, run.untrained) for m, run in zip(matrices, told.seeds, strict=True)
        ]
        extra["average incremental accuracy"] = [incremental(matrix) for matrix in matrices]
    for name in told.seeds[0].costs:
        extra[name] = [run.costs[name] for run in told.seeds]
    errors = tuple(mean_error(run.errors) for run in told.seeds)
    anchors = task.card.stage("test")
    return StageResult(raw, tuple(score(value, anchors) for value in raw), extra, errors)


def _other(
    task: StreamTask | ControlTask[Any], agents: Sequence[Agent], seeds: Sequence[int], stage: str
) -> StageResult:
    """Return what the last agents earn in another stage."""
    found = [_groups(task, agent, s, stage) for agent, s in zip(agents, seeds, strict=True)]
    raw = tuple(float(means.mean()) for means, _ in found)
    scores = tuple(score(value, task.card.stage(stage)) for value in raw)
    return StageResult(raw, scores, {}, tuple(mean_error(errors) for _, errors in found))


def mean_error(errors: NDArray[np.float64]) -> float:
    """Return the standard error of the mean over groups."""
    return float(np.sqrt((errors**2).sum()) / len(errors))
