from __future__ import annotations

import random

import numpy as np
import pytest

from neurotasks import load
from neurotasks.agent import Budget, silent
from neurotasks.continual import evaluate_stream
from neurotasks.errors import MissingExtra
from neurotasks.evaluate import trial_metric

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from agents.avalanche import avalanche  # noqa: E402
from agents.continual import AvalancheLearner  # noqa: E402
from agents.strategies import STRATEGIES  # noqa: E402
from agents.training import TrainingDiverged  # noqa: E402

try:
    avalanche("avalanche.training")
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


PENALTIES = ("ewc", "ewc-online", "si", "mas", "lwf")
MEMORIES = ("replay", "gdumb", "icarl", "derpp", "er-ace")


def final(task, strategies):
    """Return the mean accuracy after the last experience by strategy, five seeds."""
    raw, budget = {}, Budget("full", 20 * 1347)
    for strategy in strategies:
        learner = AvalancheLearner(strategy, device="cpu")
        _, results = evaluate_stream(task, learner, seeds=range(5), budget=budget, log=silent)
        raw[strategy] = np.mean(results["test"].raw)
    return raw


@pytest.mark.slow
def test_of_classes_only_memories_remain(task):
    raw = final(task, ("naive", *PENALTIES, *MEMORIES, "slda", "cumulative"))
    assert raw["naive"] < 0.21
    assert max(raw[name] for name in PENALTIES) < 0.4
    assert min(raw[name] for name in MEMORIES) > 0.85
    assert raw["replay"] < 0.93 < raw["cumulative"] < task.card.stages["test"].ceiling


@pytest.mark.slow
def test_where_tasks_are_told_penalties_help():
    raw = final(load("SplitDigitsTask-v0"), ("naive", *PENALTIES, "cumulative"))
    assert raw["naive"] < min(raw[name] for name in PENALTIES)
    assert raw["cumulative"] > 0.98


@pytest.mark.slow
def test_the_cards_ceiling_is_joint_training(task):
    budget = Budget("full", 40 * 1347 // 5)  # of one experience; joint training takes all at once
    learner = AvalancheLearner("joint", device="cpu")
    agents = learner.learn(task.stream()[0], seeds=range(5), budget=budget, log=silent)
    raw = [trial_metric(task, agent, seed=seed).mean() for seed, agent in enumerate(agents)]
    assert abs(np.mean(raw) - task.card.stages["test"].ceiling) < 0.006


def test_global_generators_are_left_alone(task):
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    walk(AvalancheLearner("replay", device="cpu"), task, [0])
    assert random.getstate() == before[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.parametrize("strategy", sorted(set(STRATEGIES) - {"joint", "slda"}))
def test_the_budget_counts_all_that_is_shown(task, strategy):
    shown, samples = [], 400  # more than one pass
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
    assert (steps < samples + 2 * learner.batch + (strategy == "gem") * learner.memory).all()


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
    with pytest.raises(ValueError, match="there is no 'rehearse'; there are naive, cumulative"):
        AvalancheLearner("rehearse")
    with pytest.raises(ValueError, match="there is no 'vit'; there are mlp"):
        AvalancheLearner(network="vit")
