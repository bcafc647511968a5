"""Inspection of an ONNX graph: walked as data, never run, and nothing outside its file is opened.

The runtime's own checks are no safety checks: they pass endless loops, random operators and bombs.
Here a graph is refused that refers to other files anywhere (in initialisers, sub-graphs,
attributes, sparse tensors), that uses an operator outside the list below or outside ONNX's own
domain, that is too large or too deep, or whose signature is not that of an agent of the task. What
only shows when it runs (time, memory) is bounded by the sandbox.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from neurotasks.errors import MissingExtra
from neurotasks.submission.problem import LARGEST_FILE, Problem
from neurotasks.task import Task

__all__ = ["OPERATORS", "problems"]

OPERATORS = frozenset(
    """Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization
    BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu Clip Compress Concat
    Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace Div Einsum Elu Equal
    Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm
    GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization
    HardSigmoid HardSwish Hardmax Identity If InstanceNormalization IsInf IsNaN LRN LSTM
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax Loop LpNormalization LpPool MatMul
    Max MaxPool Mean MeanVarianceNormalization Min Mish Mod Mul Neg NonZero Not OneHot Or PRelu Pad
    Pow RNN Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean
    ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence Round Scan
    ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus
    Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile TopK
    Transpose Trilu Unsqueeze Where Xor""".split()  # noqa: SIM905 - one name a line is no table
)
"""The operators that an agent may use: all that compute from their inputs alone."""

_DOMAINS = ("", "ai.onnx")
_NODES, _DEPTH, _TENSORS = 20_000, 12, 20_000
_EXPORT = "export it with agents.onnx.export"
_RANKS = {"state": 3, "next_state": 3}  # (layers, B, width)
_BATCHED = 2  # axes B and T before those of an observation or an action


def problems(path: Path, task: Task) -> Iterator[Problem]:
    """Yield what is wrong with the graph of an agent.

    Raises:
        MissingExtra: The library onnx is not installed.
    """
    try:
        import onnx  # noqa: PLC0415 - an extra
        from google.protobuf.message import DecodeError  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtra("onnx", "board") from error
    if path.stat().st_size > LARGEST_FILE:
        yield Problem(
            path.name, f"it has {path.stat().st_size:,} bytes", f"{LARGEST_FILE:,} at most"
        )
        return
    try:
        model = onnx.ModelProto.FromString(path.read_bytes())
    except (DecodeError, ValueError, RecursionError) as error:
        yield Problem(path.name, f"it is no ONNX file ({error})", _EXPORT)
        return
    for what, cure in (*_model_faults(model), *_walk(model.graph), *_signature(model.graph, task)):
        yield Problem(path.name, what, cure)


_Fault = tuple[str, str]


def _model_faults(model: Any) -> Iterator[_Fault]:
    for imported in model.opset_import:
        if imported.domain not in _DOMAINS:
            yield f"it imports operators of domain {_short(imported.domain)}", _EXPORT
    if len(model.functions) > 0:
        yield f"it defines {len(model.functions)} functions of its own", "inline them"
    if len(model.training_info) > 0:
        yield "it holds training information", _EXPORT


def _walk(graph: Any) -> Iterator[_Fault]:
    """Yield the faults of a graph and of all graphs in it; each kind of fault once."""
    waiting, nodes, tensors = [(graph, 1)], 0, 0
    seen: set[str] = set()
    while waiting:
        here, depth = waiting.pop()
        nodes += len(here.node)
        held = [
            *here.initializer,
            *(t for s in here.sparse_initializer for t in (s.values, s.indices)),
        ]
        inner: list[Any] = []
        for node in here.node[: _NODES + 1]:
            for what in _node_faults(node):
                if what not in seen:
                    seen.add(what)
                    yield what, "use ONNX's own operators that compute from their inputs alone"
            for attribute in node.attribute:
                held += _tensors_of(attribute)
                inner += [attribute.g] if attribute.HasField("g") else []
                inner += attribute.graphs
        tensors += len(held)
        if any(tensor.data_location or tensor.external_data for tensor in held):
            yield "it refers to data in another file", "keep all weights in the graph's own file"
            return
        if nodes > _NODES or tensors > _TENSORS or depth > _DEPTH:
            yield (
                f"it has more than {_NODES:,} nodes, {_TENSORS:,} tensors or {_DEPTH} levels",
                "make it smaller",
            )
            return
        waiting += [(one, depth + 1) for one in inner]


def _node_faults(node: Any) -> Iterator[str]:
    if node.domain not in _DOMAINS:
        yield f"it uses the operator {_short(node.op_type)} of domain {_short(node.domain)}"
    elif node.op_type not in OPERATORS:
        yield f"it uses the operator {_short(node.op_type)}, which is not allowed"


def _tensors_of(attribute: Any) -> list[Any]:
    sparse = [*attribute.sparse_tensors]
    if attribute.HasField("sparse_tensor"):
        sparse.append(attribute.sparse_tensor)
    own = [attribute.t] if attribute.HasField("t") else []
    return [*own, *attribute.tensors, *(t for s in sparse for t in (s.values, s.indices))]


def _signature(graph: Any, task: Task) -> Iterator[_Fault]:
    """Yield in what a graph differs from observation, state -> action, logits, next_state."""
    given = {name.name for name in graph.initializer}
    inputs = {value.name: value for value in graph.input if value.name not in given}
    outputs = {value.name: value for value in graph.output}
    named = f"{_names(inputs)} -> {_names(outputs)}"
    if "observation" not in inputs or set(inputs) - {"observation", "state"}:
        yield f"it maps {named}", "its inputs are observation and, with memory, state"
        return
    wanted = {"action"} | ({"next_state"} if "state" in inputs else set())
    if not wanted <= set(outputs) or set(outputs) - wanted - {"logits"}:
        yield f"it maps {named}", "its outputs are action, logits and, with memory, next_state"
        return
    space = task.observation_space
    kind = np.dtype(np.int64) if isinstance(space, gym.spaces.Discrete) else np.dtype(space.dtype)
    yield from _value_faults(inputs["observation"], (kind,), space.shape or ())
    action = task.action_space
    discrete = isinstance(action, gym.spaces.Discrete)
    kinds = (np.dtype(np.int64), np.dtype(np.int32)) if discrete else (np.dtype(np.float32),)
    yield from _value_faults(outputs["action"], kinds, action.shape or ())
    for name in ("state", "next_state"):
        for value in (inputs.get(name), outputs.get(name)):
            if value is not None and len(value.type.tensor_type.shape.dim) != _RANKS[name]:
                yield f"{name} is not of three axes", "it is (layers, B, width)"


def _value_faults(
    value: Any, kinds: tuple[np.dtype[Any], ...], shape: tuple[int, ...]
) -> Iterator[_Fault]:
    import onnx  # noqa: PLC0415 - an extra

    tensor = value.type.tensor_type
    allowed = {onnx.helper.np_dtype_to_tensor_dtype(kind) for kind in kinds}
    if tensor.elem_type not in allowed:
        yield f"{value.name} is of type {tensor.elem_type}", f"it must be {kinds[0]}"
    sizes = [dim.dim_value for dim in tensor.shape.dim]
    own = sizes[_BATCHED:]
    fits = len(sizes) == _BATCHED + len(shape) and all(
        size in (0, wanted) for size, wanted in zip(own, shape, strict=True)
    )
    if not fits:
        yield (
            f"{value.name} has the shape {sizes}",
            f"it must be (B, T, {', '.join(map(str, shape))})",
        )


def _names(values: Iterable[str]) -> str:
    return ", ".join(_short(name) for name in list(values)[:6]) or "nothing"


def _short(text: str) -> str:
    """Return a name that is safe to show."""
    return ascii(text[:40])
