from __future__ import annotations

import numpy as np
import pytest

import neurotasks
from neurotasks.agent import Observer
from neurotasks.evaluate import trial_metric
from neurotasks.tasks import delayed_match as dms

TASK = neurotasks.load("DelayedMatchToSample-v0")
STAGES = ("test", "shift")


def means(seen):
    """Return the mean vectors of sample and test, both (B, T, 2), as far as they are shown."""
    total = np.cumsum(seen[..., 1:], axis=1, dtype=np.float64)
    end = min(dms.FIXATION + dms.SAMPLE, total.shape[1]) - 1
    sample = np.broadcast_to(total[:, end : end + 1], total.shape)
    return sample / dms.SAMPLE, (total - sample) / dms.TEST


@pytest.mark.parametrize("stage", STAGES)
def test_no_threshold_on_distance_or_product_beats_the_likelihood_ratio(stage):
    def near(seen, limit):
        sample, test = means(seen)
        return np.where(((sample - test) ** 2).sum(-1) < limit, dms.MATCH, dms.NON_MATCH)

    def along(seen, limit):
        sample, test = means(seen)
        return np.where((sample * test).sum(-1) > limit, dms.MATCH, dms.NON_MATCH)

    anchors = TASK.card.stage(stage)
    ideal = trial_metric(TASK, TASK.ideal(stage), seed=3, stage=stage, trials=20_000).mean()
    assert ideal == pytest.approx(anchors.ceiling, abs=4 * 0.5 / np.sqrt(20_000))
    for rule in (near, along):
        for limit in (0.3, 0.5, 0.7, 0.9):
            agent = Observer(lambda seen, rule=rule, limit=limit: rule(seen, limit))
            raw = trial_metric(TASK, agent, seed=3, stage=stage, trials=20_000).mean()
            assert raw < ideal


def test_the_posterior_is_that_of_bayes():
    """By the densities of all samples, one by one."""
    batch = TASK.sample(50, 4, "test")
    shown = batch.x[:, dms.FIXATION : dms.FIXATION + dms.SAMPLE, 1:].astype(np.float64)
    squares = ((shown[:, :, None] - dms._points()) ** 2).sum(axis=(1, 3))
    density = np.exp(-squares / (2 * dms.NOISE**2))
    found = dms._posterior(1.0, shown.sum(axis=1))
    np.testing.assert_allclose(found, density / density.sum(axis=1, keepdims=True), atol=1e-9)


def test_half_of_the_tests_match_and_the_others_show_all_other_directions():
    table = TASK.sample(40_000, 5, "test").trials
    assert table["match"].mean() == pytest.approx(0.5, abs=0.01)
    turn = (table["test"] - table["sample"]) % dms.DIRECTIONS
    assert (turn[table["match"]] == 0).all()
    counts = np.bincount(turn[~table["match"]], minlength=dms.DIRECTIONS)
    assert counts[0] == 0
    assert counts[1:] / counts.sum() == pytest.approx(1 / 7, abs=0.01)


def test_the_decision_follows_the_test():
    batch = TASK.sample(500, 0, "test")
    start = dms.FIXATION + dms.SAMPLE + batch.trials["delay"] + dms.TEST
    np.testing.assert_array_equal(batch.mask.argmax(axis=1), start)
    assert not batch.x[batch.mask].any()
    assert (batch.mask.sum(axis=1) == dms.DECISION).all()
