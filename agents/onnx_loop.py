"""A loop over time around the graph of one step, as ONNX's operation Scan."""

from __future__ import annotations

from collections.abc import Sequence

from neurotasks.errors import MissingExtra

try:
    import onnx
except ImportError as error:
    raise MissingExtra("onnx", "torch") from error

from onnx import helper

__all__ = ["NOW", "loop"]

NOW = "_now"
"""What is added to the names of a step's inputs and outputs: a graph cannot use one name twice."""

_TIME = 1  # the axis of time in observations and answers


def loop(step: onnx.ModelProto, answers: Sequence[str]) -> onnx.ModelProto:
    """Return the graph that answers a block of steps, one after the other.

    Args:
        step: From "observation" (B, *observation) and "state" to the answers (B, ...) and
            "next_state", each with "_now" added to its name.
        answers: Names of the answers, in their order.

    Returns:
        The graph from "observation" (B, T, *observation) and "state" to the answers (B, T, ...) and
        "next_state".
    """
    body = onnx.GraphProto()
    body.CopyFrom(step.graph)
    nodes = {node.name.removesuffix(NOW): node for node in (*step.graph.input, *step.graph.output)}
    del body.input[:], body.output[:], body.value_info[:]
    body.input.extend((nodes["state"], nodes["observation"]))
    body.output.extend(nodes[name] for name in ("next_state", *answers))
    scan = helper.make_node(
        "Scan",
        ["state", "observation"],
        ["next_state", *answers],
        body=body,
        num_scan_inputs=1,
        scan_input_axes=[_TIME],
        scan_output_axes=[_TIME] * len(answers),
    )
    whole = onnx.ModelProto()
    whole.CopyFrom(step)
    inputs = [_over_time(nodes["observation"]), _renamed(nodes["state"])]
    outputs = [*(_over_time(nodes[name]) for name in answers), _renamed(nodes["next_state"])]
    whole.graph.CopyFrom(helper.make_graph([scan], "steps", inputs, outputs))
    return whole


def _renamed(node: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    """Return an input or output of a step under its name in the whole."""
    copy = onnx.ValueInfoProto()
    copy.CopyFrom(node)
    copy.name = node.name.removesuffix(NOW)
    return copy


def _over_time(node: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    """Return an input or output of a step as a block of steps, with an axis of time."""
    whole = _renamed(node)
    sizes = whole.type.tensor_type.shape
    before, after = sizes.dim[:_TIME], sizes.dim[_TIME:]
    length = onnx.TensorShapeProto.Dimension(dim_param="length")
    sizes.CopyFrom(onnx.TensorShapeProto(dim=[*before, length, *after]))
    return whole
