"""Export of torch agents to ONNX.

The signature of a file is that of `act`, with B trials and T steps left free:

    in   observation  (B, T, *observation), of the type that the task gives
    in   state        (layers, B, width), of a network with memory alone; zeros at the first step;
                      where the layers are left free, one layer of zeros is enough
    out  action       (B, T, *action); for a class int64, the one with the highest logit
    out  logits       (B, T, classes), for a class alone
    out  next_state   (layers, B, width), with "state"; a graph cannot use one name twice

Torch has two exporters, and each fails on networks that the other one takes. The newer one goes
first; its graph must answer as the network does at several sizes, or else the older one has its
turn. Of a network that is a loop over time in Python both would write the length of the example
down: one step of it is exported, and a loop is put around. A graph that answers otherwise is never
written.
"""

from __future__ import annotations

import copy
import importlib.util
import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from agents.devices import one_thread
from agents.onnx_loop import NOW, loop
from agents.training import TorchAgent
from neurotasks.arrays import Array
from neurotasks.errors import MissingExtra
from neurotasks.onnx_agent import RUNTIME_ERRORS, ExportError, OnnxAgent, session
from neurotasks.results import write_atomically
from neurotasks.rng import Draw
from neurotasks.task import ControlTask, Task

try:
    import onnx
    import torch
except ImportError as error:
    raise MissingExtra(error.name or "onnx", "torch") from error

from torch import Tensor, nn

__all__ = ["ExportError", "OnnxAgent", "export", "export_module"]

Axes: TypeAlias = Mapping[str, Mapping[int, str]]
"""Inputs or outputs in order, with their free axes: name -> {axis: name of the axis}."""

_OPSET = 20
_SIZES = (1, 2, 7, 33)  # of a free axis, at which a graph must agree with the network
_RELATIVE, _ABSOLUTE = 1e-4, 1e-5
_EXAMPLE = (3, 4)  # (B, T) that the exporters see
_PAST = 5  # steps in a state that grows, that the exporters see

# What torch's exporters say about their own insides and about sizes, which the comparison proves.
_NOISE = (
    r"You are using the legacy TorchScript-based ONNX export",
    r"The feature will be removed. Please remove usage of this function",
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    r"_check_is_size will be removed",
    r"The tensor attributes? .* assigned during export",
    r"# The axis name: ",
    r"Exporting a model to ONNX with a batch_size other than 1",
    r"Converting a tensor to a Python",
)


class _Answerer(nn.Module):
    """A network with its readout, as the file's signature has it."""

    def __init__(self, agent: TorchAgent) -> None:
        super().__init__()
        self.network, self.readout = agent.network, agent.readout

    def forward(self, observation: Tensor, state: Tensor | None = None) -> tuple[Tensor, ...]:
        output, after = self.network(observation, state)
        action = self.readout.action(output)
        logits = (output,) if self.readout.classes else ()
        return (action, *logits, *(() if after is None else (after,)))


def export(agent: TorchAgent, task: Task, path: Path) -> None:
    """Write an agent as an ONNX file.

    Args:
        agent: The agent; it stays as it is.
        task: The task it answers, for examples of its observations.
        path: The file.

    Raises:
        ExportError: No exporter gives a graph that answers as the network does.
        UnwritableFolder: The folder cannot be written.
    """
    batch, length = _EXAMPLE
    seen = _observations(task, batch * length)
    x = np.resize(seen, (batch, length, *seen.shape[2:]))
    example = {"observation": torch.tensor(x)}
    free = {0: "batch", 1: "length"}
    inputs, outputs = {"observation": free}, {"action": free}
    if agent.readout.classes:
        outputs["logits"] = free
    if agent.network.state is not None:
        layers, width = agent.network.state
        some = torch.linspace(-1.0, 1.0, width)
        example["state"] = some.expand(layers or _PAST, batch, width).clone()
        before, after = ({}, {}) if layers else ({0: "past"}, {0: "kept"})
        inputs["state"], outputs["next_state"] = before | {1: "batch"}, after | {1: "batch"}
    looped = agent.network.looped
    export_module(_Answerer(agent), example, inputs, outputs, path, looped=looped)


def _observations(task: Task, trials: int) -> Array:
    """Return what some trials show, (B, T, *observation); of a control task their first steps."""
    if isinstance(task, ControlTask):
        draw = Draw(task.card.label, "test", 0, 0, trials)
        state = task.initial(draw, **task.card.stage("test").parameters)
        return np.asarray(task.observe(state))[:, None]
    return np.asarray(task.sample(trials, 0, "test").x)


def export_module(
    module: nn.Module,
    example: Mapping[str, Tensor],
    inputs: Axes,
    outputs: Axes,
    path: Path,
    *,
    looped: bool = False,
) -> None:
    """Write any module as an ONNX file, once the file is seen to answer as the module does.

    Args:
        module: From the inputs, by position, to a tuple of the outputs. It stays as it is.
        example: Inputs by name, each free axis at least 2 long: real ones, as they are compared.
        inputs: The inputs in order, with their free axes.
        outputs: The outputs in order, with their free axes.
        path: The file: a single one, written whole or not at all.
        looped: Whether the module is a loop over time, from "observation" and "state" to answers
            of each step and "next_state"; then one step of it is exported.

    Raises:
        ExportError: No exporter gives a graph that answers as the module does.
        MissingExtra: onnxscript is not installed.
        UnwritableFolder: The folder cannot be written.
    """
    if importlib.util.find_spec("onnxscript") is None:
        raise MissingExtra("onnxscript", "torch")
    module = copy.deepcopy(module).cpu().eval()
    problems = []
    whole = (("torch.export", _newer), ("TorchScript", _older))
    for name, exporter in (("torch.export of one step", _stepped),) if looped else whole:
        try:
            with one_thread(), torch.no_grad(), _quiet():
                graph = _tidy(exporter(module, example, inputs, outputs), inputs, outputs)
                problem = _disagreement(module, graph, example, inputs)
        except (RuntimeError, *RUNTIME_ERRORS) as error:
            problem = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
        if problem is None:
            write_atomically(path, graph)
            return
        problems.append(f"by {name}, {problem}")
    raise ExportError(
        f"{type(module).__name__} cannot be exported, so that {path} is not written; "
        + "; ".join(problems)
    )


def _newer(
    module: nn.Module, example: Mapping[str, Tensor], inputs: Axes, outputs: Axes
) -> onnx.ModelProto:
    """Export with torch.export."""
    names = {name for axes in inputs.values() for name in axes.values()}
    free = {name: torch.export.Dim(name) for name in names}
    program = torch.onnx.export(
        module,
        tuple(example.values()),
        dynamo=True,
        external_data=False,
        verbose=False,
        opset_version=_OPSET,
        input_names=list(inputs),
        output_names=list(outputs),
        dynamic_shapes=tuple(
            {axis: free[name] for axis, name in axes.items()} for axes in inputs.values()
        ),
    )
    if program is None:
        raise ExportError("the exporter returned nothing")
    return program.model_proto


class _OneStep(nn.Module):
    """A module without the axis of time."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, observation: Tensor, state: Tensor) -> tuple[Tensor, ...]:
        *answers, after = self.module(observation.unsqueeze(1), state)
        return (*(answer.squeeze(1) for answer in answers), after)


def _stepped(
    module: nn.Module, example: Mapping[str, Tensor], inputs: Axes, outputs: Axes
) -> onnx.ModelProto:
    """Export one step with torch.export, and put a loop around it."""
    now = {"observation": example["observation"][:, 0], "state": example["state"]}
    before = {name + NOW: {0: "batch"} if name != "state" else inputs[name] for name in now}
    after = {name + NOW: axes for name, axes in outputs.items()}
    step = _newer(_OneStep(module).eval(), now, before, after)
    return loop(step, [name for name in outputs if name != "next_state"])


def _older(
    module: nn.Module, example: Mapping[str, Tensor], inputs: Axes, outputs: Axes
) -> onnx.ModelProto:
    """Export by tracing."""
    file: Any = io.BytesIO()  # which torch takes, though its annotation says paths only
    torch.onnx.export(
        module,
        tuple(example.values()),
        file,
        dynamo=False,
        opset_version=_OPSET,
        input_names=list(inputs),
        output_names=list(outputs),
        dynamic_axes={name: dict(axes) for name, axes in (*inputs.items(), *outputs.items())},
    )
    return onnx.load_from_string(file.getvalue())


def _tidy(model: onnx.ModelProto, inputs: Axes, outputs: Axes) -> bytes:
    """Return the file's bytes, with free axes declared as free and no sizes of the example."""
    del model.graph.value_info[:]
    for node in (*model.graph.input, *model.graph.output):
        for axis, name in {**inputs, **outputs}[node.name].items():
            node.type.tensor_type.shape.dim[axis].dim_param = name
    return bytes(model.SerializeToString())


def _disagreement(
    module: nn.Module, graph: bytes, example: Mapping[str, Tensor], inputs: Axes
) -> str | None:
    """Return where the graph answers otherwise than the module, or None."""
    running = session(graph)
    names = [node.name for node in running.get_outputs()]
    for feed in _feeds(example, inputs):
        expected = module(*feed.values())
        answers = running.run(None, {name: value.numpy() for name, value in feed.items()})
        for name, truth, answer in zip(names, expected, answers, strict=True):
            if not _equal(truth.numpy(), answer):
                sizes = {key: tuple(value.shape) for key, value in feed.items()}
                return f"{name} differs from the network's for inputs {sizes}"
    return None


def _feeds(example: Mapping[str, Tensor], inputs: Axes) -> Iterator[dict[str, Tensor]]:
    """Yield inputs of several sizes, filled with what the example holds."""
    free = sorted({name for axes in inputs.values() for name in axes.values()})
    for turn in range(len(_SIZES)):
        sizes = {name: _SIZES[(turn + k) % len(_SIZES)] for k, name in enumerate(free)}
        feed = {}
        for name, value in example.items():
            resized = value
            for axis, label in inputs[name].items():
                index = (torch.arange(sizes[label]) + turn) % resized.shape[axis]
                resized = resized.index_select(axis, index)
            feed[name] = resized
        yield feed


def _equal(truth: Array, answer: Array) -> bool:
    """Return whether two outputs agree: integers exactly, floats up to rounding."""
    if truth.shape != answer.shape or truth.dtype != answer.dtype:
        return False
    if truth.dtype.kind != "f":
        return bool((truth == answer).all())
    size = max(1.0, float(np.abs(truth).max(initial=0.0)))
    return bool(np.allclose(truth, answer, rtol=_RELATIVE, atol=_ABSOLUTE * size))


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the exporters' known warnings, none of which says anything about the answer."""
    with warnings.catch_warnings():
        for message in _NOISE:
            warnings.filterwarnings("ignore", message=message)
        yield
