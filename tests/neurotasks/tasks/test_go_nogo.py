from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

import neurotasks
from neurotasks.agent import Observer
from neurotasks.evaluate import trial_metric
from neurotasks.tasks import go_nogo as gng

TASK = neurotasks.load("GoNogo-v0")
STAGES = ("test", "shift")


@pytest.mark.parametrize("stage", STAGES)
def test_the_ceiling_is_the_sum_of_two_normal_integrals(stage):
    told, p = TASK.card.stage(stage), gng.FREQUENT
    d = told.parameters["contrast"] * math.sqrt(2 * gng.CUE) / gng.NOISE
    criterion = math.log(p / (1 - p)) / d
    exact = p * norm.cdf(d / 2 + criterion) + (1 - p) * norm.cdf(d / 2 - criterion)
    assert told.ceiling == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("stage", STAGES)
def test_no_other_criterion_is_better(stage):
    def criterion(limit):
        def answer(seen):
            evidence = np.cumsum(seen[..., 1] - seen[..., 2], axis=1)
            return np.where(evidence > limit, gng.GO, gng.WITHHOLD)

        return Observer(answer)

    anchors = TASK.card.stage(stage)
    ideal = trial_metric(TASK, TASK.ideal(stage), seed=3, stage=stage, trials=20_000).mean()
    assert ideal == pytest.approx(anchors.ceiling, abs=4 * 0.5 / np.sqrt(20_000))
    for limit in (-4.0, 0.0, 2.0):
        other = trial_metric(TASK, criterion(limit), seed=3, stage=stage, trials=20_000).mean()
        assert other < ideal


def test_go_cues_are_frequent_in_all_stages():
    for stage in STAGES:
        go = TASK.sample(20_000, 5, stage).trials["go"]
        assert go.mean() == pytest.approx(gng.FREQUENT, abs=0.015)


def test_the_decision_follows_the_delay():
    batch = TASK.sample(1_000, 0, "test")
    start = gng.FIXATION + gng.CUE + batch.trials["delay"]
    np.testing.assert_array_equal(batch.mask.argmax(axis=1), start)
    np.testing.assert_array_equal(batch.x[..., 0].sum(axis=1), start)
    assert (batch.mask.sum(axis=1) == gng.DECISION).all()
    np.testing.assert_array_equal(batch.y[batch.mask], batch.trials["go"].astype(np.int64))
