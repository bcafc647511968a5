from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

import neurotasks
from neurotasks.agent import Observer
from neurotasks.evaluate import trial_metric
from neurotasks.tasks import delayed_comparison as dc

TASK = neurotasks.load("DelayedComparison-v0")
STAGES = ("test", "shift")


@pytest.mark.parametrize("stage", STAGES)
def test_the_ceiling_is_the_integral_of_the_greater_posterior(stage):
    step, told = 0.05, TASK.card.stage(stage)
    spread = told.parameters["noise"] / np.sqrt(dc.VIBRATION)
    grid = np.arange(-20.0, 64.0, step)[:, None]
    first, second = (norm.pdf(grid, dc._pairs()[:, i], spread) for i in (0, 1))
    rising, falling = first[:, :7] @ second[:, :7].T, first[:, 7:] @ second[:, 7:].T
    exact = np.maximum(rising, falling).sum() * step**2 / 14
    assert told.ceiling == pytest.approx(exact, abs=1e-5)


@pytest.mark.parametrize("stage", STAGES)
def test_the_prior_over_pairs_pays_and_memory_pays_more(stage):
    def difference(seen):
        total = np.cumsum(seen[..., 1], axis=1, dtype=np.float64)
        end = min(dc.FIXATION + dc.VIBRATION, total.shape[1]) - 1
        first = total[:, end : end + 1]
        return np.where(2 * first >= total, dc.FIRST, dc.SECOND)

    def second_alone(seen):
        middle = 22.0 / dc.SCALE * dc.VIBRATION
        late = np.where(np.arange(seen.shape[1]) > dc.FIXATION + dc.VIBRATION, seen[..., 1], 0)
        return np.where(np.cumsum(late, axis=1) < middle, dc.FIRST, dc.SECOND)

    anchors = TASK.card.stage(stage)
    agents = (TASK.ideal(stage), Observer(difference), Observer(second_alone))
    ideal, naive, forgetful = (
        trial_metric(TASK, agent, seed=3, stage=stage, trials=20_000).mean() for agent in agents
    )
    assert ideal == pytest.approx(anchors.ceiling, abs=4 * 0.5 / np.sqrt(20_000))
    assert naive < ideal - 0.005
    assert (forgetful - anchors.chance) / (anchors.ceiling - anchors.chance) < 0.6


def test_samples_have_the_frequency_and_the_noise_that_are_told():
    batch = TASK.sample(20_000, 5, "test")
    first = batch.x[:, dc.FIXATION : dc.FIXATION + dc.VIBRATION, 1] * dc.SCALE
    left = first - batch.trials["frequencies"][:, :1]
    assert left.mean() == pytest.approx(0.0, abs=0.15)
    assert left.std() == pytest.approx(dc.NOISE, rel=0.01)


def test_pairs_are_six_hertz_apart_and_the_decision_alone_is_scored():
    batch = TASK.sample(1_000, 0, "test")
    frequencies, delay = batch.trials["frequencies"], batch.trials["delay"]
    assert len(np.unique(frequencies, axis=0)) == 14
    assert (np.abs(np.diff(frequencies, axis=1)) == dc.DIFFERENCE).all()
    start = dc.FIXATION + 2 * dc.VIBRATION + delay
    np.testing.assert_array_equal(batch.mask.argmax(axis=1), start)
    assert (batch.mask.sum(axis=1) == dc.DECISION).all()
    faster = np.where(frequencies[:, 0] > frequencies[:, 1], dc.FIRST, dc.SECOND)
    np.testing.assert_array_equal(batch.y[batch.mask], faster)
