"""An agent that answers from an ONNX file; it needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from neurotasks.arrays import Array
from neurotasks.errors import MissingExtra, NeurotasksError

try:
    import onnxruntime as ort
    from onnxruntime.capi import onnxruntime_pybind11_state as failures
except ImportError as error:
    raise MissingExtra("onnxruntime", "torch") from error

__all__ = ["RUNTIME_ERRORS", "ExportError", "OnnxAgent", "session"]

_STEPS_AT_ONCE = 4096  # of trials answered side by side
_ERRORS_ONLY = 3  # of the runtime's own messages

RUNTIME_ERRORS = (
    failures.Fail,
    failures.InvalidArgument,
    failures.InvalidGraph,
    failures.InvalidProtobuf,
    failures.NotImplemented,
    failures.RuntimeException,
)
"""What the runtime raises where a graph cannot be loaded or run."""


class ExportError(NeurotasksError, RuntimeError):
    """A network has no ONNX graph that answers as it does, or a file is not an agent's."""


class OnnxAgent:
    """An agent that answers from an ONNX file, on one thread.

    Attributes:
        session: The runtime's session.
        memory: (layers, width) of the first state, None where there is none. Where the file leaves
            the number of layers free, the first state has one.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.session = session(path.read_bytes())
        except RUNTIME_ERRORS as error:
            raise ExportError(
                f"{path} is no ONNX file that the runtime can run: {error}"
            ) from error
        inputs = {node.name: node.shape for node in self.session.get_inputs()}
        outputs = [node.name for node in self.session.get_outputs()]
        if "observation" not in inputs or "action" not in outputs:
            raise ExportError(
                f"{path} maps {', '.join(inputs)} to {', '.join(outputs)}; an agent maps "
                "'observation' to 'action': write it as agents.onnx.export does"
            )
        shape = inputs.get("state")
        self.memory: tuple[int, int] | None = None
        if shape is not None:
            self.memory = (shape[0] if isinstance(shape[0], int) else 1, shape[2])

    def act(self, observation: Array, state: Array | None) -> tuple[Array, Array | None]:
        """Answer a block of steps.

        Args:
            observation: (B, T, *observation) in the type that the task gives.
            state: (layers, B, width), or None.

        Returns:
            The actions (B, T, *action) and the next state.
        """
        x = np.asarray(observation)
        if self.memory is not None and state is None:
            state = np.zeros((self.memory[0], len(x), self.memory[1]), dtype=np.float32)
        rows = max(_STEPS_AT_ONCE // max(x.shape[1], 1), 1)
        actions, states = [], []
        for start in range(0, max(len(x), 1), rows):
            feed = {"observation": x[start : start + rows]}
            names = ["action"]
            if state is not None:
                feed["state"] = state[:, start : start + rows]
                names.append("next_state")
            action, *after = self.session.run(names, feed)
            trials = len(feed["observation"])
            if after and after[0].shape[1] != trials:
                raise ExportError(
                    f"next_state is of {after[0].shape[1]} trials, not {trials}: its axes are "
                    "(layers, B, width)"
                )
            actions.append(action)
            states.extend(after)
        return np.concatenate(actions), np.concatenate(states, axis=1) if states else None


def session(graph: bytes) -> Any:
    """Return a runtime session on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
