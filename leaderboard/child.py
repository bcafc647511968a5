"""What runs in the sandbox: the task, its seeds, and the answers of what was handed in.

It gets `{"kind", "task", "files", "seeds", "stages", "private"}` and answers, for each stage, the
raw metric of each seed, its standard error, and the raw metric of each trial.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotasks import load
from neurotasks.agent import Agent
from neurotasks.continual import by_group, is_stream
from neurotasks.evaluate import answered_metric, trial_metric
from neurotasks.task import ControlTask, Task

__all__ = ["answer", "main"]


def main() -> None:
    """Read the request, score, and write the answer; an error is an answer too."""
    request = json.loads(sys.stdin.buffer.read())
    try:
        told = answer(request)
    except MemoryError:
        told = {"error": "the memory that a submission may use is not enough"}
    except Exception as error:  # noqa: BLE001 - whatever goes wrong here is the submission's own
        told = {"error": f"{type(error).__name__}: {error}"}
    sys.stdout.write(json.dumps(told))


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was measured, by stage."""
    task, seeds = load(request["task"]), request["seeds"]
    files = [Path(name) for name in request["files"]]
    stages: dict[str, Any] = {}
    for stage in request["stages"]:
        drawn = request["private"] if stage == "private" else seeds
        values = _values(request["kind"], task, files, (seeds, drawn), stage)
        stages[stage] = _told(task, values, drawn, stage)
    return {"stages": stages}


def _values(
    kind: str,
    task: Task,
    files: Sequence[Path],
    seeds: tuple[Sequence[int], Sequence[int]],
    stage: str,
) -> list[NDArray[np.float64]]:
    """Return the raw metric of each trial of each seed."""
    own, drawn = seeds
    if kind == "predictions":
        return [_recorded(task, files[0], seed, stage) for seed in own]
    agents = _agents(files)
    return [
        trial_metric(task, agent, seed=seed, stage=stage)
        for agent, seed in zip(agents, drawn, strict=True)
    ]


def _agents(files: Sequence[Path]) -> list[Agent]:
    from neurotasks.onnx_agent import OnnxAgent  # noqa: PLC0415 - predictions need no runtime

    return [OnnxAgent(path) for path in files]


def _recorded(task: Task, path: Path, seed: int, stage: str) -> NDArray[np.float64]:
    """Return the raw metric of answers that were written down."""
    if isinstance(task, ControlTask):
        raise TypeError(f"{task.card.id} is a control task; predictions answer trials")
    with np.load(path, allow_pickle=False) as arrays:
        return answered_metric(task, arrays[f"{stage}.{seed}"], seed=seed, stage=stage)


def _told(
    task: Task, values: Sequence[NDArray[np.float64]], seeds: Sequence[int], stage: str
) -> dict[str, Any]:
    """Return raw metric, standard error and items of each seed as plain JSON types."""
    raw, error = [], []
    for value, seed in zip(values, seeds, strict=True):
        if is_stream(task) and not isinstance(task, ControlTask):
            groups, errors = by_group(task, value, seed, stage)  # type: ignore[arg-type]
            raw.append(float(groups.mean()))
            error.append(float(np.sqrt((errors**2).sum()) / len(groups)))
        else:
            raw.append(float(value.mean()))
            error.append(float(value.std() / np.sqrt(len(value))))
    items = np.stack(values).astype(np.float32)
    packed = base64.b64encode(items.tobytes()).decode("ascii")
    return {"raw": raw, "error": error, "items": packed, "trials": items.shape[1]}
