from __future__ import annotations

import numpy as np
import pytest

from neurotasks import load

onnx = pytest.importorskip("onnx")

from neurotasks.submission.onnx_graph import OPERATORS, problems  # noqa: E402 - after the skip

FLOAT, INT = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def graph(inputs, outputs, nodes=()):
    value = onnx.helper.make_tensor_value_info
    made = onnx.helper.make_graph(
        nodes or [onnx.helper.make_node("Identity", ["a"], ["b"])],
        "agent",
        [value(name, *kind) for name, kind in inputs.items()],
        [value(name, *kind) for name, kind in outputs.items()],
    )
    opsets = [onnx.helper.make_opsetid("", 20)]
    return onnx.helper.make_model(made, opset_imports=opsets, ir_version=10)


def told(path, model, task="neurotasks/OrientationDecoding-v0"):
    path.write_bytes(model.SerializeToString())
    return [str(problem) for problem in problems(path, load(task))]


def test_operators_are_known_to_onnx_and_compute_from_their_inputs_alone():
    known = {schema.name: schema for schema in onnx.defs.get_all_schemas() if not schema.domain}
    assert known.keys() >= OPERATORS
    undetermined = {"seed", "training_mode"}
    for name in OPERATORS - {"BatchNormalization"}:
        assert not undetermined & set(known[name].attributes), name


@pytest.mark.parametrize(
    ("task", "observation", "action"),
    [
        ("neurotasks/OrientationDecoding-v0", (FLOAT, ("b", "t", 64)), (FLOAT, ("b", "t", 2))),
        ("neurotasks/OrientationDecoding-v0", (FLOAT, ("b", "t", "w")), (FLOAT, ("b", "t", "a"))),
        ("neurotasks/GoNogo-v0", (FLOAT, ("b", "t", 3)), (INT, ("b", "t"))),
        (
            "neurotasks/GoNogo-v0",
            (FLOAT, ("b", "t", 3)),
            (onnx.TensorProto.INT32, ("b", "t")),
        ),
        (
            "neurotasks/ImageClassificationDigits-v0",
            (onnx.TensorProto.UINT8, ("b", "t", 1, 8, 8)),
            (INT, ("b", "t")),
        ),
    ],
)
def test_a_graph_that_fits_its_task_is_in_order(tmp_path, task, observation, action):
    logits = (FLOAT, ("b", "t", 2))
    state = (FLOAT, ("layers", "b", 8))
    model = graph({"observation": observation}, {"action": action, "logits": logits})
    assert told(tmp_path / "m", model, task) == []
    model = graph(
        {"observation": observation, "state": state}, {"action": action, "next_state": state}
    )
    assert told(tmp_path / "m", model, task) == []


def test_an_input_that_holds_its_own_numbers_is_no_input(tmp_path):
    model = graph(
        {"observation": (FLOAT, ("b", "t", 64)), "weights": (FLOAT, (2,))},
        {"action": (FLOAT, ("b", "t", 2))},
    )
    assert "it maps" in told(tmp_path / "m", model)[0]
    held = onnx.numpy_helper.from_array(np.zeros(2, np.float32), "weights")
    model.graph.initializer.append(held)
    assert told(tmp_path / "m", model) == []


def test_faults_are_told_together_and_not_by_the_thousand(tmp_path):
    nodes = [onnx.helper.make_node(f"Evil{k}", ["a"], ["b"]) for k in range(300)]
    model = graph({"x": (FLOAT, (1,))}, {"y": (FLOAT, (1,))}, nodes)
    assert len(told(tmp_path / "m", model)) == 20
    model = graph({"x": (FLOAT, (1,))}, {"y": (FLOAT, (1,))}, nodes[:1] * 300)
    model.opset_import.add(domain="evil", version=1)
    assert len(told(tmp_path / "m", model)) == 3


def test_nothing_beside_the_file_is_opened(tmp_path, monkeypatch):
    model = graph({"observation": (FLOAT, ("b", "t", 64))}, {"action": (FLOAT, ("b", "t", 2))})
    outside = model.graph.initializer.add(name="w", data_type=FLOAT, dims=[1], data_location=1)
    outside.external_data.add(key="location", value="secret")
    (tmp_path / "secret").write_bytes(bytes(4))
    (tmp_path / "secret").chmod(0)
    opened = []
    monkeypatch.setattr("builtins.open", lambda *words, **_: opened.append(words))
    assert "data in another file" in told(tmp_path / "m", model)[0]
    assert opened == []
