from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import neurotasks
from neurotasks.agent import Budget, Policy, RandomPolicy, seeded, silent
from neurotasks.continual import evaluate_stream
from neurotasks.errors import InvalidAction, NoIdealObserver, NonCausalAgent
from neurotasks.evaluate import evaluate, trial_metric

TASK = "OrientationDecoding-v0"


def test_the_ends_of_the_scale_score_zero_and_one():
    task = neurotasks.load(TASK)
    trivial = evaluate(task, [task.trivial()] * 3, seeds=range(3), stages=["test"])["test"]
    ideal = evaluate(task, [task.ideal()] * 3, seeds=range(3), stages=["test"])["test"]
    np.testing.assert_allclose(trivial.score, 0.0, atol=0.05)
    np.testing.assert_allclose(ideal.score, 1.0, atol=0.02)
    assert len(set(ideal.raw)) == 3, "every seed has trials of its own"


def test_one_seed_gives_one_answer_whatever_the_number_of_trials():
    task = neurotasks.load(TASK)
    many = trial_metric(task, task.ideal(), seed=3, trials=50)
    few = trial_metric(task, task.ideal(), seed=3, trials=20)
    np.testing.assert_allclose(many[:20], few, atol=1e-9)


def test_the_private_stage_shows_other_trials_of_the_same_task():
    task = neurotasks.load(TASK)
    public = trial_metric(task, task.ideal(), seed=3, stage="test", trials=500)
    private = trial_metric(task, task.ideal(), seed=3, stage="private", trials=500)
    assert not np.array_equal(public, private)
    assert abs(public.mean() - private.mean()) < 1.0


def test_wrong_answers_are_refused():
    task = neurotasks.load(TASK)
    with pytest.raises(InvalidAction, match="shape"):
        trial_metric(task, Policy(lambda x: x), seed=0)
    with pytest.raises(InvalidAction, match="nan"):
        trial_metric(task, Policy(lambda x: np.full((*x.shape[:2], 2), np.nan)), seed=0)


class Peeking:
    """Knows the whole block, not the past alone."""

    def act(self, observation, state):
        steps = np.argmax(observation, axis=-1)
        answer = np.roll(np.eye(observation.shape[-1])[steps], -1, axis=1) * 9.0
        return answer, state


class Forgetful:
    """Counts the steps of a block, and forgets them at its end."""

    def act(self, observation, state):
        shape = observation.shape
        count = np.arange(shape[1], dtype=np.float64)[None, :, None]
        return np.zeros(shape) + count * np.arange(shape[2]), None


@pytest.mark.parametrize("agent", [Peeking(), Forgetful()])
def test_agents_that_look_ahead_or_forget_are_caught(agent):
    task = neurotasks.load("SequencePrediction-v0")
    with pytest.raises(NonCausalAgent, match="depend on later steps"):
        trial_metric(task, agent, seed=0, trials=10)


def test_recorded_data_have_no_ideal_observer():
    with pytest.raises(NoIdealObserver, match="nobody knows the best possible answer"):
        neurotasks.load("ContinualDigits-v0").ideal()


def test_the_random_policy_does_not_depend_on_blocks():
    policy = RandomPolicy(4)
    x = np.zeros((3, 6, 2))
    whole, _ = policy.act(x, None)
    first, state = policy.act(x[:, :2], None)
    second, _ = policy.act(x[:, 2:], state)
    np.testing.assert_array_equal(whole, np.concatenate((first, second), axis=1))
    assert set(np.unique(whole)) <= {0, 1, 2, 3}


def test_random_choices_are_those_of_the_seed():
    x = np.zeros((50, 6, 2))
    first, other = (seeded(RandomPolicy(4), seed).act(x, None)[0] for seed in (1, 2))
    assert not np.array_equal(first, other)
    constant = Policy(lambda x: x)
    assert seeded(constant, 3) is constant


class Oracle:
    """Answers right on every class it has been shown, and with the first one otherwise."""

    def __init__(self):
        self.known = []

    def learn(self, task, *, seeds, budget, log):
        del budget, log
        self.known.append([task.dataset("train", seed) for seed in seeds])
        return [_Nearest([past[i] for past in self.known]) for i in range(len(seeds))]


class _Nearest:
    def __init__(self, batches):
        self.x = np.concatenate([b.x.reshape(len(b), -1) for b in batches]).astype(np.float32)
        self.y = np.concatenate([b.y[:, 0] for b in batches])

    def act(self, observation, state):
        flat = observation.reshape(len(observation), -1).astype(np.float32)
        square = (self.x**2).sum(1) - 2 * flat @ self.x.T
        return self.y[square.argmin(1)][:, None], state


def test_a_stream_keeps_the_accuracy_matrix_whole():
    task = neurotasks.load("ContinualDigits-v0")
    budget = Budget("smoke", 1000)
    _, results = evaluate_stream(task, Oracle(), seeds=[0, 1], budget=budget, log=silent)
    result = results["test"]
    matrix = np.array(result.extra["matrix"])
    assert matrix.shape == (2, 5, 5)
    assert (matrix[:, -1] > 0.9).all(), "a nearest neighbour knows all digits at the end"
    assert (matrix[:, 0, 1:] < 0.2).all(), "and none that it was not shown"
    np.testing.assert_allclose(result.raw, matrix[:, -1].mean(axis=1), atol=1e-5)
    assert max(map(abs, result.extra["forgetting"])) < 0.1
    assert set(result.extra) == {
        "matrix",
        "area",
        "forgetting",
        "backward transfer",
        "forward transfer",
        "average incremental accuracy",
        "seconds",
        "cpu_seconds",
        "energy_kwh",
    }
    assert np.shape(result.extra["seconds"]) == (2, 5)


def test_the_ideal_observer_of_a_stream_is_ideal_in_the_shifted_stage_too():
    @dataclass(frozen=True)
    class Best:
        stage: str = "test"

        def learn(self, task, *, seeds, budget, log):
            del budget, log
            return [seeded(task.task.ideal(self.stage), seed) for seed in seeds]

    task = neurotasks.load("ContinualObjectsNI-v0")
    _, stages = evaluate_stream(task, Best(), seeds=[0], budget=Budget("none", 0), log=silent)
    assert stages["test"].score[0] > 0.99
    assert stages["shift"].score[0] > 0.98
    assert len(stages["test"].extra["matrix"][0]) == task.experiences
