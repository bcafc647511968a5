"""Foraging: the rules of patches, the dynamic program, and the marginal value theorem."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from scipy.stats import beta, kstest, uniform

import neurotasks
from neurotasks.agent import Policy
from neurotasks.evaluate import trial_metric
from neurotasks.rng import Draw
from neurotasks.tasks.foraging import (
    DECAY,
    HARVEST,
    LEAVE,
    POOREST,
    RICHEST,
    SPACING,
    STEPS,
    _first_yields,
    _leave_below,
    _parts,
    solve,
)

TASK = neurotasks.load("Foraging-v0")
STAGES = ("test", "shift")
FIRST = uniform(POOREST, RICHEST - POOREST)


def _journey(stage):
    return TASK.card.stage(stage).parameters["journey"]


def _draw(step=None, xp=np, count=4000):
    times = None if step is None else xp.full((count,), step)
    return Draw(TASK.card.label, "test", 8, 0, count, times, xp)


def _act(state, action, step, count=4000, journey=5):
    return TASK.step(state, np.full(count, action), _draw(step, count=count), journey=journey)


def _below(threshold):
    bounds = np.full(STEPS, threshold)
    return Policy(lambda x: _leave_below(bounds, np.asarray(x, dtype=np.float64)))


class _Count:
    """Leave after a fixed number of harvests."""

    def __init__(self, harvests):
        self.harvests = harvests

    def act(self, observation, state):
        yielded = observation[:, 0, 1] > 0
        done = np.where(yielded, (0 if state is None else state) + 1, 0)
        action = np.where(done >= self.harvests, LEAVE, HARVEST)
        return action[:, None], done


def test_fresh_patches_and_what_remains_of_them_have_their_distributions():
    state = TASK.initial(_draw(), journey=5)
    assert kstest(state.stock, FIRST.cdf).pvalue > 0.001
    for step in range(4):
        before = state.stock
        state, reward, _ = _act(state, HARVEST, step)
        np.testing.assert_array_equal(reward, before)
        np.testing.assert_array_equal(state.harvest, before)
        assert kstest(state.stock / before, beta(15, 2).cdf).pvalue > 0.001


@pytest.mark.parametrize("journey", [1, 2, 5])
def test_a_journey_takes_its_time_and_ends_at_a_fresh_patch(journey):
    state = TASK.initial(_draw(), journey=journey)
    for step in range(3):
        state, *_ = _act(state, HARVEST, step, journey=journey)
    poor = state.stock
    for step in range(journey):
        assert (state.way == (journey - step if step else 0)).all()
        # On the way the action does not matter.
        action = LEAVE if step % 2 == 0 else HARVEST
        state, reward, _ = _act(state, action, 3 + step, journey=journey)
        assert not reward.any()
    np.testing.assert_array_equal(TASK.observe(state)[:, :2], [[1.0, 0.0]] * 4000)
    assert kstest(state.stock, FIRST.cdf).pvalue > 0.001
    assert abs(np.corrcoef(state.stock, poor)[0, 1]) < 0.05


def test_the_forager_sees_where_it_is_the_yield_and_the_time():
    env = gym.make(TASK.card.id, stage="test")
    seen, _ = env.reset(seed=1)
    np.testing.assert_array_equal(seen, [1, 0, 1])
    for step in range(STEPS):
        seen, reward, ended, _, _ = env.step(LEAVE if 3 <= step < 8 else HARVEST)
        left = 1 - (step + 1) / STEPS
        np.testing.assert_allclose(seen, [not 3 <= step < 7, reward, left], atol=1e-6)
        assert ended == (step == STEPS - 1)


def test_the_quadratures_have_the_moments_of_their_distributions():
    part, weight = _parts()
    for power in range(4):
        assert part**power @ weight == pytest.approx(beta(15, 2).moment(power), rel=1e-12)
    assert part @ weight == pytest.approx(DECAY, rel=1e-12)
    fresh, weight = _first_yields()
    for power in range(4):
        assert fresh**power @ weight == pytest.approx(FIRST.moment(power), rel=1e-12)


@pytest.mark.parametrize("stage", STAGES)
def test_chance_is_the_value_of_a_fair_coin(stage):
    """At a patch that yields m next, it is worth a m + b: exact, as what remains is drawn alone."""
    journey = _journey(stage)
    a = b = 0.0
    arrival = np.zeros(STEPS + journey)
    for t in reversed(range(STEPS)):
        a, b = 0.5 * (1.0 + DECAY * a), 0.5 * b + 0.5 * arrival[t + journey]
        arrival[t] = a + b
    chance = TASK.card.stage(stage).chance
    assert chance == pytest.approx(arrival[0], abs=1e-6)
    assert chance > 1.0 / (1.0 - DECAY)  # what always harvesting yields in endless time


@pytest.mark.parametrize("stage", STAGES)
def test_the_ceiling_is_the_value_and_the_policy_earns_it(stage):
    anchors, journey = TASK.card.stage(stage), _journey(stage)
    fine, coarse = solve(journey, SPACING).value, solve(journey, 2 * SPACING).value
    limit = fine + (fine - coarse) / 3.0  # the error falls with the square of the spacing
    assert fine - limit < 4e-4
    assert anchors.ceiling == pytest.approx(limit, abs=2e-4)
    returns = trial_metric(TASK, TASK.ideal(stage), seed=2, stage=stage, trials=4000)
    assert abs(returns.mean() - anchors.ceiling) < 4 * returns.std() / np.sqrt(len(returns))


@pytest.mark.parametrize("stage", STAGES)
def test_with_time_to_spare_the_rule_is_the_marginal_value_theorem(stage):
    """Leave when the next harvest is expected to yield less than a step does on the average."""
    journey = _journey(stage)
    long, longer = (solve(journey, SPACING, steps) for steps in (600, 900))
    rate = (longer.value - long.value) / 300  # no step near the end is in the difference
    assert DECAY * longer.threshold[0] == pytest.approx(rate, rel=1e-4)
    # In the task's own session it holds on the average over the first half.
    early = solve(journey).threshold[: STEPS // 2].mean()
    assert DECAY * early == pytest.approx(rate, rel=0.05)


def test_a_longer_journey_lowers_the_threshold_and_nobody_leaves_before_the_end():
    short, long = (solve(_journey(stage)).threshold for stage in STAGES)
    assert (short[:100] > long[:100] + 0.05).all()
    for stage, threshold in zip(STAGES, (short, long), strict=True):
        assert (threshold[STEPS - _journey(stage) :] == 0).all()


@pytest.mark.parametrize("stage", STAGES)
def test_simpler_rules_earn_clearly_less(stage):
    """No fixed number of harvests fits all patches, and one bound does not fit all journeys."""
    ideal = trial_metric(TASK, TASK.ideal(stage), seed=3, stage=stage, trials=500)
    rules = [_Count(harvests) for harvests in (3, 6, 8, 10)]
    for agent in (*rules, _below(0.2), _below(0.7)):
        gain = ideal - trial_metric(TASK, agent, seed=3, stage=stage, trials=500)
        assert gain.mean() > 5 * gain.std() / np.sqrt(len(gain))


@pytest.mark.parametrize("stage", STAGES)
def test_the_theorem_alone_costs_a_little_at_the_end_of_a_session(stage):
    bound = float(solve(_journey(stage), steps=600).threshold[0])
    ideal = trial_metric(TASK, TASK.ideal(stage), seed=4, stage=stage, trials=2000)
    gain = ideal - trial_metric(TASK, _below(bound), seed=4, stage=stage, trials=2000)
    assert 3 * gain.std() / np.sqrt(len(gain)) < gain.mean() < 3.0


def test_torch_yields_the_same():
    xp = pytest.importorskip("array_api_compat.torch")
    ours = TASK.initial(_draw(count=100), journey=10)
    theirs = TASK.initial(_draw(xp=xp, count=100), journey=10)
    for step in range(30):
        action = ((np.arange(100) + step) % 7 == 0).astype(int)
        ours, paid, over = TASK.step(ours, action, _draw(step, count=100), journey=10)
        draw = _draw(step, xp, 100)
        theirs, reward, ended = TASK.step(theirs, xp.asarray(action), draw, journey=10)
        np.testing.assert_allclose(TASK.observe(theirs).numpy(), TASK.observe(ours), atol=1e-6)
        np.testing.assert_allclose(reward.numpy(), paid, atol=1e-6)
        np.testing.assert_array_equal(ended.numpy(), over)
