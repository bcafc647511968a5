from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import neurotasks
from agents import onnx as exporting
from agents.networks import Transformer, readout
from agents.onnx import ExportError, OnnxAgent, export, export_module
from agents.training import TorchAgent, TorchLearner
from neurotasks.agent import Agent, Budget, silent
from neurotasks.errors import UnwritableFolder
from neurotasks.evaluate import evaluate

FREE = {0: "batch", 1: "length"}
SMOKE = Budget("smoke", 600)


def learn(task, network, width=16):
    return TorchLearner(network, width=width).learn(task, seeds=[0], budget=SMOKE, log=silent)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("onnx")


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("OrientationDecoding-v0", "mlp"),
        ("ImageClassificationDigits-v0", "mlp"),
        ("ImageClassificationDigits-v0", "contrast-mlp"),
        ("ImageClassificationDigits-v0", "cnn"),
        ("ImageClassificationDigits-v0", "resnet"),
        ("echo", "gru"),
        ("echo_class", "gru"),
        ("echo_class", "ctrnn"),
        pytest.param("echo_class", "transformer", marks=pytest.mark.slow),
        *(
            pytest.param("ImageClassificationDigits-v0", network, marks=pytest.mark.slow)
            for network in ("dscnn", "bigru", "bilstm", "bitransformer")
        ),
        *(
            pytest.param("echo", network, marks=pytest.mark.slow)
            for network in ("lstm", "ctrnn", "transformer")
        ),
    ],
)
def test_a_file_answers_as_its_network(name, network, folder, request):
    task = request.getfixturevalue(name) if name.startswith("echo") else neurotasks.load(name)
    agent = learn(task, network)
    before = copy.deepcopy(agent.network.state_dict())
    path = folder / f"{name}-{network}.onnx"
    export(agent, task, path)
    after = agent.network.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    read = OnnxAgent(path)
    assert isinstance(read, Agent)
    assert_signature(onnx.load(path).graph, agent, task)
    for rows, steps in ((1, 1), (1, 9), (5, 1), (64, 3), (5000, 1)):
        assert_same_answers(read, agent, task, rows, steps)
    files, networks = (
        evaluate(task, [one], seeds=[0], stages=["test"], trials=100)["test"].raw[0]
        for one in (read, agent)
    )
    assert files == pytest.approx(networks, rel=1e-4)


def assert_signature(graph, agent, task):
    def shapes(nodes):
        return {
            node.name: [d.dim_param or d.dim_value for d in node.type.tensor_type.shape.dim]
            for node in nodes
        }

    inputs = {"observation": ["batch", "length", *(task.observation_space.shape or ())]}
    outputs = {"action": ["batch", "length", *(task.action_space.shape or ())]}
    if agent.readout.classes:
        outputs["logits"] = ["batch", "length", agent.readout.size]
    if agent.network.state is not None:
        layers, width = agent.network.state
        inputs["state"] = [layers or "past", "batch", width]
        outputs["next_state"] = [layers or "kept", "batch", width]
    assert shapes(graph.input) == inputs
    assert shapes(graph.output) == outputs


def assert_same_answers(read, agent, task, rows, steps):
    shown = task.sample(rows * steps, 1, "test").x[:, :1]
    x = shown.reshape(rows, steps, *shown.shape[2:])
    expected, kept = agent.act(x, None)
    answer, state = read.act(x, None)
    assert answer.dtype == expected.dtype
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-4)
    assert (state is None) == (kept is None)
    again, _ = read.act(x, state)
    np.testing.assert_allclose(again, agent.act(x, kept)[0], rtol=1e-4, atol=1e-4)


def test_a_file_forgets_what_lies_before_its_context(echo_class, folder):
    network = Transformer(echo_class.observation_space, 4, 16, context=8).eval()
    agent = TorchAgent(network, readout(echo_class.card, echo_class.action_space))
    path = folder / "context.onnx"
    export(agent, echo_class, path)
    read, state, kept = OnnxAgent(path), None, None
    x = echo_class.sample(20, 0, "test").x
    for steps in (x[:, :6], x[:, 6:7], x, x):
        answer, state = read.act(steps, state)
        expected, kept = agent.act(steps, kept)
        np.testing.assert_array_equal(answer, expected)
    np.testing.assert_allclose(state, kept, rtol=1e-4, atol=1e-5)
    assert state.shape[0] == 7


class Double(nn.Module):
    def forward(self, observation):
        return (observation * 2.0,)


class Stubborn(nn.Module):
    """Its answer depends on the length in a way that no graph can follow."""

    def forward(self, observation):
        return (observation * float(observation.shape[1]) ** 2,)


def write(module, path):
    example = {"observation": torch.randn(3, 4, 3, generator=torch.Generator().manual_seed(0))}
    export_module(module, example, {"observation": FREE}, {"action": FREE}, path)


@pytest.mark.parametrize("failure", ["an error", "a wrong graph"])
def test_the_older_exporter_has_its_turn(failure, folder, monkeypatch):
    def newer(module, *rest):
        if failure == "an error":
            raise torch.onnx.errors.OnnxExporterError("no")
        return exporting._older(Stubborn(), *rest)

    monkeypatch.setattr(exporting, "_newer", newer)
    path = folder / "double.onnx"
    write(Double(), path)
    x = np.ones((2, 11, 3), dtype=np.float32)
    np.testing.assert_array_equal(OnnxAgent(path).act(x, None)[0], 2.0 * x)


def test_a_file_that_answers_otherwise_is_never_written(folder, monkeypatch):
    path = folder / "wrong.onnx"
    monkeypatch.setattr(exporting, "_newer", exporting._older)
    with pytest.raises(ExportError, match="action differs from the network's"):
        write(Stubborn(), path)
    assert not path.exists()


def test_a_folder_that_cannot_be_written_is_named(folder):
    (folder / "file").write_text("not a folder")
    with pytest.raises(UnwritableFolder, match="choose another folder"):
        write(Double(), folder / "file" / "model.onnx")


def test_what_is_no_agent_is_refused(folder):
    path = folder / "text.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(ExportError, match="is no ONNX file"):
        OnnxAgent(path)
    example = {"x": torch.zeros(2, 2)}
    export_module(Double(), example, {"x": {0: "batch"}}, {"y": {0: "batch"}}, path)
    with pytest.raises(ExportError, match="maps x to y"):
        OnnxAgent(path)
