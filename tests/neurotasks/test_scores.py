from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from neurotasks import Stage
from neurotasks.scores import interval, score, score_scale


def test_score_is_zero_at_chance_one_at_the_ceiling_and_never_clipped():
    error = Stage(trials=1, chance=45.0, ceiling=5.0)
    assert score(45.0, error) == 0.0
    assert score(5.0, error) == 1.0
    assert score(25.0, error) == pytest.approx(0.5)
    assert score(65.0, error) == pytest.approx(-0.5)
    assert score(1.0, error) == pytest.approx(1.1)


def test_scale_of_a_score():
    stage = Stage(trials=1, chance=45.0, ceiling=5.0)
    assert score(25.0, stage) - score(26.0, stage) == pytest.approx(score_scale(stage))


def test_a_shared_error_widens_the_interval_of_runs_that_agree():
    alone = interval([0.5, 0.5, 0.5], shared=0.01)
    assert alone.high - alone.mean == pytest.approx(1.96 * 0.01, rel=1e-3)
    assert interval([0.5], shared=0.01).low == pytest.approx(alone.low)
    apart, both = interval([0.4, 0.6]), interval([0.4, 0.6], shared=0.5)
    assert both.high - 0.5 == pytest.approx(np.hypot(apart.high - 0.5, 1.96 * 0.5), rel=1e-3)


def test_interval_is_students():
    values = [0.1, 0.4, 0.35, 0.8]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    found = interval(values)
    assert (found.low, found.high, found.runs) == (pytest.approx(low), pytest.approx(high), 4)


def test_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    draws = rng.normal(3.0, 1.0, size=(2000, 5))
    hits = [found.low <= 3.0 <= found.high for found in map(interval, draws)]
    assert 0.935 < np.mean(hits) < 0.965


def test_one_run_has_no_spread():
    assert interval([0.5]) == interval([0.5], level=0.5)
    assert interval([0.5]).low == interval([0.5]).high == 0.5
