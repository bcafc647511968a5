"""Moving dots: the rules, the dynamic program against simulation, and its optimality."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import neurotasks
from neurotasks.agent import Policy, RandomPolicy
from neurotasks.evaluate import trial_metric
from neurotasks.rng import Draw
from neurotasks.tasks.evidence_accumulation import (
    COHERENCES,
    COST,
    LEFT,
    RIGHT,
    STEPS,
    WAIT,
    _Bounded,
    solve,
)

TASK = neurotasks.load("EvidenceAccumulation-v0")
STAGES = ("test", "shift")


def _sensitivity(stage):
    return TASK.card.stage(stage).parameters["sensitivity"]


def _draw(step=None, xp=np, count=4000):
    times = None if step is None else xp.full((count,), step)
    return Draw(TASK.card.label, "test", 8, 0, count, times, xp)


def test_the_samples_have_the_drift_of_their_coherence():
    state = TASK.initial(_draw(), sensitivity=1.5)
    assert set(np.abs(state.drift).round(6)) == set((1.5 * COHERENCES).round(6))
    assert abs(state.right.mean() - 0.5) < 0.05
    np.testing.assert_array_equal(state.drift > 0, state.right & (state.drift != 0))
    noise = [state.evidence - state.drift]
    for step in range(20):
        state, *_ = TASK.step(state, np.zeros(4000, int), _draw(step), sensitivity=1.5)
        noise.append(state.evidence - state.drift)
    covariance = np.cov(np.stack(noise))
    np.testing.assert_allclose(covariance, np.eye(21), atol=0.1)


def test_an_answer_ends_the_trial_and_is_judged():
    state = TASK.initial(_draw(), sensitivity=1.5)
    _, reward, ended = TASK.step(state, np.full(4000, RIGHT), _draw(0), sensitivity=1.5)
    np.testing.assert_array_equal(reward, state.right.astype(float))
    assert ended.all()
    _, reward, ended = TASK.step(state, np.full(4000, LEFT), _draw(0), sensitivity=1.5)
    np.testing.assert_array_equal(reward, 1.0 - state.right)
    _, reward, ended = TASK.step(state, np.full(4000, WAIT), _draw(0), sensitivity=1.5)
    assert (reward == -COST).all()
    assert not ended.any()


def test_whoever_waits_too_long_gets_nothing():
    env = gym.make(TASK.card.id, stage="test")
    env.reset(seed=1)
    for step in range(STEPS):
        seen, reward, terminated, _, _ = env.step(WAIT)
        assert reward == -COST
        assert terminated == (step == STEPS - 1)
    assert seen[1] == 1.0


@pytest.mark.parametrize("stage", STAGES)
def test_the_ceiling_is_the_value_of_the_dynamic_program(stage):
    fine, coarse = solve(_sensitivity(stage)), solve(_sensitivity(stage), 0.04)
    assert fine.value == pytest.approx(coarse.value, abs=2e-6)
    assert TASK.card.stage(stage).ceiling == pytest.approx(fine.value, abs=1e-5)


@pytest.mark.parametrize("stage", STAGES)
def test_the_policy_earns_its_value(stage):
    returns = trial_metric(TASK, TASK.ideal(stage), seed=2, stage=stage, trials=40_000)
    error = returns.std() / np.sqrt(len(returns))
    assert abs(returns.mean() - TASK.card.stage(stage).ceiling) < 4 * error


def test_the_last_bound_is_zero_and_bounds_fall_in_the_end():
    for stage in STAGES:
        bounds = solve(_sensitivity(stage)).bounds
        assert bounds[-1] == 0.0
        late = bounds[STEPS // 2 :]
        assert (np.diff(late) < 0).all()


@pytest.mark.parametrize("stage", STAGES)
def test_no_fixed_bound_beats_it(stage):
    """On the same trials, with a forced answer at the end, the difference is clear or nil."""
    ideal = trial_metric(TASK, TASK.ideal(stage), seed=3, stage=stage, trials=20_000)
    for bound in (3.0, 5.0, 6.0, 7.0, 8.0, 11.0):
        bounds = np.full(STEPS, bound)
        bounds[-1] = 0.0
        fixed = trial_metric(TASK, _Bounded(bounds), seed=3, stage=stage, trials=20_000)
        gain = ideal - fixed
        assert gain.mean() > -2 * gain.std() / np.sqrt(len(gain))


@pytest.mark.parametrize("stage", STAGES)
def test_on_the_bound_before_the_last_sample_answering_is_worth_waiting(stage):
    """By a sum over all drifts and an integral over the last sample."""
    sensitivity, n = _sensitivity(stage), STEPS - 1
    bound = solve(sensitivity).bounds[n - 1]
    drifts = sensitivity * np.concatenate((COHERENCES, -COHERENCES))
    belief = np.exp(drifts * bound - drifts**2 * n / 2)
    belief /= belief.sum()
    samples = np.linspace(-10.0, 10.0, 20_001)
    joint = np.exp(-0.5 * (samples[:, None] - drifts) ** 2) / np.sqrt(2 * np.pi) * belief
    right, left = joint[:, : len(COHERENCES)].sum(axis=1), joint[:, len(COHERENCES) :].sum(axis=1)
    wait = np.maximum(left, right).sum() * (samples[1] - samples[0]) - COST
    assert belief[: len(COHERENCES)].sum() == pytest.approx(wait, abs=1e-5)


def test_adding_up_pays_and_a_strong_sample_is_better_than_chance():
    """What memory is worth: an agent without it stays between chance and the ceiling."""

    def without_memory(x):
        answer = np.where(x[..., 0] > 0, RIGHT, LEFT)
        return np.where((np.abs(x[..., 0]) > 2.0) | (x[..., 1] > 0.95), answer, WAIT)

    anchors = TASK.card.stage("test")
    returns = trial_metric(TASK, Policy(without_memory), seed=4, trials=10_000)
    score = (returns.mean() - anchors.chance) / (anchors.ceiling - anchors.chance)
    assert 0.4 < score < 0.8


@pytest.mark.parametrize("stage", STAGES)
def test_a_random_policy_is_no_better_than_chance(stage):
    returns = trial_metric(TASK, RandomPolicy(3), seed=5, stage=stage, trials=20_000)
    assert returns.mean() < TASK.card.stage(stage).chance + 3 * 0.5 / np.sqrt(20_000)


def test_the_accumulator_keeps_its_sum_across_blocks():
    x = np.random.default_rng(0).normal(size=(50, STEPS, 2)).astype(np.float32)
    agent = TASK.ideal()
    whole, _ = agent.act(x, None)
    early, state = agent.act(x[:, :7], None)
    late, _ = agent.act(x[:, 7:], state)
    np.testing.assert_array_equal(np.concatenate((early, late), axis=1), whole)


def test_torch_shows_the_same_dots():
    xp = pytest.importorskip("array_api_compat.torch")
    ours = TASK.initial(_draw(count=100), sensitivity=1.5)
    theirs = TASK.initial(_draw(xp=xp, count=100), sensitivity=1.5)
    for step in range(10):
        action = np.where(np.arange(100) < 90, WAIT, RIGHT)
        ours, paid, over = TASK.step(ours, action, _draw(step, count=100), sensitivity=1.5)
        draw = _draw(step, xp, 100)
        theirs, reward, ended = TASK.step(theirs, xp.asarray(action), draw, sensitivity=1.5)
        np.testing.assert_allclose(TASK.observe(theirs).numpy(), TASK.observe(ours), atol=1e-5)
        np.testing.assert_allclose(reward.numpy(), paid)
        np.testing.assert_array_equal(ended.numpy(), over)
