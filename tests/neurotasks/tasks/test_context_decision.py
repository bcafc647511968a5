from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

import neurotasks
from neurotasks.agent import Observer
from neurotasks.evaluate import trial_metric
from neurotasks.tasks import context_decision as cdm

TASK = neurotasks.load("ContextDecisionMaking-v0")


@pytest.mark.parametrize("stage", ["test", "shift"])
def test_the_ceiling_is_the_normal_integral(stage):
    told = TASK.card.stage(stage)
    root = np.sqrt(told.parameters["stimulus"] / 2)
    exact = norm.cdf(cdm.COHERENCES * root / cdm.NOISE).mean()
    assert told.ceiling == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("stage", ["test", "shift"])
def test_who_ignores_the_context_earns_less_than_two_thirds(stage):
    def both(seen):
        evidence = np.cumsum(seen[..., 3::2] - seen[..., 4::2], axis=1).sum(axis=-1)
        return np.where(evidence >= 0, cdm.FIRST, cdm.SECOND)

    anchors = TASK.card.stage(stage)
    ideal = trial_metric(TASK, TASK.ideal(stage), seed=3, stage=stage, trials=20_000).mean()
    assert ideal == pytest.approx(anchors.ceiling, abs=4 * 0.5 / np.sqrt(20_000))
    other = trial_metric(TASK, Observer(both), seed=3, stage=stage, trials=20_000).mean()
    assert other - anchors.chance < 2 / 3 * (anchors.ceiling - anchors.chance)


def test_modalities_are_independent_and_the_context_chooses():
    batch = TASK.sample(20_000, 5, "test")
    coherence, context = batch.trials["coherence"], batch.trials["context"]
    assert abs(np.corrcoef(coherence.T)[0, 1]) < 0.03
    counts = coherence[np.arange(len(batch)), context]
    wanted = np.where(counts > 0, cdm.FIRST, cdm.SECOND)
    np.testing.assert_array_equal(batch.trials["choice"], wanted)
    shown = batch.x[:, cdm.FIXATION : cdm.FIXATION + cdm.STIMULUS, 3:]
    leans = (shown[..., ::2] - shown[..., 1::2]).mean(axis=1)
    spread = (leans - coherence).std()
    assert spread == pytest.approx(cdm.NOISE * np.sqrt(2 / cdm.STIMULUS), rel=0.02)


def test_the_delay_is_drawn_and_the_decision_follows_it():
    batch = TASK.sample(2_000, 0, "test")
    delay = batch.trials["delay"]
    assert set(delay.tolist()) == set(range(cdm.SHORTEST, cdm.LONGEST + 1))
    start = cdm.FIXATION + cdm.STIMULUS + delay
    np.testing.assert_array_equal(batch.mask.argmax(axis=1), start)
    np.testing.assert_array_equal(batch.x[..., 0].sum(axis=1), start)
    assert (batch.mask.sum(axis=1) == cdm.DECISION).all()
