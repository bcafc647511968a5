from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.child import agents_of
from agents.networks import NETWORKS, readout
from agents.training import TorchAgent
from agents.weights import pack_weights, save_weights
from leaderboard.sandbox import Limits
from leaderboard.scoring import score
from neurotasks import load
from neurotasks.errors import CorruptSubmission
from neurotasks.evaluate import evaluate
from neurotasks.submission.check import problems
from neurotasks.submission.pack import Words

pytest.importorskip("safetensors")

IMAGES, TRIALS = "neurotasks/ImageClassificationDigits-v0", "neurotasks/GoNogo-v0"
ON_IMAGES = {"contrast-mlp", "cnn", "resnet", "dscnn"}
WORDS = Words(agent="tested")


def agent(name, task, seed=0, width=8):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        answer = readout(task.card, task.action_space)
        network = NETWORKS[name](task.observation_space, answer.size, width)
    return TorchAgent(network.eval(), answer)


def request(path, task_id, name="mlp", width=8, seeds=(0,)):
    return {
        "task": task_id,
        "files": [str(path)],
        "architecture": {"name": name, "width": width},
        "seeds": list(seeds),
    }


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_comes_back_as_it_was(name, tmp_path):
    task_id = IMAGES if name in ON_IMAGES else TRIALS
    task = load(task_id)
    agents = [agent(name, task, seed) for seed in (4, 44)]
    save_weights(agents, (4, 44), tmp_path / "weights.safetensors")
    found = agents_of(request(tmp_path / "weights.safetensors", task_id, name, seeds=(4, 44)))
    x = task.sample(5, 0, "test").x
    for before, after in zip(agents, found, strict=True):
        assert not any(tensor.is_meta for tensor in after.network.state_dict().values())
        np.testing.assert_array_equal(before.act(x, None)[0], after.act(x, None)[0])
        (one, _), (two, _) = (a.network(torch.tensor(x), None) for a in (before, after))
        assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        ({"name": "os.system", "width": 8}, "there is no architecture 'os.system'; there are mlp"),
        ({"name": "mlp", "width": 100_000}, "numbers; 100,000,000 are allowed"),
        ({"name": "gru", "width": 10**9}, "."),
        ({"name": "transformer", "width": 10**12}, "."),
        ({"name": "mlp", "width": 16}, "not torch.float32"),
        ({"name": "gru", "width": 8}, "tensors differ from the architecture's by"),
        ({"name": "cnn", "width": 8}, "a CNN sees images"),
    ],
)
def test_another_architecture_is_refused_before_it_is_built(architecture, reason, tmp_path):
    save_weights([agent("mlp", load(TRIALS))], (0,), tmp_path / "w")
    asked = {**request(tmp_path / "w", TRIALS), "architecture": architecture}
    with pytest.raises((CorruptSubmission, TypeError, ValueError, RuntimeError), match=reason):
        agents_of(asked)


@pytest.mark.parametrize("change", ["missing", "more", "shape", "type", "seed"])
def test_other_tensors_are_refused(change, tmp_path):
    from safetensors.torch import save_file  # noqa: PLC0415 - an extra

    state = agent("mlp", load(TRIALS)).network.state_dict()
    tensors = {f"0.{name}": tensor.contiguous() for name, tensor in state.items()}
    first = next(name for name, tensor in tensors.items() if tensor.ndim > 1)
    if change == "missing":
        del tensors[first]
    elif change == "more":
        tensors["0.evil"] = torch.zeros(1)
    elif change == "shape":
        tensors[first] = tensors[first].T.contiguous()
    elif change == "type":
        tensors[first] = tensors[first].double()
    else:
        tensors = {name.replace("0.", "7.", 1): tensor for name, tensor in tensors.items()}
    save_file(tensors, tmp_path / "w")
    with pytest.raises(CorruptSubmission, match="seed 0: "):
        agents_of(request(tmp_path / "w", TRIALS))


def test_agents_and_seeds_go_together(tmp_path):
    with pytest.raises(CorruptSubmission, match="1 agents for 2 seeds"):
        save_weights([agent("mlp", load(TRIALS))], (0, 1), tmp_path / "w")


def test_packed_weights_score_what_evaluate_measures(tmp_path):
    task = load(IMAGES)
    agents = [agent("mlp", task, seed) for seed in (0, 1)]
    with tempfile.TemporaryDirectory(prefix="weights-") as name:
        Path(name).chmod(0o755)
        folder = Path(name) / "in"
        kind = {"name": "mlp", "width": 8}
        facts = {"architecture": kind}
        manifest = pack_weights(IMAGES, agents, folder, seeds=(0, 1), words=WORDS, facts=facts)
        assert problems(folder) == []
        assert json.loads((folder / "manifest.json").read_text())["architecture"] == kind
        scored = score(folder, manifest, "secret")
        assert scored.reason == ""
        expected = evaluate(task, agents, seeds=(0, 1))
        assert {n: s.raw for n, s in scored.stages.items()} == {
            n: s.raw for n, s in expected.items()
        }
        assert scored.items["test"].shape == (2, 355)
        tight = Limits(memory=1 << 29, cpu_seconds=20)
        assert score(folder, manifest, "secret", tight).reason.startswith("scoring ")


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    task = load("neurotasks/OrientationDecoding-v0")
    broken = agent("mlp", task)
    with torch.no_grad():
        for parameter in broken.network.parameters():
            parameter.fill_(float("nan"))
    save_weights([broken], (0,), tmp_path / "w")
    (found,) = agents_of(request(tmp_path / "w", task.card.id))
    with pytest.raises(ValueError, match="the action holds nan"):
        evaluate(task, [found], seeds=(0,), trials=10)
