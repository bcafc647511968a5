"""CartPole: Gymnasium's physics, and the two ends of its scale."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import neurotasks
from neurotasks.agent import Policy
from neurotasks.evaluate import trial_metric
from neurotasks.rng import Draw
from neurotasks.tasks.cart_pole import Cart

TASK = neurotasks.load("CartPole-v0")
PARAMETERS = TASK.card.stage("test").parameters
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def _somewhere(rng, count):
    """States that reach a little over the ends, so that some steps end an episode."""
    return rng.uniform(-1.0, 1.0, (count, 4)) * (2.5, 3.0, 0.22, 3.0)


def _draw(xp=np):
    return Draw(TASK.card.label, "test", 5, 0, 64, xp=xp)


def _step(motion, action):
    after, reward, ended = TASK.step(Cart(motion), action, _draw(), **PARAMETERS)
    return after.motion, TASK.observe(after), reward, ended


def test_every_step_is_that_of_gymnasiums_single_environment():
    rng = np.random.default_rng(1)
    before, action = _somewhere(rng, 3000), rng.integers(0, 2, 3000)
    after, seen, reward, ended = _step(before, action)
    assert 0 < ended.mean() < 1
    env = gym.make("CartPole-v1").unwrapped
    for k in range(len(before)):
        env.reset()
        env.state = before[k]
        observation, paid, terminated, *_ = env.step(int(action[k]))
        np.testing.assert_allclose(after[k], env.state, **EXACT)
        np.testing.assert_allclose(seen[k], observation, rtol=2e-7, atol=1e-9)
        assert (reward[k], ended[k]) == (paid, terminated)


def test_every_step_is_that_of_gymnasiums_vector_environment():
    rng = np.random.default_rng(2)
    env = gym.make_vec("CartPole-v1", 256, vectorization_mode="vector_entry_point").unwrapped
    env.reset(seed=0)
    for _ in range(40):
        before, action = _somewhere(rng, 256), rng.integers(0, 2, 256)
        env.state, env.prev_done[:] = before.T.copy(), False
        observation, paid, terminated, *_ = env.step(action)
        after, seen, reward, ended = _step(before, action)
        np.testing.assert_allclose(after, env.state.T, **EXACT)
        np.testing.assert_allclose(seen, observation, rtol=2e-7, atol=1e-9)
        np.testing.assert_array_equal(reward, paid)
        np.testing.assert_array_equal(ended, terminated)


def test_three_seconds_are_those_of_gymnasium():
    """Without force the pole's fall multiplies every difference by 50 in a second."""
    env = gym.make("CartPole-v1").unwrapped
    env.reset()
    motion = np.array([[0.04, -0.03, 0.05, 0.02]])
    env.state = motion[0].copy()
    policy = TASK.ideal()
    for _ in range(150):
        action, _ = policy.act(motion.astype(np.float32)[:, None], None)
        motion, *_ = _step(motion, action[:, 0])
        env.step(int(action[0, 0]))
        np.testing.assert_allclose(motion[0], env.state, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("stage", ["test", "shift"])
def test_the_controller_attains_the_time_limit_from_every_start(stage):
    returns = trial_metric(TASK, TASK.ideal(stage), seed=3, stage=stage, trials=5000)
    assert returns.min() == 500.0 == TASK.card.stage(stage).ceiling


@pytest.mark.parametrize("stage", ["test", "shift"])
def test_the_controller_holds_the_outermost_starts(stage):
    corners = np.array(np.meshgrid(*[(-0.05, 0.0, 0.05)] * 4)).reshape(4, -1).T
    state, policy = Cart(corners), TASK.ideal(stage)
    for _ in range(500):
        action, _ = policy.act(TASK.observe(state)[:, None], None)
        state, _, ended = TASK.step(
            state, action[:, 0], _draw(), **TASK.card.stage(stage).parameters
        )
        assert not ended.any()


@pytest.mark.parametrize("stage", ["test", "shift"])
@pytest.mark.parametrize("action", [0, 1])
def test_constant_pushes_are_worse_than_chance(stage, action):
    constant = Policy(lambda x: np.full(x.shape[:2], action))
    returns = trial_metric(TASK, constant, seed=4, stage=stage, trials=500)
    assert returns.mean() < TASK.card.stage(stage).chance - 5


def test_torch_moves_the_same_carts():
    xp = pytest.importorskip("array_api_compat.torch")
    ours = TASK.initial(_draw(), **PARAMETERS)
    theirs = TASK.initial(_draw(xp), **PARAMETERS)
    rng = np.random.default_rng(3)
    for _ in range(50):
        action = rng.integers(0, 2, 64)
        ours, _, ended = TASK.step(ours, action, _draw(), **PARAMETERS)
        theirs, _, over = TASK.step(theirs, xp.asarray(action), _draw(xp), **PARAMETERS)
        np.testing.assert_allclose(theirs.motion.numpy(), ours.motion, rtol=1e-9, atol=1e-11)
        np.testing.assert_array_equal(over.numpy(), ended)
    assert TASK.observe(theirs).dtype == xp.float32
