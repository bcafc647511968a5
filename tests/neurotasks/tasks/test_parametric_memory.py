from __future__ import annotations

import numpy as np
import pytest

import neurotasks
from neurotasks.agent import Observer
from neurotasks.evaluate import trial_metric
from neurotasks.tasks import parametric_memory as pwm

TASK = neurotasks.load("ParametricWorkingMemory-v0")
STAGES = ("test", "shift")


def summed(readout):
    """Return the agent that answers a function (16, 2) of the summed responses."""
    return Observer(lambda seen: np.cumsum(seen[..., 1:], axis=1, dtype=np.float64) @ readout)


@pytest.mark.parametrize("stage", STAGES)
def test_the_ideal_observer_lands_on_the_ceiling_and_no_vector_beats_it(stage):
    """The population vector, and the point where the most responsive unit looks."""
    angle = pwm._preferred()
    points = np.stack((np.cos(angle), np.sin(angle)), axis=-1)
    anchors = TASK.card.stage(stage)
    ideal = trial_metric(TASK, TASK.ideal(stage), seed=3, stage=stage, trials=10_000)
    assert ideal.mean() == pytest.approx(anchors.ceiling, abs=4 * ideal.std() / 100)
    vector = trial_metric(TASK, summed(points), seed=3, stage=stage, trials=10_000)
    best = trial_metric(TASK, summed(points**25), seed=3, stage=stage, trials=10_000)
    assert ideal.mean() < vector.mean() < best.mean() < anchors.chance


def test_the_posterior_needs_no_sum_of_squares():
    """On a ring of 16 units the energy of the bump is the same for all angles."""
    radians = np.deg2rad(np.arange(360.0))
    bump = np.exp(pwm.SHARPNESS * (np.cos(radians[:, None] - pwm._preferred()) - 1.0))
    energy = (bump**2).sum(axis=1)
    np.testing.assert_allclose(energy, energy[0], rtol=1e-6)


def test_without_noise_the_answer_is_the_angle():
    angle = np.deg2rad(np.array([0.0, 37.0, 181.0, 359.0]))
    bump = np.exp(pwm.SHARPNESS * (np.cos(angle[:, None] - pwm._preferred()) - 1.0))
    answer = pwm._decode(1.0, 1000 * bump)
    np.testing.assert_allclose(answer, np.stack((np.cos(angle), np.sin(angle)), -1), atol=1e-9)


def test_samples_have_the_noise_that_is_told_and_the_decision_follows_the_delay():
    batch = TASK.sample(5_000, 0, "test")
    shown = batch.x[:, pwm.FIXATION : pwm.FIXATION + pwm.CUE, 1:]
    angle = np.deg2rad(batch.trials["angle"])[:, None]
    left = shown - np.exp(pwm.SHARPNESS * (np.cos(angle - pwm._preferred()) - 1.0))[:, None]
    assert left.mean() == pytest.approx(0.0, abs=0.005)
    assert left.std() == pytest.approx(pwm.NOISE, rel=0.01)
    start = pwm.FIXATION + pwm.CUE + batch.trials["delay"]
    np.testing.assert_array_equal(batch.mask.argmax(axis=1), start)
    assert (batch.mask.sum(axis=1) == pwm.DECISION).all()
    assert not batch.x[batch.mask].any()
    np.testing.assert_allclose(np.linalg.norm(batch.y[batch.mask], axis=-1), 1.0, rtol=1e-5)
