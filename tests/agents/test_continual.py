from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest

from neurotasks import load
from neurotasks.agent import Budget, silent
from neurotasks.continual import evaluate_stream
from neurotasks.errors import MissingExtra

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from agents import continual  # noqa: E402
from agents.continual import AvalancheLearner  # noqa: E402
from agents.training import TrainingDiverged  # noqa: E402

try:
    continual.avalanche("avalanche.training")
except MissingExtra as missing:
    pytest.skip(str(missing), allow_module_level=True)

SHORT = Budget("smoke", 300)


@pytest.fixture
def task():
    return load("ContinualDigits-v0")


def weights(agent):
    return torch.cat([p.detach().flatten() for p in agent.network.parameters()])


def walk(learner, task, seeds, experiences=2, budget=SHORT):
    for experience in task.stream()[:experiences]:
        agents = learner.learn(experience, seeds=seeds, budget=budget, log=silent)
    return agents


def test_naive_forgets_and_replay_remembers(task):
    budget = Budget("quick", 10 * 1347)
    raw, forgotten = {}, {}
    for strategy in ("naive", "replay"):
        learner = AvalancheLearner(strategy, device="cpu")
        _, results = evaluate_stream(task, learner, seeds=[0], budget=budget, log=silent)
        result = results["test"]
        raw[strategy], forgotten[strategy] = result.raw[0], result.extra["forgetting"][0]
        assert np.shape(result.extra["matrix"]) == (1, 5, 5)
    assert raw["naive"] < 0.25
    assert raw["replay"] > 0.6
    assert forgotten["naive"] > 0.9 > forgotten["replay"]


@pytest.mark.slow
def test_strategies_at_full_budget(task):
    budget = Budget("full", 20 * 1347)
    raw = {}
    for strategy in continual.STRATEGIES:
        learner = AvalancheLearner(strategy, device="cpu")
        _, results = evaluate_stream(task, learner, seeds=range(5), budget=budget, log=silent)
        result = results["test"]
        raw[strategy] = np.mean(result.raw)
    assert raw["naive"] < 0.21
    assert raw["replay"] > 0.87
    assert 0.93 < raw["cumulative"] < task.card.stages["test"].ceiling


@pytest.mark.slow
def test_the_cards_ceiling_is_joint_training(task):
    from neurotasks.evaluate import trial_metric  # noqa: PLC0415
    from neurotasks.task import Experience  # noqa: PLC0415

    class Joint(type(task)):
        experiences = 1

        def experience(self, index, seed):
            return task.dataset("train", seed)

    agents = AvalancheLearner("naive", device="cpu").learn(
        Experience(Joint(), 0), seeds=range(5), budget=Budget("full", 40 * 1347), log=silent
    )
    raw = [trial_metric(task, agent, seed=seed).mean() for seed, agent in enumerate(agents)]
    assert abs(np.mean(raw) - task.card.stages["test"].ceiling) < 0.006


@pytest.mark.parametrize("strategy", continual.STRATEGIES)
def test_a_seed_gives_the_same_weights_whatever_runs_beside_it(task, strategy):
    alone = walk(AvalancheLearner(strategy, device="cpu"), task, [5])
    learner = AvalancheLearner(strategy, device="cpu")
    walk(learner, task, [1], experiences=1)  # experience 0 then starts afresh
    beside = walk(learner, task, [3, 5])
    torch.testing.assert_close(weights(alone[0]), weights(beside[1]), rtol=0, atol=0)
    assert not torch.equal(weights(beside[0]), weights(beside[1]))


def test_global_generators_are_left_alone(task):
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    walk(AvalancheLearner("replay", device="cpu"), task, [0])
    assert random.getstate() == before[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.parametrize("strategy", continual.STRATEGIES)
@pytest.mark.parametrize("samples", [100, 1000])
def test_the_budget_counts_all_that_is_shown(task, strategy, samples):
    shown = []
    learner = AvalancheLearner(strategy, device="cpu")
    for experience in task.stream()[:3]:
        learner.learn(
            experience,
            seeds=[0, 1],
            budget=Budget("smoke", samples),
            log=lambda number, **_: shown.append(number),
        )
    steps = np.diff([0, *shown])
    assert (steps >= samples).all()
    assert (steps < samples + 2 * learner.batch).all()


def test_replay_keeps_no_more_than_its_memory(task):
    learner = AvalancheLearner("replay", memory=50, device="cpu")
    walk(learner, task, [0], experiences=4)
    strategy, _ = learner._running[0]
    buffers = [
        plugin.storage_policy.buffer
        for plugin in strategy.plugins
        if hasattr(plugin, "storage_policy")
    ]
    assert [len(buffer) for buffer in buffers] == [50]


def test_it_is_silent(task, capfd):
    walk(AvalancheLearner("replay", device="cpu"), task, [0])
    assert capfd.readouterr() == ("", "")


def test_images_can_go_through_a_cnn(task):
    agents = walk(AvalancheLearner("naive", network="cnn", width=32, device="cpu"), task, [0])
    action, _ = agents[0].act(task.test(0).x, None)
    assert action.shape == (450, 1)


def test_weights_that_are_no_numbers_are_found_out(task):
    learner = AvalancheLearner("naive", learning_rate=1e20, device="cpu")
    with pytest.raises(TrainingDiverged, match=r"'naive' with seed 2 .* lower the learning rate"):
        walk(learner, task, [2])


def test_experiences_come_in_turn(task):
    learner = AvalancheLearner("naive", device="cpu")
    stream = task.stream()
    with pytest.raises(ValueError, match=r"experience 1 .* out of turn"):
        learner.learn(stream[1], seeds=[0], budget=SHORT, log=silent)
    learner.learn(stream[0], seeds=[0], budget=SHORT, log=silent)
    with pytest.raises(ValueError, match="out of turn: expected experience 1"):
        learner.learn(stream[2], seeds=[0], budget=SHORT, log=silent)
    with pytest.raises(ValueError, match=r"seeds \[0\]"):
        learner.learn(stream[1], seeds=[1], budget=SHORT, log=silent)


def test_only_streams_are_learned():
    with pytest.raises(TypeError, match="OrientationDecoding-v0 is no experience"):
        AvalancheLearner().learn(
            load("OrientationDecoding-v0"), seeds=[0], budget=SHORT, log=silent
        )


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="there is no 'rehearse'; there are naive, replay"):
        AvalancheLearner("rehearse")
    with pytest.raises(ValueError, match="there is no 'vit'; there are mlp"):
        AvalancheLearner(network="vit")


@pytest.mark.parametrize("absent", ["avalanche.training", "torchvision"])
def test_without_the_library_the_extra_is_named(monkeypatch, absent):
    def refuse(name):
        if name == absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])

    continual.avalanche.cache_clear()
    monkeypatch.setattr(continual, "import_module", refuse)
    with pytest.raises(MissingExtra, match=r"pip install 'neurotasks\[continual\]'"):
        continual.avalanche("avalanche.training")


def test_other_failures_of_torchvision_are_not_hidden(monkeypatch):
    def fail(_):
        raise RuntimeError("something else")

    monkeypatch.setattr(continual, "import_module", fail)
    with pytest.raises(RuntimeError, match="something else"):
        continual._import_torchvision()


def test_a_home_that_cannot_be_written_is_replaced_for_the_import(monkeypatch):
    monkeypatch.setenv("HOME", "/nowhere")
    with continual._writable_home():
        lent = Path.home()
        (lent / "file").write_text("written")
    assert os.environ["HOME"] == "/nowhere"
    assert not lent.exists()
