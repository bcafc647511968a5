"""Hopper and HalfCheetah: Gymnasium's own bodies, as pure functions of arrays."""

from __future__ import annotations

import sys

import gymnasium as gym
import numpy as np
import pytest

import neurotasks
from neurotasks.agent import Policy
from neurotasks.errors import MissingExtra, NoIdealObserver
from neurotasks.evaluate import evaluate, trial_metric
from neurotasks.rng import Draw
from neurotasks.tasks import body_control
from neurotasks.tasks.body_control import Simulator, simulator

NAMES = ("Hopper", "HalfCheetah")


@pytest.fixture(params=NAMES)
def task(request, monkeypatch, tmp_path):
    pytest.importorskip("mujoco")
    monkeypatch.chdir(tmp_path)  # Gymnasium's own environments let MuJoCo write a log file
    return neurotasks.load(f"{request.param}-v0")


def _draw(task, count=4, xp=np):
    return Draw(task.card.label, "test", 5, 0, count, xp=xp)


def _twin(task, state, row):
    """Gymnasium's environment with the body of a row, by its own function."""
    twin = gym.make(task.label).unwrapped
    twin.reset(seed=1)
    n = task.joints
    twin.set_state(state.physics[row, 1 : 1 + n].copy(), state.physics[row, 1 + n :][:n].copy())
    return twin


def test_episodes_are_those_of_gymnasium(task):
    """Four bodies share one simulator, and each moves like the only one of its own."""
    state = task.initial(_draw(task))
    twins = [_twin(task, state, row) for row in range(4)]
    rng = np.random.default_rng(1)
    running = np.ones(4, bool)
    for _ in range(100):
        action = rng.uniform(-1, 1, (4, *task.action_space.shape))
        state, reward, ended = task.step(state, action, _draw(task))
        seen = task.observe(state)
        for row in np.flatnonzero(running):
            observation, paid, terminated, *_ = twins[row].step(action[row])
            np.testing.assert_allclose(seen[row], observation, rtol=1e-6, atol=1e-6)
            assert reward[row] == pytest.approx(paid, rel=1e-9, abs=1e-9)
            assert ended[row] == terminated
        running &= ~ended
    assert running.all() == (task.label == "HalfCheetah-v5")


def test_the_spaces_and_the_limit_are_gymnasiums(task):
    spec = gym.spec(task.label)
    env = gym.make(task.label)
    assert task.observation_space.shape == env.observation_space.shape
    assert task.action_space == env.action_space
    assert task.card.steps == spec.max_episode_steps


def test_first_states_are_as_far_from_rest_as_gymnasiums(task):
    env = gym.make(task.label).unwrapped
    theirs = np.stack([env.reset(seed=seed)[0] for seed in range(400)])
    ours = task.observe(task.initial(_draw(task, 400)))
    np.testing.assert_allclose(ours.mean(axis=0), theirs.mean(axis=0), atol=0.03)
    np.testing.assert_allclose(ours.std(axis=0), theirs.std(axis=0), rtol=0.25)


def test_a_fallen_body_is_not_moved():
    pytest.importorskip("mujoco")
    hopper = neurotasks.load("Hopper-v0")
    state, ended = hopper.initial(_draw(hopper)), np.zeros(4, bool)
    while not ended.all():
        state, _, ended = hopper.step(state, np.ones((4, 3)), _draw(hopper))
    after, reward, still = hopper.step(state, np.ones((4, 3)), _draw(hopper))
    np.testing.assert_array_equal(after.physics, state.physics)
    np.testing.assert_array_equal(reward, 0.0)
    assert still.all()


def test_batched_and_single_face_agree_in_mid_flight(task):
    worlds, env = gym.make_vec(task.card.id, num_envs=3), gym.make(task.card.id)
    seen, _ = worlds.reset(seed=4)
    alone, _ = env.reset(seed=5)
    np.testing.assert_array_equal(seen[1], alone)
    rng = np.random.default_rng(2)
    for _ in range(5):
        action = rng.uniform(-1, 1, (3, *task.action_space.shape)).astype(np.float32)
        seen, reward, *_ = worlds.step(action)
        alone, paid, *_ = env.step(action[1])
        np.testing.assert_array_equal(seen[1], alone)
        assert reward[1] == paid


def test_evaluation_scores_it(task):
    result = evaluate(task, [task.trivial()], seeds=[1], trials=4)["test"]
    assert len(result.raw) == 1
    assert abs(result.score[0]) < 0.1
    with pytest.raises(NoIdealObserver, match="published"):
        task.ideal()


def test_random_torques_are_worse_than_chance(task):
    rng = np.random.default_rng(2)
    shape = task.action_space.shape
    noise = Policy(lambda x: rng.uniform(-1, 1, (*x.shape[:2], *shape)).astype(np.float32))
    returns = trial_metric(task, noise, seed=4, trials=10)
    assert returns.mean() < task.card.stage("test").chance - 50


def test_making_a_simulator_leaves_no_file_and_no_handler(tmp_path, monkeypatch):
    mujoco = pytest.importorskip("mujoco")
    monkeypatch.chdir(tmp_path)
    before = mujoco.get_mju_user_warning()
    Simulator("Hopper-v5")
    assert mujoco.get_mju_user_warning() is before
    assert not list(tmp_path.iterdir())


def test_without_mujoco_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco", None)
    simulator.cache_clear()
    with pytest.raises(MissingExtra, match=r"neurotasks\[mujoco\]"):
        gym.make("neurotasks/Hopper-v0")


def test_torch_moves_the_same_bodies(task):
    xp = pytest.importorskip("array_api_compat.torch")
    ours, theirs = task.initial(_draw(task)), task.initial(_draw(task, xp=xp))
    action = np.full((4, *task.action_space.shape), 0.3, np.float32)
    for _ in range(10):
        ours, reward, _ = task.step(ours, action, _draw(task))
        theirs, paid, _ = task.step(theirs, xp.asarray(action), _draw(task, xp=xp))
        np.testing.assert_allclose(theirs.physics.numpy(), ours.physics, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(paid.numpy(), reward, rtol=1e-9, atol=1e-9)
    assert task.observe(theirs).dtype == xp.float32


def test_both_are_known_without_mujoco():
    assert {card.name for card in neurotasks.cards() if card.topic == "body control"} >= set(NAMES)
    assert body_control.Hopper.observation_space.shape == (11,)
