from __future__ import annotations

import pytest

import neurotasks
from agents.reference import Ideal, Trivial
from neurotasks.agent import Budget, Learner, silent
from neurotasks.continual import evaluate_stream
from neurotasks.errors import NoIdealObserver
from neurotasks.evaluate import evaluate

NOTHING = Budget("smoke", 0)


def test_both_are_learners():
    assert isinstance(Trivial(), Learner)
    assert isinstance(Ideal(), Learner)


def test_one_agent_for_each_seed():
    task = neurotasks.load("OrientationDecoding-v0")
    for learner in (Trivial(), Ideal()):
        assert len(learner.learn(task, seeds=[3, 4, 5], budget=NOTHING, log=silent)) == 3


@pytest.mark.parametrize(("learner", "low", "high"), [(Trivial(), -0.1, 0.1), (Ideal(), 0.9, 1.1)])
def test_they_hold_the_scale(learner, low, high):
    task = neurotasks.load("OrientationDecoding-v0")
    agents = learner.learn(task, seeds=[0], budget=NOTHING, log=silent)
    result = evaluate(task, agents, seeds=[0], stages=["test"], trials=500)
    assert low < result["test"].score[0] < high


def test_ideal_knows_the_stage_it_is_told():
    task = neurotasks.load("OrientationDecoding-v0")
    agents = [
        Ideal(stage).learn(task, seeds=[0], budget=NOTHING, log=silent)[0]
        for stage in ("test", "shift")
    ]
    ignorant, knowing = (
        evaluate(task, [agent], seeds=[0], stages=["shift"], trials=500)["shift"].raw[0]
        for agent in agents
    )
    assert knowing < ignorant


def test_trivial_learns_streams():
    task = neurotasks.load("ContinualDigits-v0")
    _, results = evaluate_stream(task, Trivial(), seeds=[0], budget=NOTHING, log=silent)
    result = results["test"]
    assert abs(result.score[0]) < 0.1


def test_ideal_has_no_answer_to_recorded_data():
    with pytest.raises(NoIdealObserver, match="nobody knows"):
        Ideal().learn(
            neurotasks.load("ImageClassificationDigits-v0"), seeds=[0], budget=NOTHING, log=silent
        )
