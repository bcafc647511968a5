"""Attacks that show when a graph is loaded or run: the sandbox bounds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from leaderboard.sandbox import Limits
from tests.leaderboard.attacks import (
    CLASSES,
    POINTS,
    Case,
    classes,
    constant,
    hand_in,
    points,
)

_BRIEF = Limits(memory=1 << 30, cpu_seconds=2, wall_seconds=30.0, answer=1 << 20)
_LONG = 2**62
_BIG = 1 << 34  # numbers: 64 GiB of float32
_TIME, _MEMORY = "used more than . s", "memory|alloc|size|overflow|exceed|negative|invalid|dim"


def cases() -> Iterator[Case]:
    """Yield all attacks of this file."""
    for name, (make, reason) in _endless().items():
        slow = not name.startswith("an endless")
        yield Case(name, _handed(make), "score", reason, _BRIEF, slow)
    for name, nodes in _bombs().items():
        build, reason = _handed(lambda nodes=nodes: _bomb(nodes)), f"{_MEMORY}|{_TIME}"
        yield Case(name, build, "score", reason, slow="loop" in name)
    for name, (make, reason) in {**_answers(), **_broken(), **_others()}.items():
        yield Case(name, _handed(make), "score", reason)
    for name, (make, reason) in {**_wrong_classes(), **_looking_ahead(), **_states()}.items():
        yield Case(name, _handed(make, CLASSES), "score", reason)


def _handed(make: Callable[[], onnx.ModelProto], task: str = POINTS) -> Callable[[Path], None]:
    return lambda folder: hand_in(folder, make().SerializeToString(), task=task)


def _action(source: str = "observation") -> list[Any]:
    """Return the nodes that make valid points of something like the observation."""
    return [
        helper.make_node("MatMul", [source, "weights"], ["drive"]),
        helper.make_node("Tanh", ["drive"], ["action"]),
    ]


def _loop(*, of: str, depth: int = 1) -> list[Any]:
    """Return nodes of a loop that adds to a number for ages, each round being a loop itself."""
    node, value, last = helper.make_node, helper.make_tensor_value_info, f"held{depth}"
    body = [node("Identity", [f"go{depth}"], [f"on{depth}"])]
    if depth > 1:
        body += _loop(of=last, depth=depth - 1)
        last = f"slow{depth - 1}"
    body += [
        constant(f"one{depth}", 1.0, np.float32),
        node("Add", [last, f"one{depth}"], [f"more{depth}"]),
    ]
    graph = helper.make_graph(
        body,
        "body",
        [value(f"round{depth}", TensorProto.INT64, []), value(f"go{depth}", TensorProto.BOOL, []),
         value(f"held{depth}", TensorProto.FLOAT, None)],
        [value(f"on{depth}", TensorProto.BOOL, []),
         value(f"more{depth}", TensorProto.FLOAT, None)],
    )  # fmt: skip
    return [
        constant(f"ages{depth}", _LONG),
        constant(f"go_on{depth}", True, np.bool_),
        node("Loop", [f"ages{depth}", f"go_on{depth}", of], [f"slow{depth}"], body=graph),
    ]


def _endless() -> dict[str, tuple[Callable[[], onnx.ModelProto], str]]:
    start = constant("start", 0.0, np.float32)

    def late(slow: str) -> list[Any]:
        return [helper.make_node("Add", ["observation", slow], ["sum"]), *_action("sum")]

    cube = [
        constant("shape", [1 << 13, 1 << 13]),
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        *(helper.make_node("MatMul", [f"z{k}", "zeros"], [f"z{k + 1}"]) for k in range(200)),
    ]
    cube[2].input[0] = "zeros"
    return {
        "an endless loop over the observations": (
            lambda: points([*_loop(of="observation"), *_action("slow1")]),
            _TIME,
        ),
        "an endless loop that can be computed at load": (
            lambda: points([start, *_loop(of="start"), *late("slow1")]),
            _TIME,
        ),
        "endless loops in endless loops": (
            lambda: points([start, *_loop(of="start", depth=3), *late("slow3")]),
            _TIME,
        ),
        "a thousand products of large matrices": (
            lambda: points([*cube, *_action()]),
            f"{_TIME}|{_MEMORY}",
        ),
        "a thousand sorts": (lambda: points(_sorts()), _TIME),
    }


def _sorts() -> list[Any]:
    nodes = [constant("shape", [1, 1, 1_000_000]), constant("count", [1_000_000])]
    nodes.append(helper.make_node("Expand", ["mean", "shape"], ["s0"]))
    nodes.insert(0, helper.make_node("ReduceMean", ["observation"], ["mean"]))
    for number in range(300):
        nodes.append(
            helper.make_node("TopK", [f"s{number}", "count"], [f"t{number}", f"i{number}"])
        )
        nodes.append(helper.make_node("CumSum", [f"t{number}", "axis"], [f"s{number + 1}"]))
    nodes.insert(0, constant("axis", 2))
    nodes.append(helper.make_node("ReduceMean", ["s300"], ["last"], keepdims=0))
    nodes.append(helper.make_node("Add", ["observation", "last"], ["sum"]))
    return [*nodes, *_action("sum")]


def _bomb(nodes: list[Any]) -> onnx.ModelProto:
    """Return a graph that makes "large", and adds its mean to the observation."""
    after = [
        helper.make_node("Cast", ["large"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["numbers"], ["mean_of_all"], keepdims=0),
        helper.make_node("Add", ["observation", "mean_of_all"], ["sum"]),
    ]
    return points([*nodes, *after, *_action("sum")])


def _bombs() -> dict[str, list[Any]]:
    node = helper.make_node
    some = node("ReduceMean", ["observation"], ["some"])  # (1, 1, 1), known when it runs alone
    doubled = [node("Concat", [f"c{k}"] * 2, [f"c{k + 1}"], axis=0) for k in range(34)]
    outer = [node("Reshape", ["observation", "flat"], ["row"]), constant("column_shape", [-1, 1])]
    return {
        "zeros of 64 GiB at load": [
            constant("shape", [_BIG]),
            node("ConstantOfShape", ["shape"], ["large"]),
        ],
        "zeros of a size below zero": [
            constant("shape", [-5]),
            node("ConstantOfShape", ["shape"], ["large"]),
        ],
        "zeros whose size runs over": [
            constant("shape", [1 << 40, 1 << 40]),
            node("ConstantOfShape", ["shape"], ["large"]),
        ],
        "a number spread over 64 GiB": [
            some, constant("shape", [1, 1, _BIG]), node("Expand", ["some", "shape"], ["large"])
        ],
        "observations tiled over 64 GiB": [
            constant("times", [1, 1, 1 << 20]), node("Tile", ["observation", "times"], ["large"])
        ],
        "a range of 2**40 numbers": [
            constant("from", 0.0, np.float32), constant("to", 1e12, np.float32),
            constant("by", 1.0, np.float32), node("Range", ["from", "to", "by"], ["large"])
        ],
        "observations padded to 64 GiB": [
            constant("pads", [0, 0, 0, 0, 0, 1 << 22]),
            node("Pad", ["observation", "pads"], ["large"]),
        ],
        "observations resized to 64 GiB": [
            constant("sizes", [1, 1, 1, _BIG]), constant("four", [1]), some,
            node("Unsqueeze", ["some", "four"], ["image"]),
            node("Resize", ["image", "", "", "sizes"], ["large"]),
        ],
        "one of 2**40 classes": [
            constant("depth", 1 << 40), constant("values", [0.0, 1.0], np.float32),
            node("ArgMax", ["observation"], ["best"], axis=2),
            node("OneHot", ["best", "depth", "values"], ["large"]),
        ],
        "an identity of 2**36 numbers": [
            constant("shape", [1 << 18, 1 << 18]),
            node("ConstantOfShape", ["shape"], ["zeros"]), node("EyeLike", ["zeros"], ["large"]),
        ],
        "observations doubled 34 times": [
            node("Identity", ["observation"], ["c0"]),
            *doubled,
            node("Identity", ["c34"], ["large"]),
        ],
        "an outer product of all observations": [
            constant("flat", [1, -1]), *outer,
            node("Reshape", ["observation", "column_shape"], ["column"]),
            node("MatMul", ["column", "row"], ["large"]),
        ],
        "all pairs by Einsum": [
            node("Einsum", ["observation", "observation"], ["large"], equation="abc,def->abcdef")
        ],
        "a gather of 2**34 rows": [
            some, constant("shape", [_BIG]), constant("zero", 0),
            node("Expand", ["zero", "shape"], ["rows"]),
            node("Gather", ["some", "rows"], ["large"]),
        ],
        "a loop that keeps all of its rounds": _keeping(),
    }  # fmt: skip


def _keeping() -> list[Any]:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]),
         helper.make_node("Identity", ["observation"], ["kept"])],
        "body",
        [value("round", TensorProto.INT64, []), value("go", TensorProto.BOOL, [])],
        [value("on", TensorProto.BOOL, []), value("kept", TensorProto.FLOAT, None)],
    )  # fmt: skip
    return [
        constant("ages", _LONG),
        constant("go_on", True, np.bool_),
        helper.make_node("Loop", ["ages", "go_on"], ["large"], body=body),
    ]


def _answers() -> dict[str, tuple[Callable[[], onnx.ModelProto], str]]:
    """Return graphs whose answers are no answers."""
    node = helper.make_node
    found: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {}
    for name, top in {"NaN": 0.0, "infinity": 1.0, "minus infinity": -1.0}.items():
        nodes = [
            constant("zero", 0.0, np.float32), constant("top", top, np.float32),
            *_action()[:1], node("Mul", ["drive", "zero"], ["nothing"]),
            node("Add", ["nothing", "top"], ["above"]), node("Div", ["above", "zero"], ["action"]),
        ]  # fmt: skip
        found[f"answers of {name}"] = (lambda nodes=nodes: points(nodes), "the action holds")
    shapes = {
        "one trial too few": [constant("a", [0]), constant("b", [-1]),
                              node("Slice", ["all", "a", "b", "a"], ["action"])],
        "one number too many": [node("Concat", ["all", "all"], ["action"], axis=2)],
        "no axis of time": [constant("a", [-1, 2]), node("Reshape", ["all", "a"], ["action"])],
        "a million for each": [constant("a", [1, 1, 1_000_000]),
                               node("Tile", ["all", "a"], ["action"])],
        "none at all": [constant("a", [0]), node("Slice", ["all", "a", "a", "a"], ["action"])],
    }  # fmt: skip
    for name, nodes in shapes.items():
        whole = [node("MatMul", ["observation", "weights"], ["all"]), *nodes]
        found[f"answers of {name}"] = (
            lambda whole=whole: points(whole),
            f"the action has shape|must match|shape|concat|{_MEMORY}",
        )
    found["answers of another type than told"] = (
        lambda: points(
            [*_action()[:1], node("Cast", ["drive"], ["action"], to=TensorProto.DOUBLE)]
        ),
        "Type Error|type",
    )
    return found


def _broken() -> dict[str, tuple[Callable[[], onnx.ModelProto], str]]:
    """Return graphs that no runtime can load."""
    node = helper.make_node

    def tensor(**fields: Any) -> Callable[[], onnx.ModelProto]:
        def make() -> onnx.ModelProto:
            made = points()
            held = made.graph.initializer[0]
            for name, value in fields.items():
                if name == "dims":
                    del held.dims[:]
                    held.dims.extend(value)
                else:
                    setattr(held, name, value)
            return made

        return make

    load = "ExportError: .* no ONNX file that the runtime can run"
    return {
        "a circle of nodes": (
            lambda: points([node("Relu", ["action"], ["a"]), node("Relu", ["a"], ["action"])]),
            load,
        ),
        "a node from nowhere": (lambda: points([node("Relu", ["nowhere"], ["action"])]), load),
        "an operator without its inputs": (lambda: points([node("Relu", [], ["action"])]), load),
        "an operator with a strange attribute": (
            lambda: points([*_action()[:1], node("Relu", ["drive"], ["action"], evil=1)]),
            load,
        ),
        "a name for two nodes": (lambda: points([*_action(), *_action()]), load),
        "weights with fewer bytes than told": (tensor(raw_data=b"\0" * 8), load),
        "weights with more bytes than told": (tensor(raw_data=b"\0" * 8192), load),
        "weights of a size below zero": (tensor(dims=[-64, 2]), load),
        "weights of 2**40 rows": (tensor(dims=[1 << 40, 2]), f"{load}|memory"),
        "weights of another type": (tensor(data_type=TensorProto.INT8), load),
        "operators of a version to come": (lambda: points(opset=99), load),
        "an unequal product": (
            lambda: points([node("MatMul", ["weights", "observation"], ["action"])]),
            "failed",
        ),
        "a branch that is missing": (
            lambda: points([constant("yes", True, np.bool_), node("If", ["yes"], ["action"])]),
            load,
        ),
    }


def _wrong_classes() -> dict[str, tuple[Callable[[], onnx.ModelProto], str]]:
    node = helper.make_node
    found = {}
    for value in (-1, 2, 2**62, -(2**63)):
        nodes = [
            node("ArgMax", ["observation"], ["best"], axis=2, keepdims=0),
            constant("wrong", value), constant("nothing", 0),
            node("Mul", ["best", "nothing"], ["none"]),
            node("Add", ["none", "wrong"], ["action"]),
        ]  # fmt: skip
        found[f"class {value}"] = (lambda nodes=nodes: classes(nodes), "does not exist")
    return found


def _looking_ahead() -> dict[str, tuple[Callable[[], onnx.ModelProto], str]]:
    node = helper.make_node
    decide = [
        node("ReduceSum", ["seen", "last"], ["evidence"], keepdims=0),
        constant("last", [2]), constant("nought", 0.0, np.float32),
        node("Greater", ["evidence", "nought"], ["yes"]),
        node("Cast", ["yes"], ["action"], to=TensorProto.INT64),
    ]  # fmt: skip
    decide = [decide[1], decide[2], decide[0], *decide[3:]]
    turned = [
        constant("from", [-1]), constant("to", [-(2**62)]), constant("axis", [1]),
        constant("back", [-1]),
        node("Slice", ["observation", "from", "to", "axis", "back"], ["seen"]),
    ]  # fmt: skip
    whole = [
        constant("time", [1]), node("ReduceMean", ["observation", "time"], ["mean"]),
        node("Sub", ["observation", "mean"], ["seen"]),
    ]  # fmt: skip
    summed = [constant("time", 1), node("CumSum", ["observation", "time"], ["seen"])]
    reason = "NonCausalAgent"
    return {
        "a graph that reads trials backwards": (lambda: classes([*turned, *decide]), reason),
        "a graph that knows the mean of its trial": (lambda: classes([*whole, *decide]), reason),
        "a graph that forgets between blocks": (lambda: classes([*summed, *decide]), reason),
    }


def _others() -> dict[str, tuple[Callable[[], onnx.ModelProto], str]]:
    """Return graphs whose answer to a trial depends on the other trials."""
    node = helper.make_node
    spread = {
        "the mean of all trials": "ReduceMean",
        "the largest of all trials": "ReduceMax",
        "the norm of all trials": "ReduceL2",
    }
    found = {}
    for name, operator in spread.items():
        nodes = [
            constant("trials", [0]), node(operator, ["observation", "trials"], ["all"]),
            node("Sub", ["observation", "all"], ["rest"]), *_action("rest"),
        ]  # fmt: skip
        found[f"a graph that knows {name}"] = (
            lambda nodes=nodes: points(nodes),
            "answers trials otherwise when no others stand beside them",
        )
    summed = [constant("trials", 0), node("CumSum", ["observation", "trials"], ["sum"])]
    found["a graph that adds all trials before"] = (
        lambda: points([*summed, *_action("sum")]),
        "answers trials otherwise when no others stand beside them",
    )
    return found


def _states() -> dict[str, tuple[Callable[[], onnx.ModelProto], str]]:
    node = helper.make_node
    act = node("ArgMax", ["observation"], ["best"], axis=2, keepdims=0)
    class_ = [act, constant("one", 1), node("Min", ["best", "one"], ["action"])]
    wide = [constant("a", [1, 1, 1 << 24]), node("Tile", ["state", "a"], ["next_state"])]
    layers = [node("Concat", ["state"] * 2, ["next_state"], axis=0)]
    trials = [node("Concat", ["state"] * 2, ["next_state"], axis=1)]
    whole = node("Cast", ["state"], ["next_state"], to=TensorProto.DOUBLE)
    return {
        "a state that grows without bound": (
            lambda: classes([*class_, *wide], memory=True),
            f"failed|{_MEMORY}",
        ),
        "a state with more layers each time": (
            lambda: classes([*class_, *layers], memory=True),
            "failed",
        ),
        "a state of more trials each time": (
            lambda: classes([*class_, *trials], memory=True),
            "next_state is of 546 trials, not 273",
        ),
        "a state of another type than told": (
            lambda: classes([*class_, whole], memory=True),
            "failed",
        ),
    }
