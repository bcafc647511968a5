"""Inspection of an ONNX graph: walked as data, never run, and nothing outside its file is opened.

The runtime's own checks are no safety checks: they pass endless loops, random operators and bombs.
Here a graph is refused that refers to other files anywhere (in initialisers, sub-graphs,
attributes, sparse tensors), that uses an operator outside the list below or outside ONNX's own
domain, that is too large or too deep, or whose signature is not that of an agent of the task. What
only shows when it runs (time, memory) is bounded by the sandbox.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from neurotasks.errors import MissingExtra
from neurotasks.submission.problem import LARGEST_FILE, Problem
from neurotasks.submission.strict import shown
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
_VERSIONS = range(3, 100)  # of the format; what a runtime does not know yet, it refuses itself
_OPSETS = range(9, 100)  # of ONNX's own operators, likewise
_NUMBERS = frozenset((*range(1, 8), *range(9, 14), 16))  # types of tensors: no text, nothing exotic
_LAYERS, _WIDTH = 1024, 1 << 16  # of a state
_FAULTS = 20  # that are told
_EXPORT = "export it with agents.onnx.export"
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
        yield Problem(path.name, f"it is no ONNX file ({shown(error)})", _EXPORT)
        return
    faults = (_model_faults(model), _walk(model.graph), _signature(model.graph, task))
    for what, cure in islice(chain.from_iterable(faults), _FAULTS):
        yield Problem(path.name, what, cure)


_Fault = tuple[str, str]


def _model_faults(model: Any) -> Iterator[_Fault]:
    for imported in model.opset_import:
        if imported.domain not in _DOMAINS:
            yield f"it imports operators of domain {_short(imported.domain)}", _EXPORT
    if model.ir_version not in _VERSIONS:
        yield f"it is of version {model.ir_version} of ONNX's format", _EXPORT
    own = [imported.version for imported in model.opset_import if imported.domain in _DOMAINS]
    if len(own) != 1 or own[0] not in _OPSETS:
        yield f"it imports the versions {own[:5]} of ONNX's own operators", _EXPORT
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
        tensors += len(here.initializer) + 2 * len(here.sparse_initializer)
        for node in here.node[: _NODES + 1]:
            for attribute in node.attribute:
                tensors += 1 + len(attribute.tensors) + 2 * len(attribute.sparse_tensors)
                nodes += len(attribute.graphs)
        if nodes > _NODES or tensors > _TENSORS or depth > _DEPTH:
            most = f"{_NODES:,} nodes, {_TENSORS:,} tensors and attributes, or {_DEPTH} levels"
            yield f"it has more than {most}", "make it smaller"
            return
        for what, cure in _graph_faults(here):
            if what not in seen:
                seen.add(what)
                yield what, cure
        waiting += [(one, depth + 1) for node in here.node for one in _graphs_of(node)]


def _graph_faults(graph: Any) -> Iterator[_Fault]:
    """Yield what is wrong with a graph, the graphs in it left out."""
    held = [*graph.initializer, *_parts(graph.sparse_initializer)]
    for node in graph.node:
        for what in _node_faults(node):
            yield what, "use ONNX's own operators that compute from their inputs alone"
        for attribute in node.attribute:
            held += _tensors_of(attribute)
    for tensor in held:
        if tensor.data_location or tensor.external_data:
            yield "it refers to data in another file", "keep all weights in the graph's own file"
        if tensor.data_type not in _NUMBERS:
            yield f"it holds a tensor of type {tensor.data_type}", "use numbers"


def _graphs_of(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


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
    return [*own, *attribute.tensors, *_parts(sparse)]


def _parts(sparse: Iterable[Any]) -> Iterator[Any]:
    """Yield the two plain tensors of each sparse one."""
    for tensor in sparse:
        yield from (tensor.values, tensor.indices)


def _signature(graph: Any, task: Task) -> Iterator[_Fault]:
    """Yield in what a graph differs from observation, state -> action, logits, next_state."""
    given = {tensor.name for tensor in graph.initializer}
    inputs = {value.name: value for value in graph.input if value.name not in given}
    outputs = {value.name: value for value in graph.output}
    named = f"{_names(inputs)} -> {_names(outputs)}"
    names = [value.name for value in (*graph.input, *graph.output)]
    if len(set(names)) < len(names):
        yield f"it maps {named}, a name twice", "give each input and output a name of its own"
        return
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
    if "state" in inputs:
        yield from _state_faults(inputs["state"])
        yield from _state_faults(outputs["next_state"])
    if "logits" in outputs and outputs["logits"].type.tensor_type.elem_type not in _NUMBERS:
        yield "logits are no numbers", _EXPORT


def _state_faults(value: Any) -> Iterator[_Fault]:
    tensor = value.type.tensor_type
    sizes = [dim.dim_value for dim in tensor.shape.dim]
    fits = (
        tensor.elem_type == 1  # float32
        and len(sizes) == 3  # noqa: PLR2004 - the three axes of the cure
        and 0 <= sizes[0] <= _LAYERS
        and sizes[1] == 0
        and 1 <= sizes[2] <= _WIDTH
    )
    if not fits:
        yield (
            f"{value.name} is of type {tensor.elem_type} with the shape {sizes[:8]}",
            f"it must be float32 (layers, B, width), B free, at most {_LAYERS} and {_WIDTH:,}",
        )


def _value_faults(
    value: Any, kinds: tuple[np.dtype[Any], ...], shape: tuple[int, ...]
) -> Iterator[_Fault]:
    import onnx  # noqa: PLC0415 - an extra

    tensor = value.type.tensor_type
    allowed = {onnx.helper.np_dtype_to_tensor_dtype(kind) for kind in kinds}
    if tensor.elem_type not in allowed:
        yield f"{value.name} is of type {tensor.elem_type}", f"it must be {kinds[0]}"
    sizes = [dim.dim_value for dim in tensor.shape.dim]
    fits = len(sizes) == _BATCHED + len(shape) and all(
        size in (0, wanted) for size, wanted in zip(sizes, (0, 0, *shape), strict=True)
    )
    if not fits:
        yield (
            f"{value.name} has the shape {sizes[:8]}",
            f"it must be (B, T, {', '.join(map(str, shape))}), B and T free",
        )


def _names(values: Iterable[str]) -> str:
    return ", ".join(_short(name) for name in list(values)[:6]) or "nothing"


def _short(text: str) -> str:
    """Return a name that is safe to show."""
    return ascii(text[:40])
