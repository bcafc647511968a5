"""What runs in a board's sandbox: the task, its seeds, and the answers of what was handed in.

It gets `{"kind", "task", "files", "architecture", "seeds", "stages", "private"}` and answers, for
each stage, the raw metric of each seed, its standard error, and the raw metric of each trial.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neurotasks.agent import Agent
from neurotasks.continual import by_group, is_stream
from neurotasks.evaluate import answered_metric, trial_metric
from neurotasks.registry import load
from neurotasks.task import ControlTask, Task

__all__ = ["Request", "answer", "main", "serve"]


Request: TypeAlias = Mapping[str, Any]


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
            values = _recorded(task, Path(request["files"][0]), seeds, stage)
        else:
            pairs = zip(made, drawn, strict=True)
            values = [trial_metric(task, agent, seed=s, stage=stage) for agent, s in pairs]
        stages[stage] = _told(task, values, drawn, stage)
    return {"stages": stages}


def _graphs(request: Request) -> list[Agent]:
    from neurotasks.onnx_agent import OnnxAgent  # noqa: PLC0415 - predictions need no runtime

    return [OnnxAgent(Path(name)) for name in request["files"]]


def _recorded(
    task: Task, path: Path, seeds: Sequence[int], stage: str
) -> list[NDArray[np.float64]]:
    """Return the raw metric of answers that were written down."""
    if isinstance(task, ControlTask):
        raise TypeError(f"{task.card.id} is a control task; predictions answer trials")
    with np.load(path, allow_pickle=False) as arrays:
        return [
            answered_metric(task, arrays[f"{stage}.{seed}"], seed=seed, stage=stage)
            for seed in seeds
        ]


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
