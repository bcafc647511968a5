from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

import neurotasks
from agents.linear import ScikitLearner, logistic, ridge
from neurotasks.agent import Agent, Budget, Learner, silent
from neurotasks.evaluate import evaluate

SMALL = Budget("smoke", 2000)


def learn(task, learner, budget=SMALL, seeds=(0,)):
    return learner.learn(task, seeds=seeds, budget=budget, log=silent)


def score(task, agents, **options):
    seeds = range(len(agents))
    return evaluate(task, agents, seeds=seeds, stages=["test"], **options)["test"].score


def test_it_keeps_the_protocols(echo):
    learner = logistic()
    assert isinstance(learner, Learner)
    assert isinstance(learn(echo, learner)[0], Agent)


def test_circular_ridge_reads_an_orientation():
    task = neurotasks.load("OrientationDecoding-v0")
    agents = learn(task, ridge())
    assert score(task, agents)[0] > 0.9
    assert agents[0].parameters == 2 * 64 + 2


def test_logistic_regression_names_digits():
    task = neurotasks.load("ImageClassificationDigits-v0")
    assert score(task, learn(task, logistic()))[0] > 0.9


def test_any_estimator_will_do():
    task = neurotasks.load("ImageClassificationDigits-v0")
    agents = learn(task, ScikitLearner(KNeighborsClassifier(1)))
    assert score(task, agents)[0] > 0.9
    assert agents[0].parameters == 0


def test_a_history_of_two_masters_the_echo_and_one_does_not(echo, echo_class):
    for task in (echo, echo_class):
        assert abs(score(task, learn(task, logistic()))[0]) < 0.05
        assert score(task, learn(task, logistic(history=2)))[0] > 0.9


def test_a_symbol_never_seen_keeps_a_probability(echo):
    agent = learn(echo, logistic(history=2), Budget("smoke", 1))[0]
    missing = set(range(4)) - set(agent.estimator.classes_.tolist())
    answer, _ = agent.act(echo.sample(50, 9).x, None)
    assert missing or len(agent.estimator.classes_) == 4
    assert np.isfinite(answer).all()
    assert answer.min() >= agent.floor


def test_state_carries_the_history_across_blocks(echo):
    agent = learn(echo, logistic(history=3))[0]
    x = echo.sample(20, 5).x
    whole, _ = agent.act(x, None)
    state, parts = None, []
    for step in range(x.shape[1]):
        answer, state = agent.act(x[:, step : step + 1], state)
        parts.append(answer)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=1e-5, atol=1e-5)


def test_a_seed_gives_one_agent_and_another_seed_another():
    task = neurotasks.load("OrientationDecoding-v0")
    first, again, other = learn(task, ridge(), seeds=(1, 1, 2))
    np.testing.assert_array_equal(first.estimator.coef_, again.estimator.coef_)
    assert not np.array_equal(first.estimator.coef_, other.estimator.coef_)


def test_an_estimator_with_a_seed_gets_it(echo):
    learner = ScikitLearner(DecisionTreeClassifier(max_depth=2))
    assert learn(echo, learner, seeds=(7,))[0].estimator.random_state == 7
    assert learner.estimator.random_state is None


def test_the_budget_bounds_the_trials(echo):
    shown = []
    learner = logistic(history=2)
    learner.learn(
        echo, seeds=[0], budget=Budget("smoke", 30), log=lambda samples, **_: shown.append(samples)
    )
    assert shown == [30]


def test_the_wrong_kind_of_estimator_is_refused(echo):
    with pytest.raises(TypeError, match="needs a classifier"):
        learn(echo, ridge())
    with pytest.raises(TypeError, match="needs a regressor"):
        learn(neurotasks.load("OrientationDecoding-v0"), logistic())


def test_other_forms_are_refused():
    with pytest.raises(TypeError, match="no trial task"):
        learn(neurotasks.load("CartPole-v0"), ridge())
