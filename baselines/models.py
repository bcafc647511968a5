"""What can be handed in of an agent: its ONNX graph, or else its answers.

A run that keeps models writes one file for each seed beside its result:

    model-<seed>.onnx    of what can be exported
    answers-<seed>.npz   of any other agent on trials: an array for each public stage
    none-<seed>          of what can be neither, empty: a seed with a file is finished
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from neurotasks.agent import Agent
from neurotasks.results import write_atomically
from neurotasks.submission.pack import KEPT, answers_of, npz
from neurotasks.task import ControlTask, Task

__all__ = ["Model", "kept", "model_of", "write"]


@dataclass(frozen=True)
class Model:
    """One agent as a file.

    Attributes:
        kind: One of `KEPT`.
        content: The bytes of the file.
    """

    kind: str
    content: bytes


def model_of(agent: Agent, task: Task, seed: int) -> Model:
    """Return an agent as a file."""
    if hasattr(agent, "network"):
        return Model("onnx", _graph(agent, task))
    if isinstance(task, ControlTask):
        return Model("none", b"")
    return Model("npz", npz(answers_of(task, agent, seed)))


def _graph(agent: Agent, task: Task) -> bytes:
    from agents.onnx import export  # noqa: PLC0415 - torch loads slowly
    from agents.training import TorchAgent  # noqa: PLC0415

    if not isinstance(agent, TorchAgent):
        raise TypeError(f"{type(agent).__name__} has a network, but is no TorchAgent")
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        path = Path(folder) / "model.onnx"
        export(agent, task, path)
        return path.read_bytes()


def kept(folder: Path, seed: int) -> Path | None:
    """Return the file of a seed, or None where it was not kept."""
    paths = (folder / name.format(seed) for name in KEPT.values())
    return next((path for path in paths if path.is_file()), None)


def write(model: Model, folder: Path, seed: int) -> None:
    """Write the file of a seed, whole or not at all."""
    write_atomically(folder / KEPT[model.kind].format(seed), model.content)
