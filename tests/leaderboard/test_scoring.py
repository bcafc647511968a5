from __future__ import annotations

import base64
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leaderboard.sandbox import Limits, Outcome
from leaderboard.scoring import Scored, _scored, private_seeds, score
from neurotasks import load
from neurotasks.continual import by_group
from neurotasks.evaluate import evaluate, trial_metric
from neurotasks.onnx_agent import OnnxAgent
from neurotasks.submission.check import problems, read_manifest
from neurotasks.submission.manifest import Manifest
from neurotasks.submission.pack import Words, pack_agents
from tests.leaderboard.attacks import (
    CLASSES,
    POINTS,
    answers,
    classes,
    constant,
    hand_in,
    model,
    npz,
    points,
    record,
    write,
)

SECRET = "only the board knows"  # noqa: S105 - of this test
WORDS = Words(agent="tested")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder that the sandbox's other user can read."""
    with tempfile.TemporaryDirectory(prefix="scoring-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def same(scored: Scored, expected, stages=("test", "shift")) -> None:
    assert scored.reason == ""
    for stage in stages:
        assert scored.stages[stage].raw == expected[stage].raw
        assert scored.stages[stage].score == expected[stage].score
        assert scored.stages[stage].error == expected[stage].error


def two_graphs(folder: Path) -> Manifest:
    first = points().SerializeToString()
    other = points()
    other.graph.initializer[0].raw_data = np.linspace(0.2, -0.1, 128, dtype=np.float32).tobytes()
    files = {"model-3.onnx": first, "model-8.onnx": other.SerializeToString()}
    write(folder, record(POINTS, "onnx", files, seeds=[3, 8], claimed={}), files)
    assert problems(folder) == []
    return read_manifest(folder)


def test_graphs_score_what_evaluate_measures(folder):
    manifest = two_graphs(folder)
    scored = score(folder, manifest, SECRET)
    task = load(POINTS)
    agents = [OnnxAgent(folder / f"model-{seed}.onnx") for seed in (3, 8)]
    same(scored, evaluate(task, agents, seeds=(3, 8)))
    assert set(scored.stages) == {"test", "shift", "private"}
    assert scored.items["test"].shape == (2, 4000)
    expected = trial_metric(task, agents[1], seed=8).astype(np.float32)
    np.testing.assert_array_equal(scored.items["test"][1], expected)
    hidden = private_seeds(SECRET, POINTS, (3, 8))
    private = evaluate(task, agents, seeds=hidden, stages=["private"])
    same(scored, private, ("private",))
    assert scored.cpu_seconds > 0.1


def test_graphs_with_memory_and_classes_score_what_evaluate_measures(folder):
    node = onnx.helper.make_node
    graph = classes(
        [
            node("ArgMax", ["observation"], ["best"], axis=2, keepdims=0),
            constant("one", 1),
            node("Min", ["best", "one"], ["action"]),
            node("Identity", ["state"], ["next_state"]),
        ],
        memory=True,
    )
    hand_in(folder, graph.SerializeToString(), task=CLASSES)
    assert problems(folder) == []
    scored = score(folder, read_manifest(folder))
    agents = [OnnxAgent(folder / "model.onnx")]
    same(scored, evaluate(load(CLASSES), agents, seeds=(0,)))
    assert set(scored.stages) == {"test", "shift"}


@pytest.mark.parametrize("task_id", [POINTS, CLASSES])
def test_predictions_score_what_evaluate_measures(folder, task_id):
    task = load(task_id)
    agents = [task.trivial(), task.ideal()]
    manifest = pack_agents(task_id, agents, folder / "in", seeds=(0, 5), words=WORDS)
    assert problems(folder / "in") == []
    scored = score(folder / "in", manifest, SECRET)
    assert set(scored.stages) == {"test", "shift"}, "answers to public trials tell no private ones"
    same(scored, evaluate(task, agents, seeds=(0, 5)))


def test_predictions_in_the_other_order_of_memory_score_the_same(folder):
    turned = {name: np.asfortranarray(array) for name, array in answers(CLASSES).items()}
    hand_in(folder, npz(turned), "predictions", CLASSES)
    assert problems(folder) == []
    assert score(folder, read_manifest(folder)).reason == ""


def test_streams_score_what_their_groups_say(folder):
    task = load("neurotasks/ContinualYang2019-v0")
    agent = task.trivial()
    manifest = pack_agents(task.card.id, [agent], folder / "in", seeds=(2,), words=WORDS)
    assert problems(folder / "in") == []
    scored = score(folder / "in", manifest)
    values = trial_metric(task, agent, seed=2)
    groups, _ = by_group(values, task.test(2, "test").trials["group"])
    assert scored.stages["test"].raw == (float(groups.mean()),)


def test_fixed_data_have_no_private_stage(folder):
    task = load("neurotasks/ImageClassificationDigits-v0")
    node = onnx.helper.make_node
    graph = model(
        [
            node("Cast", ["observation"], ["numbers"], to=1),
            constant("axes", [2, 3, 4]),
            node("ReduceSum", ["numbers", "axes"], ["sum"], keepdims=0),
            constant("nought", 0.0, np.float32),
            node("Less", ["sum", "nought"], ["never"]),
            node("Cast", ["never"], ["action"], to=7),
        ],
        {"observation": (2, ("b", "t", 1, 8, 8))},
        {"action": (7, ("b", "t"))},
    )
    hand_in(folder, graph.SerializeToString(), task=task.card.id)
    assert problems(folder) == []
    scored = score(folder, read_manifest(folder), SECRET)
    assert scored.reason == ""
    assert set(scored.stages) == {"test", "shift"}


def test_private_seeds_are_of_the_board_the_task_and_the_run():
    ways = [("a", "t", 0), ("b", "t", 0), ("a", "u", 0), ("a", "t", 1), ("a\0t", "", 0)]
    found = [private_seeds(secret, task, [seed])[0] for secret, task, seed in ways]
    assert len(set(found)) == len(ways)
    assert all(0 <= seed < 2**56 for seed in found)
    assert private_seeds("a", "t", [0, 1]) == (found[0], found[3])


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(memory=64 << 20), "scoring "),
        (Limits(memory=1 << 20), "scoring "),
        (Limits(wall_seconds=0.05), "scoring took longer than 0.05 s"),
        (Limits(answer=100), "scoring answered more than 100 bytes"),
        (Limits(descriptors=3), "scoring failed"),
    ],
)
def test_too_little_of_anything_is_a_reason(folder, limits, reason):
    scored = score(folder, two_graphs(folder), SECRET, limits)
    assert scored.reason.startswith(reason)
    assert scored.stages == {}


def test_a_file_that_cannot_be_read_is_a_reason(folder):
    manifest = two_graphs(folder)
    (folder / "model-8.onnx").unlink()
    assert "No such file" in score(folder, manifest).reason


def outcome(**changes):
    stage = {
        "raw": [1.0],
        "error": [0.1],
        "items": base64.b64encode(bytes(4 * 4000)).decode(),
        "trials": 4000,
    }
    return Outcome({"stages": {"test": {**stage, **changes}}}, "", 1.0, 1.0)


MANIFEST = Manifest.from_json(json.dumps(record(POINTS, "onnx", {"model.onnx": b""}, claimed={})))


@pytest.mark.parametrize(
    "changes",
    [
        {"raw": []},
        {"raw": [1.0, 2.0]},
        {"raw": ["<script>"]},
        {"raw": [True]},
        {"raw": None},
        {"raw": [float("nan")]},
        {"error": [float("inf")]},
        {"items": "?"},
        {"items": ""},
        {"items": "AAAA"},
        {"items": None},
        {"items": base64.b64encode(bytes(4 * 3999)).decode()},
        {"details": []},
        {"details": {"curve": []}},
        {"details": {"curve": [{}]}},
        {"details": {"curve": [{"1": "<b>"}]}},
        {"details": {"curve": [{"1": float("nan")}]}},
        {"details": {"curve": [{"1": 0.5}, {"1": 0.5}]}},
        {"details": {"a\nb": [{"1": 0.5}]}},
        {"details": {"curve": [{"\u202e": 0.5}]}},
        {"details": {"": [{"1": 0.5}]}},
        {"details": {"c" * 101: [{"1": 0.5}]}},
        {"details": {"curve": [{str(part): 0.5 for part in range(101)}]}},
        {"details": {str(figure): [{"1": 0.5}] for figure in range(21)}},
    ],
)
def test_a_strange_answer_of_the_child_is_not_believed(changes):
    assert _scored(outcome(), MANIFEST, ["test"]).reason == ""
    scored = _scored(outcome(**changes), MANIFEST, ["test"])
    assert scored.stages == {}
    assert "something else than was asked for" in scored.reason


@settings(deadline=None, database=None, derandomize=True, max_examples=100,
          suppress_health_check=[HealthCheck.too_slow])  # fmt: skip
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["stages", "test", "raw", "items", "error"]), inner)
        ),
        max_leaves=10,
    )
)
def test_no_answer_of_a_child_is_an_error_here(answer):
    told = answer if isinstance(answer, dict) else {"stages": answer}
    assert _scored(Outcome(told, "", 0.0, 0.0), MANIFEST, ["test"]).reason


def test_a_secret_leaves_no_trace_in_what_is_told(folder):
    scored = score(folder, two_graphs(folder), SECRET, Limits(answer=100))
    assert SECRET not in scored.reason
    assert not any(SECRET in value for value in os.environ.values())


IMAGES, TRIALS = "neurotasks/ImageClassificationDigits-v0", "neurotasks/GoNogo-v0"


@pytest.mark.slow
@pytest.mark.parametrize("task_id", [IMAGES, TRIALS, POINTS])
def test_what_our_networks_are_exported_to_is_allowed(folder, task_id):
    pytest.importorskip("onnxscript")
    from agents.networks import NETWORKS, readout  # noqa: PLC0415 - torch loads slowly
    from agents.onnx import export  # noqa: PLC0415
    from agents.training import TorchAgent  # noqa: PLC0415
    from neurotasks.submission.onnx_graph import problems as graph_problems  # noqa: PLC0415

    task = load(task_id)
    answer = readout(task.card, task.action_space)
    only_images = {"contrast-mlp", "cnn", "resnet", "dscnn"} if task_id != IMAGES else set()
    for name in sorted(set(NETWORKS) - only_images):
        network = NETWORKS[name](task.observation_space, answer.size, 8)
        export(TorchAgent(network.eval(), answer), task, folder / f"{name}.onnx")
        assert list(graph_problems(folder / f"{name}.onnx", task)) == [], name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task_id", "network"),
    [("EvidenceAccumulation-v0", "gru"), ("CartPole-v0", "mlp"), ("Pendulum-v0", "mlp")],
)
def test_what_our_policies_are_exported_to_is_allowed_and_scored(folder, task_id, network):
    pytest.importorskip("onnxscript")
    from agents.onnx import export  # noqa: PLC0415 - torch loads slowly
    from agents.ppo import PPOLearner  # noqa: PLC0415
    from neurotasks.agent import Budget, silent  # noqa: PLC0415

    task = load(task_id)
    learner = PPOLearner(network=network, width=8, device="cpu")
    (agent,) = learner.learn(task, seeds=[0], budget=Budget("smoke", 4096), log=silent)
    export(agent, task, folder / "exported.onnx")
    inside = folder / "in"
    inside.mkdir()
    inside.chmod(0o755)
    hand_in(inside, (folder / "exported.onnx").read_bytes(), task=task.card.id)
    assert problems(inside) == []
    scored = score(inside, read_manifest(inside))
    same(
        scored, evaluate(task, [OnnxAgent(inside / "model.onnx")], seeds=(0,)), task.card.evaluated
    )
