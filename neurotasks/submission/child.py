"""What runs in a board's sandbox: the task, its seeds, and the answers of what was handed in.

It gets `{"kind", "task", "files", "architecture", "seeds", "stages", "private"}` and answers, for
each stage, the raw metric of each seed, its standard error, the raw metric of each trial, and in
the stage test what the task tells besides, by part.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neurotasks.agent import Agent
from neurotasks.arrays import Array
from neurotasks.continual import by_group, mean_error
from neurotasks.errors import CorruptSubmission
from neurotasks.evaluate import answered, figures, measured, trial_metric
from neurotasks.registry import load
from neurotasks.task import ControlTask, Details, StreamTask, Task

__all__ = ["Request", "answer", "main", "serve"]


_CHOSEN = 64  # trials that are answered alone
_TOLERANCE = 1e-3
_SAME = 0.99  # share of answers that must agree: rounding decides between equal classes

Request: TypeAlias = Mapping[str, Any]
Measured: TypeAlias = tuple[NDArray[np.float64], Details]


def main() -> None:
    """Score ONNX files or predictions."""
    serve(_graphs)


def serve(agents: Callable[[Request], Sequence[Agent]]) -> None:
    """Read the request, score, and write the answer; an error is an answer too.

    Args:
        agents: Makes the agents of a request, one for each seed.
    """
    request = json.loads(sys.stdin.buffer.read())
    try:
        told = answer(request, agents)
    except MemoryError:
        told = {"error": "the memory that a submission may use is not enough"}
    except Exception as error:  # noqa: BLE001 - whatever goes wrong here is the submission's own
        told = {"error": f"{type(error).__name__}: {error}"}
    sys.stdout.write(json.dumps(told))


def answer(request: Request, agents: Callable[[Request], Sequence[Agent]]) -> dict[str, Any]:
    """Return what was measured, by stage."""
    task, seeds = load(request["task"]), request["seeds"]
    recorded = request["kind"] == "predictions"
    made = () if recorded else agents(request)
    stages: dict[str, Any] = {}
    for stage in request["stages"]:
        drawn = request["private"] if stage == "private" else seeds
        if recorded:
            runs = _recorded(task, Path(request["files"][0]), seeds, stage)
        else:
            pairs = zip((_checked(task, agent, request) for agent in made), drawn, strict=True)
            runs = [_run(task, agent, s, stage) for agent, s in pairs]
        stages[stage] = _told(task, runs, drawn, stage)
    return {"stages": stages}


def _checked(task: Task, agent: Agent, request: Request) -> Agent:
    """Return an agent whose answers to trials are checked; episodes are too many to do so."""
    if isinstance(task, ControlTask):
        return agent
    return _Alone(agent, np.random.default_rng(request["private"]))


@dataclass(frozen=True)
class _Alone:
    """An agent that must answer some trials as well when no others stand beside them.

    Attributes:
        agent: The agent.
        draw: Chooses the trials; its seed is nothing that a submission knows.
    """

    agent: Agent
    draw: np.random.Generator

    def act(self, observation: Array, state: Any) -> tuple[Array, Any]:
        """Answer a block of steps.

        Raises:
            CorruptSubmission: Answers depend on the other trials.
        """
        action, after = self.agent.act(observation, state)
        if state is None and len(action) == len(observation) > _CHOSEN:
            rows = self.draw.choice(len(observation), _CHOSEN, replace=False)
            alone, together = self.agent.act(observation[rows], None)[0], action[rows]
            scale = float(np.max(np.abs(together), initial=1.0))
            if np.shape(alone) != np.shape(together) or not np.isfinite(scale):
                return action, after  # which is no answer, and will be told so
            same = np.isclose(alone, together, rtol=_TOLERANCE, atol=_TOLERANCE * scale)
            if same.mean() < _SAME:
                raise CorruptSubmission(
                    "the agent answers trials otherwise when no others stand beside them: its "
                    "answer to a trial may depend on that trial alone"
                )
        return action, after


def _graphs(request: Request) -> list[Agent]:
    from neurotasks.onnx_agent import OnnxAgent  # noqa: PLC0415 - predictions need no runtime

    return [OnnxAgent(Path(name)) for name in request["files"]]


def _run(task: Task, agent: Agent, seed: int, stage: str) -> Measured:
    """Return what an agent earns in each trial; details are shown of the stage test alone."""
    if stage == "test":
        return measured(task, agent, seed=seed, stage=stage)
    return trial_metric(task, agent, seed=seed, stage=stage), {}


def _recorded(task: Task, path: Path, seeds: Sequence[int], stage: str) -> list[Measured]:
    """Return what answers earn that were written down."""
    if isinstance(task, ControlTask):
        raise TypeError(f"{task.card.id} is a control task; predictions answer trials")
    with np.load(path, allow_pickle=False) as arrays:
        return [answered(task, arrays[f"{stage}.{seed}"], seed=seed, stage=stage) for seed in seeds]


def _told(task: Task, runs: Sequence[Measured], seeds: Sequence[int], stage: str) -> dict[str, Any]:
    """Return raw metric, standard error, items and details of each seed as plain JSON types."""
    found = [_one(task, run, seed, stage) for run, seed in zip(runs, seeds, strict=True)]
    raw, error = [one[0] for one in found], [one[1] for one in found]
    if not np.isfinite((raw, error)).all():
        raise ArithmeticError(f"in stage {stage!r} the raw metrics {raw} are not all finite")
    items = np.stack([value for value, _ in runs]).astype(np.float32)
    packed = base64.b64encode(items.tobytes()).decode("ascii")
    return {"raw": raw, "error": error, "items": packed, "trials": items.shape[1],
            "details": _whole([one[2] for one in found]) if stage == "test" else {}}  # fmt: skip


def _one(task: Task, run: Measured, seed: int, stage: str) -> tuple[float, float, Details]:
    """Return raw metric, standard error and details of a run; a stream tells its parts too."""
    value, details = run
    name = task.card.metric.name
    if isinstance(task, StreamTask):
        groups, errors = by_group(value, task.test(seed, stage).trials["group"])
        details = {f"{name} by group": _numbered(groups)}
        return float(groups.mean()), mean_error(errors), details
    if isinstance(task, ControlTask) and task.experiences:  # kinds of worlds come by turns
        worlds = [value[kind :: task.experiences].mean() for kind in range(task.experiences)]
        details = {**details, f"{name} by world": _numbered(worlds)}
    return float(value.mean()), float(value.std() / np.sqrt(len(value))), details


def _numbered(means: Iterable[float]) -> dict[str, float]:
    return {str(number): float(mean) for number, mean in enumerate(means, start=1)}


def _whole(runs: Sequence[Details]) -> dict[str, list[dict[str, float]]]:
    """Return the figures that every run has, all parts of them finite.

    One that never answers some stimulus has no figure there, and no other run is compared with it.
    """
    told: dict[str, list[dict[str, float]]] = {}
    for name, seeds in figures(runs).items():
        plain = [{str(part): float(value) for part, value in parts.items()} for parts in seeds]
        same = len({tuple(parts) for parts in plain}) == 1 and len(plain) == len(runs)
        if same and plain[0] and np.isfinite([[*parts.values()] for parts in plain]).all():
            told[name] = plain
    return told
