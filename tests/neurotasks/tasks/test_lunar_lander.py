"""Lunar lander: Gymnasium's own craft, as a pure function of a seed and the actions so far."""

from __future__ import annotations

import sys

import gymnasium as gym
import numpy as np
import pytest

import neurotasks
from neurotasks.agent import Policy, RandomPolicy
from neurotasks.errors import MissingExtra
from neurotasks.evaluate import evaluate, trial_metric
from neurotasks.rng import Draw
from neurotasks.tasks import lunar_lander
from neurotasks.tasks.lunar_lander import hangar

TASK = neurotasks.load("LunarLander-v0")
needs_box2d = pytest.mark.usefixtures("_box2d")


@pytest.fixture
def _box2d():
    pytest.importorskip("Box2D")


def _draw(count=4, xp=np):
    return Draw(TASK.card.label, "test", 5, 0, count, xp=xp)


def _fly(state, actions, xp=np):
    """Take the same actions in all craft; return the states on the way and the rewards."""
    states, rewards = [state], []
    for action in actions:
        answer = xp.full((len(state.seed),), int(action))
        state, reward, _ = TASK.step(state, answer, _draw(len(state.seed), xp))
        states.append(state)
        rewards.append(reward)
    return states, rewards


@needs_box2d
def test_episodes_are_those_of_gymnasium():
    state = TASK.initial(_draw())
    rng = np.random.default_rng(1)
    twins = [gym.make("LunarLander-v3").unwrapped for _ in range(4)]
    for row, twin in enumerate(twins):
        observation, _ = twin.reset(seed=int(state.seed[row]))
        np.testing.assert_array_equal(TASK.observe(state)[row], observation)
    running = np.ones(4, bool)
    while running.any():
        action = rng.integers(0, 4, 4)
        state, reward, ended = TASK.step(state, action, _draw())
        seen = TASK.observe(state)
        for row in np.flatnonzero(running):
            observation, paid, terminated, *_ = twins[row].step(int(action[row]))
            np.testing.assert_allclose(seen[row], observation, atol=1e-6)
            assert (reward[row], ended[row]) == (paid, terminated)
        running &= ~ended
    after, reward, still = TASK.step(state, action, _draw())
    np.testing.assert_array_equal(after.done, state.done)
    assert still.all()
    assert not reward.any()


@needs_box2d
def test_an_old_state_can_be_gone_on_from():
    """Nothing hangs on the order of the calls: a pure function, whatever the hangar keeps."""
    actions = np.random.default_rng(2).integers(0, 4, 30)
    states, rewards = _fly(TASK.initial(_draw()), actions)
    seen = TASK.observe(states[-1])
    hangar.cache_clear()
    again, paid = _fly(states[10], actions[10:])
    np.testing.assert_array_equal(paid, rewards[10:])
    np.testing.assert_array_equal(TASK.observe(again[-1]), seen)
    elsewhere, _ = _fly(states[10], [0])
    assert (TASK.observe(elsewhere[-1]) != TASK.observe(states[11])).any()


@needs_box2d
def test_a_small_hangar_shows_the_same_flights(monkeypatch):
    actions = np.random.default_rng(3).integers(0, 4, 20)
    states, rewards = _fly(TASK.initial(_draw()), actions)
    hangar.cache_clear()
    monkeypatch.setattr(lunar_lander, "KEPT", 2)
    again, paid = _fly(TASK.initial(_draw()), actions)
    np.testing.assert_array_equal(paid, rewards)
    np.testing.assert_array_equal(TASK.observe(again[-1]), TASK.observe(states[-1]))
    assert len(hangar()._craft) == 2


@needs_box2d
def test_the_spaces_and_the_limit_are_gymnasiums():
    env = gym.make("LunarLander-v3")
    assert TASK.observation_space == env.observation_space
    assert TASK.action_space == env.action_space
    assert TASK.card.steps == env.spec.max_episode_steps


@needs_box2d
def test_evaluation_scores_it():
    result = evaluate(TASK, [TASK.trivial()], seeds=[1], trials=50)["test"]
    assert abs(result.score[0]) < 0.2


@needs_box2d
@pytest.mark.parametrize("action", [1, 2, 3, None])
def test_other_blind_policies_are_worse_than_chance(action):
    blind = RandomPolicy(4) if action is None else Policy(lambda x: np.full(x.shape[:2], action))
    returns = trial_metric(TASK, blind, seed=4, trials=100)
    assert returns.mean() < TASK.card.stage("test").chance - 10


@needs_box2d
def test_torch_flies_the_same_craft():
    xp = pytest.importorskip("array_api_compat.torch")
    actions = np.random.default_rng(4).integers(0, 4, 10)
    ours, reward = _fly(TASK.initial(_draw()), actions)
    theirs, paid = _fly(TASK.initial(_draw(xp=xp)), actions, xp)
    np.testing.assert_array_equal(np.stack([p.numpy() for p in paid]), np.stack(reward))
    seen = TASK.observe(theirs[-1])
    assert seen.dtype == xp.float32
    np.testing.assert_array_equal(seen.numpy(), TASK.observe(ours[-1]))


def test_without_box2d_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "Box2D", None)
    hangar.cache_clear()
    with pytest.raises(MissingExtra, match=r"neurotasks\[box2d\]"):
        gym.make(TASK.card.id)
