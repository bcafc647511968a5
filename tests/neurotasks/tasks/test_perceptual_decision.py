from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

import neurotasks
from neurotasks.metrics import correct, per_trial
from neurotasks.tasks import perceptual_decision as pdm

TASK = neurotasks.load("PerceptualDecisionMaking-v0")


def accuracy(answers, batch):
    return per_trial(correct(answers, batch.y), batch.mask).mean()


@pytest.mark.parametrize("stage", ["test", "shift"])
def test_the_ceiling_is_the_normal_integral(stage):
    told = TASK.card.stage(stage).parameters
    mean = told["stimulus"] * told["strength"] * pdm.COHERENCES
    exact = norm.cdf(mean / (np.sqrt(2 * told["stimulus"]) * pdm.NOISE)).mean()
    assert TASK.card.stage(stage).ceiling == pytest.approx(exact, abs=1e-6)


def test_the_ideal_observer_lands_on_it_and_a_quarter_of_the_evidence_does_not():
    batch = TASK.sample(40_000, 3, "test")
    answers, _ = TASK.ideal().act(batch.x, None)
    error = 0.5 / np.sqrt(len(batch))
    raw = accuracy(answers, batch)
    assert raw == pytest.approx(TASK.card.stage("test").ceiling, abs=4 * error)
    few = batch.x.copy()
    few[:, 6:] = 0.0
    fewer, _ = TASK.ideal().act(few, None)
    assert accuracy(fewer, batch) < raw - 4 * error


def test_samples_have_the_mean_and_the_noise_that_are_told():
    batch = TASK.sample(20_000, 5, "test")
    evidence = batch.x[:, 1:21, 1:]
    left = evidence - 0.5 - np.stack([1, -1]) * batch.trials["coherence"][:, None, None] / 2
    assert left.mean() == pytest.approx(0.0, abs=5e-4)
    assert left.std() == pytest.approx(pdm.NOISE, rel=5e-3)
    assert not batch.x[:, 21].any()
    assert (batch.x[:, :21, 0] == 1.0).all()


def test_the_decision_alone_is_scored():
    batch = TASK.sample(100, 0, "test")
    assert (batch.mask.sum(axis=1) == pdm.DECISION).all()
    assert set(batch.y[~batch.mask].tolist()) == {pdm.FIXATE}
    assert set(batch.y[batch.mask].tolist()) == {pdm.FIRST, pdm.SECOND}
