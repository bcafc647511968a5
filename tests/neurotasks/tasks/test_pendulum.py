"""Pendulum: Gymnasium's physics, and value iteration against finer grids and other controllers."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import neurotasks
from neurotasks.agent import Policy
from neurotasks.evaluate import trial_metric
from neurotasks.rng import Draw
from neurotasks.tasks.pendulum import MAX_TORQUE, Swing, _Greedy, solve

TASK = neurotasks.load("Pendulum-v0")
STAGES = ("test", "shift")


def _draw(xp=np):
    return Draw(TASK.card.label, "test", 5, 0, 64, xp=xp)


def test_every_step_is_that_of_gymnasium():
    rng = np.random.default_rng(1)
    angle, speed = rng.uniform(-9.0, 9.0, 3000), rng.uniform(-8.0, 8.0, 3000)
    torque = rng.uniform(-3.0, 3.0, (3000, 1))
    after, reward, ended = TASK.step(Swing(angle, speed), torque, _draw(), mass=1.0)
    seen = TASK.observe(after)
    env = gym.make("Pendulum-v1").unwrapped
    env.reset(seed=0)
    for k in range(3000):
        env.state = np.array([angle[k], speed[k]])
        observation, paid, *_ = env.step(torque[k])
        np.testing.assert_allclose((after.angle[k], after.speed[k]), env.state, 1e-12, 1e-12)
        np.testing.assert_allclose(seen[k], observation, rtol=2e-7, atol=1e-7)
        np.testing.assert_allclose(reward[k], paid, rtol=1e-12)
    assert not ended.any()


def test_whole_episodes_are_those_of_gymnasium():
    ours = gym.make(TASK.card.id, stage="test")
    theirs = gym.make("Pendulum-v1")
    agent = TASK.ideal()
    for seed in range(3):
        seen, _ = ours.reset(seed=seed)
        theirs.reset(seed=seed)
        state = TASK.initial(Draw(TASK.card.label, "test", seed), mass=1.0)
        theirs.unwrapped.state = np.array([state.angle[0], state.speed[0]])
        cut, steps = False, 0
        while not cut:
            action, _ = agent.act(seen[None, None], None)
            seen, reward, *_, cut, _ = ours.step(action[0, 0])
            _, paid, *_, over, _ = theirs.step(action[0, 0].astype(np.float64))
            assert reward == pytest.approx(paid, rel=1e-6, abs=1e-6)
            assert cut == over
            steps += 1
        assert steps == 200


def test_a_heavier_pendulum_turns_less_by_the_same_torque():
    rest = Swing(np.zeros(1), np.zeros(1))
    for mass in (1.0, 1.25):
        after, *_ = TASK.step(rest, np.ones((1, 1)), _draw(), mass=mass)
        assert after.speed[0] == pytest.approx(0.15 / mass)


@pytest.mark.parametrize("stage", STAGES)
def test_the_optimal_policy_swings_up_and_holds_from_every_start(stage):
    mass = TASK.card.stage(stage).parameters["mass"]
    corner = np.meshgrid(np.linspace(-np.pi, np.pi, 41), np.linspace(-1.0, 1.0, 5))
    state, agent = Swing(*(part.ravel() for part in corner)), TASK.ideal(stage)
    for _ in range(200):
        action, _ = agent.act(TASK.observe(state)[:, None], None)
        state, reward, _ = TASK.step(state, action[:, 0], _draw(), mass=mass)
    assert reward.min() > -1e-4


@pytest.mark.parametrize("stage", STAGES)
def test_coarser_grids_earn_a_little_less(stage):
    """From grid to grid the gain shrinks, and the last one is a thousandth of the range."""
    mass = TASK.card.stage(stage).parameters["mass"]
    agents = [_Greedy(solve(mass, n, n - 19), mass) for n in (60, 120)]
    coarse, middle, fine = (
        trial_metric(TASK, agent, seed=6, stage=stage, trials=400).mean()
        for agent in (*agents, TASK.ideal(stage))
    )
    assert coarse < middle < fine
    assert fine - middle < min(middle - coarse, 3.0)


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_finer_grid_gains_next_to_nothing(stage):
    mass = TASK.card.stage(stage).parameters["mass"]
    finer = _Greedy(solve(mass, 480, 441), mass)
    gain = trial_metric(TASK, finer, seed=6, stage=stage, trials=1000) - trial_metric(
        TASK, TASK.ideal(stage), seed=6, stage=stage, trials=1000
    )
    assert -0.5 < gain.mean() < 1.0


@pytest.mark.parametrize("stage", STAGES)
def test_a_swing_up_by_energy_earns_less(stage):
    """Pump energy, and near the upright hold with linear feedback: good, but not the best."""

    def pump(x):
        angle, speed = np.arctan2(x[..., 1], x[..., 0]), x[..., 2]
        energy = speed**2 / 6 + 5.0 * (x[..., 0] - 1.0)
        swing = np.where(energy < 0.0, np.sign(speed + 1e-9), 0.0) * MAX_TORQUE
        hold = np.clip(-12.0 * angle - 3.0 * speed, -MAX_TORQUE, MAX_TORQUE)
        return np.where(np.abs(angle) < 0.4, hold, swing)[..., None].astype(np.float32)

    anchors = TASK.card.stage(stage)
    returns = trial_metric(TASK, Policy(pump), seed=6, stage=stage, trials=1000)
    assert anchors.chance + 500 < returns.mean() < anchors.ceiling


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("torque", [-2.0, -0.5, 0.5, 2.0, None])
def test_other_blind_policies_are_worse_than_chance(stage, torque):
    rng = np.random.default_rng(2)

    def blind(x):
        shape = (*x.shape[:2], 1)
        drawn = rng.uniform(-2.0, 2.0, shape) if torque is None else np.full(shape, torque)
        return drawn.astype(np.float32)

    off = trial_metric(TASK, TASK.trivial(stage), seed=4, stage=stage, trials=4000)
    gain = trial_metric(TASK, Policy(blind), seed=4, stage=stage, trials=4000) - off
    assert gain.mean() < 2 * gain.std() / np.sqrt(len(gain))


def test_torch_swings_the_same_pendulums():
    xp = pytest.importorskip("array_api_compat.torch")
    ours, theirs = TASK.initial(_draw(), mass=1.0), TASK.initial(_draw(xp), mass=1.0)
    rng = np.random.default_rng(3)
    for _ in range(50):
        action = rng.uniform(-2.5, 2.5, (64, 1)).astype(np.float32)
        ours, reward, _ = TASK.step(ours, action, _draw(), mass=1.0)
        theirs, paid, ended = TASK.step(theirs, xp.asarray(action), _draw(xp), mass=1.0)
        np.testing.assert_allclose(theirs.angle.numpy(), ours.angle, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(paid.numpy(), reward, rtol=1e-9, atol=1e-9)
    assert TASK.observe(theirs).dtype == xp.float32
    assert not ended.any()
