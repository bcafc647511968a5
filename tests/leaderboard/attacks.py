"""What attacks on submissions are made of: valid ones, and cases that spoil them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from leaderboard.sandbox import Limits
from neurotasks import load
from neurotasks.submission.arrays import shape_of

POINTS = "neurotasks/OrientationDecoding-v0"  # answered with points, trials of one step
CLASSES = "neurotasks/GoNogo-v0"  # answered with classes, trials of many steps
CONTROL = "neurotasks/CartPole-v0"

SMALL = Limits(memory=1 << 30, cpu_seconds=4, wall_seconds=30.0, answer=1 << 20)


@dataclass(frozen=True)
class Case:
    """An attack.

    Attributes:
        name: What it is, unique.
        build: Writes it into an empty folder.
        way: What must refuse or bound it: "inspect" (in this process), "inspect apart" (in the
            sandbox, because it may hurt whoever parses it), "unpack" (the archive upload.zip), or
            "score" (in the sandbox; the inspection finds nothing).
        reason: What the refusal must say, a regular expression.
        limits: Of the sandbox.
        slow: Whether it takes seconds.
    """

    name: str
    build: Callable[[Path], None]
    way: str
    reason: str
    limits: Limits = field(default=SMALL)
    slow: bool = False


def record(
    task_id: str, format_: str, held: Mapping[str, bytes], /, **changes: Any
) -> dict[str, Any]:
    """Return the manifest of a valid submission of one seed and these files, with changes."""
    weights = {"name": "mlp", "width": 4} if format_ == "weights" else {}
    return {
        "schema": 1,
        "task": task_id,
        "card": load(task_id).card.hash,
        "agent": "mlp",
        "format": format_,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in held.items()},
        "seeds": [0],
        "architecture": weights,
        "parameters": 130,
        "samples": 1000,
        "flops": 1000,
        "seconds": 1.5,
        "cpu_seconds": 1.25,
        "energy_kwh": 1e-6,
        "energy_method": "estimate",
        "hardware": "Test processor",
        "versions": {"python": "3.11.7"},
        "commit": "0123abcd",
        "config": {"width": 4, "rates": [0.1, 0.2]},
        "claimed": {"test": [1.0]},
        "external_data": False,
        "tuning_trials": 0,
        "description": "",
        "link": "",
        **changes,
    }


def write(
    folder: Path, manifest: str | bytes | Mapping[str, Any], files: Mapping[str, bytes]
) -> None:
    """Write a submission."""
    if isinstance(manifest, Mapping):
        manifest = json.dumps(manifest)
    content = manifest if isinstance(manifest, bytes) else manifest.encode("utf-8", "surrogatepass")
    (folder / "manifest.json").write_bytes(content)
    for name, held in files.items():
        (folder / name).write_bytes(held)


def hand_in(folder: Path, content: bytes, format_: str = "onnx", task: str = POINTS) -> None:
    """Write a submission of one file, whose manifest is in order."""
    names = {"onnx": "model.onnx", "weights": "weights.safetensors"}
    files = {names.get(format_, "predictions.npz"): content}
    write(folder, record(task, format_, files), files)


def points(nodes: list[Any] | None = None, **words: Any) -> onnx.ModelProto:
    """Return the graph of an agent for `POINTS`; by default a matrix and bounds."""
    plain = [
        helper.make_node("MatMul", ["observation", "weights"], ["drive"]),
        helper.make_node("Tanh", ["drive"], ["action"]),
    ]
    matrix = np.linspace(-0.1, 0.1, 128, dtype=np.float32).reshape(64, 2)
    return model(
        plain if nodes is None else nodes,
        inputs={"observation": (TensorProto.FLOAT, ("batch", "length", 64))},
        outputs={"action": (TensorProto.FLOAT, ("batch", "length", 2))},
        initializers=[numpy_helper.from_array(matrix, "weights")],
        **words,
    )


def classes(nodes: list[Any], *, memory: bool = False, **words: Any) -> onnx.ModelProto:
    """Return the graph of an agent for `CLASSES`, by default without memory."""
    state = {"state": (TensorProto.FLOAT, (1, "batch", 4))} if memory else {}
    after = {"next_state": state["state"]} if memory else {}
    return model(
        nodes,
        inputs={"observation": (TensorProto.FLOAT, ("batch", "length", 3)), **state},
        outputs={"action": (TensorProto.INT64, ("batch", "length")), **after},
        **words,
    )


def model(
    nodes: list[Any],
    inputs: Mapping[str, tuple[int, tuple[Any, ...]]],
    outputs: Mapping[str, tuple[int, tuple[Any, ...]]],
    initializers: list[Any] | None = None,
    opset: int = 20,
) -> onnx.ModelProto:
    """Return any graph."""
    graph = helper.make_graph(
        nodes,
        "agent",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(name, *kind) for name, kind in outputs.items()],
        initializers or [],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def constant(name: str, value: Any, kind: Any = np.int64) -> Any:
    """Return a node that holds numbers."""
    array = np.asarray(value, dtype=kind)
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array))


def answers(task_id: str, seeds: tuple[int, ...] = (0,)) -> dict[str, np.ndarray]:
    """Return valid predictions."""
    task = load(task_id)
    kind = np.float32 if task.action_space.shape else np.int64
    return {
        f"{stage}.{seed}": np.zeros(shape_of(task, stage), kind)
        for stage in task.card.evaluated
        for seed in seeds
    }


def npz(arrays: Mapping[str, Any]) -> bytes:
    """Return arrays as NumPy writes them."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def safetensors(header: Any, data: bytes) -> bytes:
    """Return a file of weights with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def weights() -> dict[str, Any]:
    """Return the header of valid weights: 24 bytes in two tensors."""
    return {
        "0.a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "0.b": {"dtype": "F32", "shape": [2], "data_offsets": [16, 24]},
    }
