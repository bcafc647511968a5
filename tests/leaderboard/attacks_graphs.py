"""Attacks on ONNX graphs that the inspection must see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import AttributeProto, TensorProto, helper

from leaderboard.sandbox import Limits
from tests.leaderboard.attacks import Case, constant, hand_in, model, points

_LOCATIONS = ("/etc/passwd", "../manifest.json", "manifest.json", "*/_ORT_MEM_ADDR_/*")
_FORBIDDEN = (
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli",
    "Multinomial", "Dropout", "SequenceEmpty", "SequenceConstruct", "SequenceMap", "Optional",
    "OptionalGetElement", "StringConcat", "StringSplit", "RegexFullMatch", "StringNormalizer",
    "TfIdfVectorizer", "ImageDecoder", "QuantizeLinear", "NonMaxSuppression", "Unknown", "relu",
    "Relu\0", "Re\u202elu", "", "<script>",
)  # fmt: skip
_DOMAINS = ("com.microsoft", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview", "evil",
            "ai.onnx ", "AI.ONNX", "pkg.onnxscript.torch_lib", "\x1b[2J")  # fmt: skip

PARSING = Limits(memory=2 << 30, cpu_seconds=20, wall_seconds=60.0, answer=1 << 20)


def cases() -> Iterator[Case]:
    """Yield all attacks of this file."""
    yield from _external_data()
    yield from _operators()
    yield from _models()
    yield from _signatures()
    yield from _sizes()


def _case(name: str, make: Callable[[], Any], reason: str, way: str = "inspect") -> Case:
    def build(folder: Path) -> None:
        graph = make()
        content = graph if isinstance(graph, bytes) else graph.SerializeToString()
        hand_in(folder, content)

    return Case(name, build, way, reason, PARSING, slow="million" in name)


def _graph(nodes: Sequence[Any] = (), tensors: Sequence[Any] = ()) -> onnx.GraphProto:
    return helper.make_graph(nodes, "inner", [], [], tensors)


def _outside(location: str) -> TensorProto:
    tensor = TensorProto(name="held", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def _holding(**fields: Any) -> onnx.NodeProto:
    """Return a node with one attribute of these fields."""
    node = helper.make_node("Identity", ["observation"], ["other"])
    attribute = AttributeProto(name="held", **fields)
    node.attribute.append(attribute)
    return node


def _sparse(tensor: TensorProto, *, indices: bool) -> onnx.SparseTensorProto:
    plain = helper.make_tensor("plain", TensorProto.INT64, [1], [0])
    first, second = (plain, tensor) if indices else (tensor, plain)
    return helper.make_sparse_tensor(first, second, [4])


_PLACES: dict[str, Callable[[onnx.GraphProto, TensorProto], object]] = {
    "an initialiser": lambda g, t: g.initializer.append(t),
    "the values of a sparse initialiser": lambda g, t: g.sparse_initializer.append(
        _sparse(t, indices=False)
    ),
    "the places of a sparse initialiser": lambda g, t: g.sparse_initializer.append(
        _sparse(t, indices=True)
    ),
    "an attribute": lambda g, t: g.node.append(_holding(t=t)),
    "a list of attributes": lambda g, t: g.node.append(_holding(tensors=[t])),
    "a sparse attribute": lambda g, t: g.node.append(
        _holding(sparse_tensor=_sparse(t, indices=False))
    ),
    "a list of sparse attributes": lambda g, t: g.node.append(
        _holding(sparse_tensors=[_sparse(t, indices=True)])
    ),
    "a graph in a graph": lambda g, t: g.node.append(_holding(g=_graph(tensors=[t]))),
    "an attribute in a graph": lambda g, t: g.node.append(_holding(g=_graph([_holding(t=t)]))),
    "a list of graphs": lambda g, t: g.node.append(_holding(graphs=[_graph(), _graph([], [t])])),
    "a graph two levels down": lambda g, t: g.node.append(
        _holding(g=_graph([_holding(graphs=[_graph(tensors=[t])])]))
    ),
    "a sparse attribute two levels down": lambda g, t: g.node.append(
        _holding(g=_graph([_holding(g=_graph([_holding(sparse_tensor=_sparse(t, indices=True))]))]))
    ),
}


def _external_data() -> Iterator[Case]:
    for where, put in _PLACES.items():
        for location in _LOCATIONS:

            def make(put: Any = put, location: str = location) -> onnx.ModelProto:
                made = points()
                put(made.graph, _outside(location))
                return made

            yield _case(f"{location} from {where}", make, "refers to data in another file")

    def unsaid() -> onnx.ModelProto:
        made, tensor = points(), _outside("/etc/passwd")
        tensor.data_location = TensorProto.DEFAULT  # which some readers believe
        made.graph.initializer.append(tensor)
        return made

    yield _case("a file that the tensor denies", unsaid, "refers to data in another file")


_HOLDERS: dict[str, Callable[[onnx.NodeProto], onnx.NodeProto]] = {
    "at the top": lambda node: node,
    "in a graph": lambda node: _holding(g=_graph([node])),
    "in a list of graphs": lambda node: _holding(graphs=[_graph(), _graph([node])]),
    "three levels down": lambda node: _holding(
        g=_graph([_holding(g=_graph([_holding(g=_graph([node]))]))])
    ),
}


def _operators() -> Iterator[Case]:
    for where, hold in _HOLDERS.items():
        for operator in _FORBIDDEN:
            yield _case(
                f"operator {operator!a} {where}",
                lambda hold=hold, operator=operator: _with(
                    hold(onnx.NodeProto(op_type=operator, input=["observation"], output=["x"]))
                ),
                "which is not allowed",
            )
        for domain in _DOMAINS:
            yield _case(
                f"domain {domain!a} {where}",
                lambda hold=hold, domain=domain: _with(
                    hold(onnx.NodeProto(op_type="Relu", domain=domain, output=["x"]))
                ),
                "of domain",
            )
    for domain in _DOMAINS:
        yield _case(
            f"import of domain {domain!a}",
            lambda domain=domain: _importing((domain, 1), ("", 20)),
            "imports operators of domain",
        )


def _with(node: onnx.NodeProto) -> onnx.ModelProto:
    made = points()
    made.graph.node.append(node)
    return made


def _importing(*imports: tuple[str, int]) -> onnx.ModelProto:
    made = points()
    del made.opset_import[:]
    for domain, version in imports:
        made.opset_import.add(domain=domain, version=version)
    return made


def _of_version(version: int) -> onnx.ModelProto:
    made = points()
    made.ir_version = version
    return made


def _models() -> Iterator[Case]:
    versions = {
        "no version": (),
        "version 0": (("", 0),),
        "a version of long ago": (("", 1),),
        "a version of the future": (("", 1000),),
        "a version below zero": (("", -1),),
        "two versions": (("", 20), ("ai.onnx", 9)),
        "the same version twice": (("", 20), ("", 20)),
    }
    for what, imports in versions.items():
        make = lambda imports=imports: _importing(*imports)  # noqa: E731 - one of many
        yield _case(f"operators of {what}", make, "imports the versions")
    for version in (0, 1000, -1):
        make = lambda version=version: _of_version(version)  # noqa: E731 - one of many
        yield _case(f"graph of version {version}", make, f"of version {version} of ONNX")
    good = points().SerializeToString()
    for what, content in {
        "text": b"<script>alert(1)</script>",
        "a pickle": b"\x80\x04\x95\x00\x00\x00\x00",
        "a zip file": b"PK\x03\x04" + bytes(100),
        "cut off": good[: len(good) // 2],
        "a tensor": helper.make_tensor("a", 1, [2], [1, 2]).SerializeToString(),
        "a length that is a lie": b"\x3a\xff\xff\xff\xff\x0f",
        "an endless number": b"\xff" * 50,
        "groups without an end": b"\x0b" * 10_000,
        "names that are no text": good.replace(
            b"observation", b"\xff\xfe\xff\xfe\xff\xfe\xff\xfe\xff\xfe\xff"
        ),
    }.items():
        reason = "no ONNX file|imports the versions|maps"
        yield _case(f"graph that is {what}", lambda content=content: content, reason)
    yield _case("graph of no byte", lambda: b"", "imports the versions")
    yield _case("functions of its own", _function, "defines 1 functions")
    yield _case("functions with data elsewhere", lambda: _function("/etc/passwd"), "defines 1")
    yield _case("training information", _training, "training information")
    for kind in (TensorProto.STRING, TensorProto.COMPLEX64, TensorProto.FLOAT8E4M3FN,
                 TensorProto.INT4, TensorProto.UNDEFINED, 999):  # fmt: skip
        yield _case(f"tensor of type {kind}", lambda kind=kind: _typed(kind), "tensor of type")


def _function(location: str = "") -> onnx.ModelProto:
    made = points()
    nodes = [_holding(t=_outside(location))] if location else []
    made.functions.append(
        helper.make_function("evil", "Relu", ["x"], ["y"], nodes, [helper.make_opsetid("", 20)])
    )
    return made


def _training() -> onnx.ModelProto:
    made = points()
    made.training_info.add().initialization.initializer.append(_outside("/etc/passwd"))
    return made


def _typed(kind: int) -> onnx.ModelProto:
    made = points()
    made.graph.initializer.append(TensorProto(name="held", data_type=kind, dims=[1]))
    return made


_FLOAT, _INT = TensorProto.FLOAT, TensorProto.INT64


def _signed(**changes: Any) -> Callable[[], onnx.ModelProto]:
    """Return what makes a graph for points with other inputs or outputs; None leaves one out."""
    inputs = {"observation": (_FLOAT, ("b", "t", 64))}
    outputs = {"action": (_FLOAT, ("b", "t", 2))}
    for name, kind in changes.items():
        side = inputs if name in ("observation", "state", "more") else outputs
        side.pop(name, None)
        if kind is not None:
            side[name] = kind
    return lambda: model([helper.make_node("Identity", ["a"], ["b"])], inputs, outputs)


def _signatures() -> Iterator[Case]:
    state = {"state": (_FLOAT, (1, "b", 4)), "next_state": (_FLOAT, (1, "b", 4))}
    shapes: dict[str, tuple[Callable[[], Any], str]] = {
        "no observation": (_signed(observation=None), "it maps"),
        "no action": (_signed(action=None), "it maps"),
        "a third input": (_signed(more=(_FLOAT, (1,))), "it maps"),
        "a third output": (_signed(thoughts=(_FLOAT, (1,))), "it maps"),
        "a state that does not come back": (_signed(state=state["state"]), "it maps"),
        "a next state from nowhere": (_signed(next_state=state["state"]), "it maps"),
        "observations of another width": (
            _signed(observation=(_FLOAT, ("b", "t", 65))),
            "has the shape",
        ),
        "observations of a fixed number": (
            _signed(observation=(_FLOAT, (4, "t", 64))),
            "B and T free",
        ),
        "observations of a fixed length": (
            _signed(observation=(_FLOAT, ("b", 7, 64))),
            "B and T free",
        ),
        "observations without time": (_signed(observation=(_FLOAT, ("b", 64))), "has the shape"),
        "observations of ten axes": (
            _signed(observation=(_FLOAT, ("b", "t", *[64] * 8))),
            "has the shape",
        ),
        "observations as text": (
            _signed(observation=(TensorProto.STRING, ("b", "t", 64))),
            "of type 8",
        ),
        "observations as doubles": (
            _signed(observation=(TensorProto.DOUBLE, ("b", "t", 64))),
            "of type 11",
        ),
        "actions as text": (_signed(action=(TensorProto.STRING, ("b", "t", 2))), "of type 8"),
        "actions as integers": (_signed(action=(_INT, ("b", "t", 2))), "of type 7"),
        "actions of another width": (_signed(action=(_FLOAT, ("b", "t", 3))), "has the shape"),
        "actions of a size below zero": (_signed(action=(_FLOAT, ("b", "t", -2))), "the shape"),
        "logits as text": (_signed(logits=(TensorProto.STRING, ("b", "t"))), "logits are no"),
    }
    for name, kind in {
        "of two axes": (_FLOAT, ("b", 4)),
        "of integers": (_INT, (1, "b", 4)),
        "of text": (TensorProto.STRING, (1, "b", 4)),
        "of free width": (_FLOAT, (1, "b", "w")),
        "of 2**40 units": (_FLOAT, (1, "b", 1 << 40)),
        "of 2**40 layers": (_FLOAT, (1 << 40, "b", 4)),
        "of a fixed number of trials": (_FLOAT, (1, 8, 4)),
        "of a width below zero": (_FLOAT, (1, "b", -4)),
    }.items():
        reason = "state is of type"
        shapes[f"a state {name}"] = (_signed(**{**state, "state": kind}), reason)
        shapes[f"a next state {name}"] = (_signed(**{**state, "next_state": kind}), reason)
    for name, (make, reason) in shapes.items():
        yield _case(f"graph with {name}", make, reason)
    for name, make in _odd().items():
        yield _case(f"graph with {name}", make, "it maps|of type 0|has the shape")


def _odd() -> dict[str, Callable[[], onnx.ModelProto]]:
    def renamed(container: str, kind: Callable[[onnx.ModelProto], Any]) -> Any:
        def make() -> onnx.ModelProto:
            made = points()
            del getattr(made.graph, container)[:]
            getattr(made.graph, container).extend(kind(made))
            return made

        return make

    value = helper.make_tensor_value_info
    tensors = helper.make_tensor_type_proto(_FLOAT, ["b"])
    kinds = {
        "a sequence": helper.make_sequence_type_proto(tensors),
        "an optional value": helper.make_optional_type_proto(tensors),
        "a map": helper.make_map_type_proto(TensorProto.INT64, tensors),
        "a sparse tensor": helper.make_sparse_tensor_type_proto(_FLOAT, ["b"]),
    }
    found = {}
    for name, kind in kinds.items():
        one, two = (helper.make_value_info(side, kind) for side in ("observation", "action"))
        found[f"{name} as observation"] = renamed("input", lambda _, one=one: [one])
        found[f"{name} as action"] = renamed("output", lambda _, two=two: [two])
    found["the observation twice"] = renamed(
        "input", lambda _: [value("observation", _FLOAT, ["b", "t", 64])] * 2
    )
    found["the action twice"] = renamed(
        "output", lambda _: [value("action", _FLOAT, ["b", "t", 2])] * 2
    )
    found["the observation as action"] = renamed(
        "output", lambda _: [value("observation", _FLOAT, ["b", "t", 64])]
    )
    found["an observation of its own"] = _own_observation
    found["names of escape sequences"] = renamed(
        "output", lambda _: [value("\x1b[2J<script>", _FLOAT, ["b", "t", 2])]
    )
    return found


def _own_observation() -> onnx.ModelProto:
    made = points()
    made.graph.initializer.append(helper.make_tensor("observation", 1, [1, 1, 64], [0.0] * 64))
    return made


def _sizes() -> Iterator[Case]:
    yield _case("200,000 nodes", lambda: _nodes(200_000), "more than 20,000 nodes", "inspect apart")
    yield _case("20,001 nodes", lambda: _nodes(20_001), "more than 20,000 nodes")
    yield _case("20,001 nodes in branches", _branches, "more than 20,000 nodes")
    yield _case("30,000 graphs of nothing", _empty_graphs, "more than 20,000 nodes")
    yield _case("30,000 tensors", _tensors, "more than 20,000 nodes, 20,000 tensors")
    yield _case("30,000 attributes of a node", _attributes, "more than 20,000 nodes, 20,000")
    yield _case("13 levels", lambda: _levels(13), "or 12 levels")
    yield _case("90 levels", lambda: _levels(90), "no ONNX file|or 12 levels")
    yield _case("5000 strange operators", _strange, "which is not allowed")
    yield _case("30 million nodes of no byte", _no_bytes, "memory|Arena|signal", "inspect apart")
    yield _case("65 MiB", lambda: points().SerializeToString() + bytes(65 << 20), "67,108,864 at")


def _nodes(count: int) -> onnx.ModelProto:
    made = points()
    for number in range(count):
        made.graph.node.add(op_type="Relu", input=[f"n{number}"], output=[f"n{number + 1}"])
    return made


def _branches() -> onnx.ModelProto:
    half = _nodes(10_001).graph
    return _with(_holding(graphs=[half, half]))


def _empty_graphs() -> onnx.ModelProto:
    return _with(_holding(graphs=[onnx.GraphProto()] * 30_000))


def _tensors() -> onnx.ModelProto:
    made = points()
    made.graph.initializer.extend([TensorProto(data_type=1, dims=[0])] * 30_000)
    return made


def _attributes() -> onnx.ModelProto:
    node = _holding()
    node.attribute.extend([AttributeProto(name="a", i=1)] * 30_000)
    return _with(node)


def _levels(count: int) -> bytes:
    """Return a graph in a graph in a graph, written inside out: as objects it cannot be."""
    inner = _graph([constant("x", 1)]).SerializeToString()
    for _ in range(count):
        inner = _field(1, _field(5, _field(6, inner)))  # node, attribute, graph
    return points().SerializeToString() + _field(7, inner)


def _field(number: int, content: bytes) -> bytes:
    length, size = bytearray(), len(content)
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes([number << 3 | 2]) + bytes(length) + bytes([size]) + content


def _strange() -> onnx.ModelProto:
    made = points()
    for number in range(5000):
        made.graph.node.add(op_type=f"Evil{number}\x1b")
    return made


def _no_bytes() -> bytes:
    return points().SerializeToString() + _field(7, b"\x0a\x00" * (30 << 20))
