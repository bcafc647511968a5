"""Acrobot: Gymnasium's physics, conservation of energy, and the planner."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import neurotasks
from neurotasks.agent import Policy
from neurotasks.evaluate import trial_metric
from neurotasks.rng import Draw
from neurotasks.tasks import acrobot
from neurotasks.tasks.acrobot import Links, above, energy, plan, swing

TASK = neurotasks.load("Acrobot-v0")
STAGES = ("test", "shift")


def _draw(xp=np, count=64):
    return Draw(TASK.card.label, "test", 5, 0, count, xp=xp)


def _mass(stage):
    return TASK.card.stage(stage).parameters["lower_mass"]


def test_every_step_is_that_of_gymnasium():
    rng = np.random.default_rng(1)
    before = rng.uniform(-1, 1, (2000, 4)) * (np.pi, np.pi, 9.0, 20.0)
    action = rng.integers(0, 3, 2000)
    after, reward, ended = TASK.step(Links(before), action, _draw(), lower_mass=1.0)
    seen = TASK.observe(after)
    assert 0 < ended.mean() < 1
    env = gym.make("Acrobot-v1").unwrapped
    env.reset(seed=0)
    for k in range(2000):
        env.state = before[k]
        observation, paid, terminated, *_ = env.step(int(action[k]))
        np.testing.assert_allclose(after.motion[k], env.state, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(seen[k], observation, rtol=1e-6, atol=1e-6)
        assert (reward[k], ended[k]) == (paid, terminated)


@pytest.mark.parametrize("mass", [1.0, 1.25])
def test_without_a_motor_energy_is_kept(mass, monkeypatch):
    """The equations conserve the energy by which the planner chooses, up to the integrator."""
    monkeypatch.setattr(acrobot, "TAU", 0.01)
    motion = np.random.default_rng(2).uniform(-1, 1, (4, 100))
    before = energy(motion, mass)
    for _ in range(300):
        motion = swing(motion, np.zeros(100), mass)
    np.testing.assert_allclose(energy(motion, mass), before, atol=1e-5)


def test_the_time_limit_is_gymnasiums():
    assert gym.spec("Acrobot-v1").max_episode_steps == TASK.card.steps


@pytest.mark.parametrize("stage", STAGES)
def test_a_plan_leads_above_the_line(stage):
    start = np.random.default_rng(3).uniform(-0.1, 0.1, (4, 20))
    actions, motion, arrived = plan(start, _mass(stage)), start, np.zeros(20, bool)
    for step in range(actions.shape[1]):
        motion = swing(motion, actions[:, step] - 1.0, _mass(stage))
        arrived |= above(motion)
    assert arrived.all()


def _lengths(start, beam):
    actions, motion = plan(start, 1.0, beam), start
    steps = np.zeros(start.shape[1])
    arrived = np.zeros(start.shape[1], bool)
    for step in range(actions.shape[1]):
        steps += ~arrived
        motion = swing(motion, actions[:, step] - 1.0, 1.0)
        arrived |= above(motion)
    return steps


def test_a_narrow_beam_plans_longer_ways():
    start = np.random.default_rng(4).uniform(-0.1, 0.1, (4, 20))
    assert _lengths(start, 10).mean() > _lengths(start, 100).mean() + 1


@pytest.mark.slow
def test_a_wide_beam_saves_only_a_few_steps():
    start = np.random.default_rng(4).uniform(-0.1, 0.1, (4, 20))
    assert 0 <= (_lengths(start, 100) - _lengths(start, 1000)).mean() < 5


@pytest.mark.parametrize("stage", STAGES)
def test_pumping_with_the_lower_link_is_slower(stage):
    with_velocity = Policy(lambda x: np.where(x[..., 5] > 0.0, 2, 0))
    anchors = TASK.card.stage(stage)
    returns = trial_metric(TASK, with_velocity, seed=6, stage=stage)
    assert anchors.chance + 100 < returns.mean() < anchors.ceiling - 5


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("action", range(3))
def test_constant_torques_never_arrive(stage, action):
    constant = Policy(lambda x: np.full(x.shape[:2], action))
    assert (trial_metric(TASK, constant, seed=4, stage=stage, trials=100) == -500.0).all()


def test_torch_swings_the_same_links():
    xp = pytest.importorskip("array_api_compat.torch")
    ours, theirs = (TASK.initial(_draw(array), lower_mass=1.0) for array in (np, xp))
    rng = np.random.default_rng(3)
    for _ in range(20):
        action = rng.integers(0, 3, 64)
        ours, reward, ended = TASK.step(ours, action, _draw(), lower_mass=1.0)
        theirs, paid, over = TASK.step(theirs, xp.asarray(action), _draw(xp), lower_mass=1.0)
        np.testing.assert_allclose(theirs.motion.numpy(), ours.motion, rtol=1e-8, atol=1e-8)
        np.testing.assert_array_equal(paid.numpy(), reward)
        np.testing.assert_array_equal(over.numpy(), ended)
    assert TASK.observe(theirs).dtype == xp.float32
