"""Both mountain cars: Gymnasium's physics, value iteration, and the controller by energy."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import neurotasks
from neurotasks.agent import Policy, RandomPolicy
from neurotasks.evaluate import trial_metric
from neurotasks.rng import Draw
from neurotasks.tasks import mountain_car
from neurotasks.tasks.mountain_car import Car, _Greedy, solve

CAR = neurotasks.load("MountainCar-v0")
CONTINUOUS = neurotasks.load("MountainCarContinuous-v0")
STAGES = ("test", "shift")
GRAVITY = 0.0025


def _draw(task, xp=np):
    return Draw(task.card.label, "test", 5, 0, 64, xp=xp)


def _somewhere(rng, count):
    """Cars all over the road, some of them at the wall and some before the goal."""
    position = rng.uniform(-1.2, 0.6, count)
    position[: count // 4] = rng.uniform(-1.2, -1.15, count // 4)
    position[-count // 4 :] = rng.uniform(0.4, 0.55, -(-count // 4))
    return Car(position, rng.uniform(-0.07, 0.07, count))


def test_every_step_is_that_of_gymnasium():
    rng = np.random.default_rng(1)
    before, action = _somewhere(rng, 3000), rng.integers(0, 3, 3000)
    after, reward, ended = CAR.step(before, action, _draw(CAR), gravity=GRAVITY)
    seen = CAR.observe(after)
    assert 0 < ended.mean() < 1
    assert (after.position == -1.2).any()
    env = gym.make("MountainCar-v0").unwrapped
    env.reset(seed=0)
    for k in range(3000):
        env.state = (before.position[k], before.velocity[k])
        observation, paid, terminated, *_ = env.step(int(action[k]))
        np.testing.assert_allclose((after.position[k], after.velocity[k]), env.state, 1e-12, 1e-15)
        np.testing.assert_allclose(seen[k], observation, rtol=2e-7, atol=1e-9)
        assert (reward[k], ended[k]) == (paid, terminated)


def test_every_continuous_step_is_that_of_gymnasium():
    """Gymnasium keeps the state in single precision, and charges for more than a full push."""
    rng = np.random.default_rng(2)
    before, action = _somewhere(rng, 3000), rng.uniform(-1.5, 1.5, (3000, 1))
    after, reward, ended = CONTINUOUS.step(before, action, _draw(CONTINUOUS), gravity=GRAVITY)
    assert 0 < ended.mean() < 1
    env = gym.make("MountainCarContinuous-v0").unwrapped
    env.reset(seed=0)
    for k in range(3000):
        env.state = np.array([before.position[k], before.velocity[k]])
        observation, paid, terminated, *_ = env.step(action[k])
        ours = (after.position[k], after.velocity[k])
        np.testing.assert_allclose(ours, observation, rtol=1e-6, atol=1e-8)
        assert reward[k] == pytest.approx(paid, abs=1e-12)
        assert ended[k] == terminated


@pytest.mark.parametrize("task", [CAR, CONTINUOUS], ids=lambda task: task.card.name)
def test_the_time_limit_is_gymnasiums(task):
    label = "MountainCar-v0" if task is CAR else "MountainCarContinuous-v0"
    assert task.card.steps == gym.spec(label).max_episode_steps


@pytest.mark.parametrize("stage", STAGES)
def test_finer_grids_gain_less_and_less(stage):
    gravity = CAR.card.stage(stage).parameters["gravity"]
    agents = [_Greedy(solve(gravity, n, m), gravity) for n, m in ((91, 71), (181, 141))]
    coarse, middle, fine = (
        trial_metric(CAR, agent, seed=6, stage=stage).mean()
        for agent in (*agents, CAR.ideal(stage))
    )
    assert coarse < middle < fine
    assert fine - middle < 2.0


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_grid_twice_as_fine_saves_a_fraction_of_a_step(stage):
    gravity = CAR.card.stage(stage).parameters["gravity"]
    finer = _Greedy(solve(gravity, 721, 561), gravity)
    gain = trial_metric(CAR, finer, seed=6, stage=stage) - trial_metric(
        CAR, CAR.ideal(stage), seed=6, stage=stage
    )
    assert 0.0 <= gain.mean() < 0.3


def _steps_of(agent, starts):
    """The number of steps from each start."""
    state, running = Car(starts, np.zeros(len(starts))), np.ones(len(starts), bool)
    steps = np.zeros(len(starts))
    while running.any():
        action, _ = agent.act(CAR.observe(state)[:, None], None)
        state, _, ended = CAR.step(state, action[:, 0], _draw(CAR), gravity=GRAVITY)
        steps += running
        running &= ~ended
    return steps


def test_plans_of_few_switches_are_hardly_ever_faster():
    """From ten starts: every plan of left, right, left, right that switches at even steps."""
    starts = np.linspace(-0.6, -0.4, 10)
    steps = _steps_of(CAR.ideal(), starts)
    cuts = np.array(np.meshgrid(*[np.arange(0, 92, 2)] * 3)).reshape(3, -1)
    cuts = cuts[:, (np.diff(cuts, axis=0) >= 0).all(axis=0)]
    best = np.zeros(len(starts))
    for k, start in enumerate(starts):
        plans, arrived = Car(np.full(cuts.shape[1], start), np.zeros(cuts.shape[1])), False
        while not arrived:
            action = np.where((cuts <= best[k]).sum(axis=0) % 2 == 1, 2, 0)
            plans, _, ended = CAR.step(plans, action, _draw(CAR), gravity=GRAVITY)
            arrived = ended.any()
            best[k] += 1
    assert (steps <= best + 3).all()
    assert (steps - best).mean() < 0.5


@pytest.mark.parametrize("stage", STAGES)
def test_pushing_with_the_velocity_is_slower(stage):
    with_velocity = Policy(lambda x: np.where(x[..., 1] >= 0.0, 2, 0))
    returns = trial_metric(CAR, with_velocity, seed=6, stage=stage)
    anchors = CAR.card.stage(stage)
    assert anchors.chance < returns.mean() < anchors.ceiling - 5


@pytest.mark.parametrize("stage", STAGES)
def test_blind_cars_do_not_arrive(stage):
    policies = [Policy(lambda x, a=a: np.full(x.shape[:2], a)) for a in range(3)]
    for policy in (*policies, RandomPolicy(3)):
        assert (trial_metric(CAR, policy, seed=4, stage=stage, trials=1000) == -200.0).all()
    rng = np.random.default_rng(1)
    noise = Policy(lambda x: rng.uniform(-1, 1, (*x.shape[:2], 1)).astype(np.float32))
    constants = [
        Policy(lambda x, a=a: np.full((*x.shape[:2], 1), a, np.float32)) for a in (-1.0, 0.3, 1.0)
    ]
    for policy in (noise, *constants):
        returns = trial_metric(CONTINUOUS, policy, seed=4, stage=stage, trials=200)
        assert returns.mean() < CONTINUOUS.card.stage(stage).chance


@pytest.mark.parametrize("stage", STAGES)
def test_the_reference_controller_arrives_from_every_start(stage):
    starts = Car(np.linspace(-0.6, -0.4, 2001), np.zeros(2001))
    state, agent, running, total = starts, CONTINUOUS.ideal(stage), np.ones(2001, bool), 0.0
    parameters = CONTINUOUS.card.stage(stage).parameters
    for _ in range(CONTINUOUS.card.steps):
        action, _ = agent.act(CONTINUOUS.observe(state)[:, None], None)
        state, reward, ended = CONTINUOUS.step(state, action[:, 0], _draw(CONTINUOUS), **parameters)
        total = total + running * reward
        running &= ~ended
    assert not running.any()
    assert total.min() > 99.2
    assert total.mean() == pytest.approx(CONTINUOUS.card.stage(stage).ceiling, abs=0.02)


@pytest.mark.parametrize("name", ["PUMP", "LAST_SWING"])
@pytest.mark.parametrize("factor", [0.7, 1.4])
def test_other_settings_of_the_controller_are_worse(name, factor, monkeypatch):
    best = trial_metric(CONTINUOUS, CONTINUOUS.ideal(), seed=6, trials=200).mean()
    monkeypatch.setattr(mountain_car, name, getattr(mountain_car, name) * factor)
    assert trial_metric(CONTINUOUS, CONTINUOUS.ideal(), seed=6, trials=200).mean() < best


@pytest.mark.parametrize("task", [CAR, CONTINUOUS], ids=lambda task: task.card.name)
def test_torch_drives_the_same_cars(task):
    xp = pytest.importorskip("array_api_compat.torch")
    ours, theirs = (task.initial(_draw(task, array), gravity=GRAVITY) for array in (np, xp))
    task.action_space.seed(1)
    for _ in range(60):
        action = np.stack([task.action_space.sample() for _ in range(64)])
        ours, reward, ended = task.step(ours, action, _draw(task), gravity=GRAVITY)
        theirs, paid, over = task.step(theirs, xp.asarray(action), _draw(task, xp), gravity=GRAVITY)
        np.testing.assert_allclose(theirs.position.numpy(), ours.position, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(paid.numpy(), reward)
        np.testing.assert_array_equal(over.numpy(), ended)
    assert task.observe(theirs).dtype == xp.float32
