from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import neurotasks
from neurotasks.agent import Observer
from neurotasks.evaluate import trial_metric
from neurotasks.tasks import ready_set_go as rsg

TASK = neurotasks.load("ReadySetGo-v0")
STAGES = ("test", "shift")


def told(stage):
    parameters = TASK.card.stage(stage).parameters
    return parameters["shortest"], parameters["longest"], parameters["production"]


@pytest.mark.parametrize("stage", STAGES)
def test_anchors_are_sums_over_all_intervals_and_flashes(stage):
    """Step by step of the window, as the accuracy has it, and not through the median's error."""
    shortest, longest, production = told(stage)
    true = np.arange(shortest, longest + 1)
    elapsed = np.arange(production) >= true[:, None]
    joint = rsg.flashes(shortest, longest) / len(true)
    yes, no = joint.T @ elapsed, joint.T @ ~elapsed
    anchors = TASK.card.stage(stage)
    assert anchors.ceiling == pytest.approx(np.maximum(yes, no).sum() / production, abs=1e-6)
    chance = np.maximum(yes.sum(axis=0), no.sum(axis=0)).sum() / production
    assert anchors.chance == pytest.approx(chance, abs=1e-6)


@pytest.mark.parametrize("stage", STAGES)
def test_the_ideal_observer_beats_the_interval_that_was_shown(stage):
    as_shown = np.arange(rsg.longest_shown(told(stage)[1]) + 1)
    agents = TASK.ideal(stage), Observer(partial(rsg._produce, as_shown))
    ideal, shown = (trial_metric(TASK, a, seed=3, stage=stage, trials=10_000) for a in agents)
    error = ideal.std() / 100
    assert ideal.mean() == pytest.approx(TASK.card.stage(stage).ceiling, abs=4 * error)
    assert shown.mean() < ideal.mean() - 4 * error


@pytest.mark.parametrize("stage", STAGES)
def test_productions_are_drawn_to_the_middle(stage):
    shortest, longest, _ = told(stage)
    produced = rsg.medians(shortest, longest)
    mean = rsg.flashes(shortest, longest) @ produced  # of each true interval
    assert mean[0] > shortest
    assert mean[-1] < longest
    assert (np.diff(mean) > 0).all()


def test_one_minus_accuracy_is_the_error_of_timing():
    batch = TASK.sample(500, 4, "test")
    answers, _ = TASK.ideal().act(batch.x, None)
    wrong = ((answers != batch.y) & batch.mask).sum(axis=1)
    produced = rsg.medians(rsg.SHORTEST, rsg.LONGEST)[batch.trials["shown"]]
    np.testing.assert_array_equal(wrong, np.abs(produced - batch.trials["interval"]))


@pytest.mark.parametrize("stage", STAGES)
def test_flashes_stand_where_the_table_says_and_err_by_a_tenth(stage):
    batch = TASK.sample(20_000, 5, stage)
    ready, flash = (batch.x[..., channel].argmax(axis=1) for channel in (rsg.READY, rsg.SET))
    np.testing.assert_array_equal(flash - ready, batch.trials["shown"])
    assert (batch.x[..., :2].sum(axis=(1, 2)) == 2).all()
    relative = batch.trials["shown"] / batch.trials["interval"] - 1.0
    assert relative.mean() == pytest.approx(0.0, abs=0.003)
    assert relative.std() == pytest.approx(rsg.WEBER, rel=0.03)
    assert (batch.mask.sum(axis=1) == told(stage)[2]).all()
    np.testing.assert_array_equal(batch.mask, batch.x[..., rsg.WINDOW] == 1.0)
