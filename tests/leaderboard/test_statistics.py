from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from leaderboard.statistics import (
    RankInterval,
    compare,
    holm,
    iqm,
    iqm_interval,
    ladder,
    pareto,
    probability_of_improvement,
    profile,
    rank_intervals,
    tie_groups,
)
from neurotasks.scores import Interval
from neurotasks.testing import poisoned_generators


def test_the_interquartile_mean_is_the_mean_of_the_middle_half():
    assert iqm([[0, 1, 2, 3], [4, 5, 6, 7]]) == pytest.approx((2 + 3 + 4 + 5) / 4)
    values = np.random.default_rng(0).normal(size=(3, 8))
    assert iqm(values) == pytest.approx(stats.trim_mean(values.ravel(), 0.25))


def test_a_run_at_the_quartile_counts_in_part():
    middle = (1 / 3 - 0.25) * 0.0 + (1 / 3) * 1.0 + (0.75 - 2 / 3) * 8.0
    assert iqm([[0.0, 1.0, 8.0]]) == pytest.approx(middle / 0.5)


def test_a_task_counts_the_same_however_many_runs_it_has():
    few, many = [0.0, 0.0], [1.0] * 40
    assert iqm([few, many]) == pytest.approx(0.5)


@pytest.mark.parametrize("tasks", [[], [[]], [[0.5], [math.nan]], [[math.inf]]])
def test_what_is_no_score_is_refused(tasks):
    with pytest.raises(ValueError, match="at least one run"):
        iqm(tasks)


def test_one_run_has_no_interval():
    assert iqm_interval([[0.5], [0.7, 0.8]]) == Interval(iqm([[0.5], [0.7, 0.8]]), *[
        iqm([[0.5], [0.7, 0.8]])] * 2, 1)  # fmt: skip


def test_the_same_scores_give_the_same_interval_and_leave_the_global_generator_alone():
    scores = np.random.default_rng(1).normal(size=(4, 5))
    with poisoned_generators():
        assert iqm_interval(scores) == iqm_interval(scores)


@pytest.mark.parametrize("runs", [3, 5, 10])
def test_the_interval_covers_the_truth_as_often_as_it_says(runs):
    """Twelve tasks of unlike means and spreads; the truth is that of very many runs."""
    generator, means = np.random.default_rng(runs), np.linspace(0.2, 0.9, 12)
    spreads = np.linspace(0.02, 0.1, 12)[np.r_[0:12:2, 11:0:-2]]
    many = means[:, None] + spreads[:, None] * generator.normal(size=(12, 40_000))
    truth, repetitions = iqm(many), 600
    covered = 0
    for _ in range(repetitions):
        found = means[:, None] + spreads[:, None] * generator.normal(size=(12, runs))
        interval = iqm_interval(found, draws=400)
        covered += interval.low <= truth <= interval.high
    assert 0.92 < covered / repetitions < 0.98


def test_ranks_stay_open_where_intervals_overlap():
    ends = [(0.8, 0.9), (0.7, 0.85), (0.5, 0.6), (0.55, 0.75), (0.1, 0.2)]
    intervals = [Interval((low + high) / 2, low, high, 5) for low, high in ends]
    assert rank_intervals(intervals) == [
        RankInterval(1, 2), RankInterval(1, 3), RankInterval(3, 4), RankInterval(2, 4),
        RankInterval(5, 5),
    ]  # fmt: skip
    assert tie_groups(intervals) == [1, 1, 3, 2, 4]


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_equal_agents_are_seldom_told_apart_and_unlike_ones_mostly():
    generator = np.random.default_rng(3)
    false = true = 0
    for _ in range(400):
        hard = generator.normal(size=8) * 0.1  # shared by all agents
        scores = {n: hard + 0.02 * generator.normal(size=8) for n in "abcd"}
        better = {**scores, "e": scores["a"] * 0 + hard + 0.06 + 0.02 * generator.normal(size=8)}
        told = {n: dict(enumerate(map(float, values))) for n, values in better.items()}
        found = compare(told)
        assert len(found) == 10
        false += any(c.adjusted < 0.05 for c in found if "e" not in (c.one, c.two))
        true += sum(c.adjusted < 0.05 for c in found if "e" in (c.one, c.two)) / 4
    assert false / 400 < 0.06
    assert true / 400 > 0.7  # though the scores themselves spread by 0.1


def test_a_comparison_takes_shared_seeds_alone():
    (found,) = compare({"a": {0: 0.5, 1: 0.6, 7: 9.0}, "b": {0: 0.4, 1: 0.4, 8: -9.0}})
    assert (found.runs, found.difference) == (2, pytest.approx(0.15))
    assert found.p == pytest.approx(stats.ttest_rel([0.5, 0.6], [0.4, 0.4]).pvalue)
    (alone,) = compare({"a": {0: 0.5}, "b": {0: 0.4}})
    assert (alone.p, alone.adjusted) == (1.0, 1.0)


def test_probability_of_improvement_meets_the_normal_truth():
    generator = np.random.default_rng(5)
    one = generator.normal(0.5, 1.0, size=(3, 2000))
    two = generator.normal(0.0, 1.0, size=(3, 2000))
    found = probability_of_improvement(one, two)
    assert found == pytest.approx(stats.norm.cdf(0.5 / math.sqrt(2)), abs=0.01)
    assert probability_of_improvement([[1.0, 2.0]], [[1.0, 2.0]]) == 0.5


def test_a_profile_falls_from_all_runs_to_none():
    np.testing.assert_allclose(
        profile([[0.1, 0.5], [0.9]], [0.0, 0.3, 0.5, 1.0]), [1, 0.75, 0.5, 0]
    )


def test_the_front_holds_what_nobody_beats():
    scores, costs = [0.9, 0.8, 0.8, 0.5, 0.9], [10.0, 2.0, 3.0, 1.0, 10.0]
    np.testing.assert_array_equal(pareto(scores, costs), [True, True, False, True, True])


def test_a_ladder_keeps_who_hands_in_often_from_climbing():
    """Guesses of the answers to a test of 200 items: their majority must not look like skill."""
    generator, items = np.random.default_rng(7), 200
    truth = generator.integers(2, size=items)
    climbed = {}
    for rule in ("all", "ladder"):
        votes, shown, best = np.zeros(items), None, 0.0
        for _ in range(300):
            guess = generator.integers(2, size=items)
            score = float((guess == truth).mean())
            before, shown = shown, (ladder(shown, score, items) if rule == "ladder" else score)
            if rule == "all":
                votes += (1 if score > 0.5 else -1) * (2 * guess - 1)
            elif shown != before:
                votes += 2 * guess - 1
            best = float(((votes > 0) == truth).mean())
        climbed[rule] = best
    assert climbed["all"] > 0.75
    assert climbed["ladder"] < 0.65
