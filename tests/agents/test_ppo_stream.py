from __future__ import annotations

import numpy as np
import pytest

import neurotasks
from neurotasks.agent import Budget, silent
from neurotasks.continual import evaluate_stream
from neurotasks.evaluate import trial_metric

torch = pytest.importorskip("torch")

from agents.ppo_stream import PPOStreamLearner  # noqa: E402

SHORT = Budget("smoke", 2048)
FAST = {"width": 16, "worlds": 16, "steps": 32, "batch": 128, "epochs": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def task():
    return neurotasks.load("ContinualCartPole-v0")


def weights(agents):
    return [torch.cat([p.flatten() for p in a.network.parameters()]).clone() for a in agents]


def test_a_later_kind_goes_on_from_the_weights_of_the_one_before(task):
    learner, nothing = PPOStreamLearner(learning_rate=0.0, **FAST), PPOStreamLearner(**FAST)
    first, second = task.stream()[:2]
    before = weights(learner.learn(first, seeds=(0, 1), budget=SHORT, log=silent))
    after = weights(learner.learn(second, seeds=(0, 1), budget=SHORT, log=silent))
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other)
    taught = weights(nothing.learn(first, seeds=(0, 1), budget=SHORT, log=silent))
    assert not torch.allclose(taught[0], before[0])


def test_seeds_learn_the_same_beside_others_and_alone(task):
    alone, beside = PPOStreamLearner(**FAST), PPOStreamLearner(**FAST)
    for kind in task.stream()[:2]:
        (one,) = weights(alone.learn(kind, seeds=(1,), budget=SHORT, log=silent))
        _, other = weights(beside.learn(kind, seeds=(0, 1), budget=SHORT, log=silent))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_kinds_come_in_turn(task):
    learner, stream = PPOStreamLearner(**FAST), task.stream()
    with pytest.raises(ValueError, match="out of turn"):
        learner.learn(stream[1], seeds=(0,), budget=SHORT, log=silent)
    learner.learn(stream[0], seeds=(0,), budget=SHORT, log=silent)
    with pytest.raises(ValueError, match="expected part 1"):
        learner.learn(stream[2], seeds=(0,), budget=SHORT, log=silent)
    with pytest.raises(ValueError, match="out of turn"):
        learner.learn(stream[1], seeds=(7,), budget=SHORT, log=silent)
    with pytest.raises(TypeError, match="no part of a stream"):
        learner.learn(neurotasks.load("CartPole-v0"), seeds=(0,), budget=SHORT, log=silent)


def test_an_unknown_strategy_is_refused():
    with pytest.raises(ValueError, match="naive, joint"):
        PPOStreamLearner(strategy="replay")


@pytest.mark.slow
def test_naive_forgets_the_mirrored_carts_and_joint_learning_does_not_forget(task):
    settings = {**FAST, "width": 32, "worlds": 32, "epochs": 3, "learning_rate": 5e-3}
    found = {}
    for strategy in ("naive", "joint"):
        learner = PPOStreamLearner(strategy=strategy, discount=0.99, trace=0.9, **settings)
        _, stages = evaluate_stream(
            task, learner, seeds=(0, 1, 2), budget=Budget("quick", 131_072), log=silent
        )
        found[strategy] = stages["test"]
    matrix = np.mean(found["naive"].extra["matrix"], axis=0)
    assert matrix[2, 2] > 300, "mirrored carts are learned"
    assert matrix[3, 2] < 50, "and then forgotten"
    assert found["joint"].extra["forgetting"] == [0.0, 0.0, 0.0]
    assert np.shape(found["naive"].extra["held_bytes"]) == (3, 4)


def test_the_agent_answers_all_kinds(task):
    learner = PPOStreamLearner(**FAST)
    (agent,) = learner.learn(task.stream()[0], seeds=(0,), budget=SHORT, log=silent)
    for kind in task.stream():
        assert trial_metric(kind, agent, seed=0, trials=4).shape == (4,)
