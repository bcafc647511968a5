"""Two arms that change places: their rules, the belief, and the optimum over the belief."""

from __future__ import annotations

from itertools import product

import gymnasium as gym
import numpy as np
import pytest

import neurotasks
from neurotasks.agent import Policy, RandomPolicy
from neurotasks.evaluate import trial_metric
from neurotasks.rng import Draw
from neurotasks.tasks.reversal_bandit import BAD, GOOD, PULLS, solve, update

TASK = neurotasks.load("ReversalBandit-v0")
STAGES = ("test", "shift")


def _hazard(stage):
    return TASK.card.stage(stage).parameters["hazard"]


def _draw(step=None, xp=np, count=5000):
    times = None if step is None else xp.full((count,), step)
    return Draw(TASK.card.label, "test", 8, 0, count, times, xp)


def _win_stay_lose_shift(x):
    return ((x[..., 1] > 0) == (x[..., 2] > 0)).astype(np.int64)


@pytest.mark.parametrize("stage", STAGES)
def test_arms_pay_and_change_places_as_often_as_they_should(stage):
    hazard = _hazard(stage)
    state = TASK.initial(_draw(), hazard=hazard)
    assert abs(state.good.mean() - 0.5) < 0.03
    changes, paid, action = [], [[], []], np.arange(5000) % 2
    for step in range(PULLS):
        good = state.good
        state, reward, ended = TASK.step(state, action, _draw(step), hazard=hazard)
        changes.append((state.good != good).mean())
        for bad in (0, 1):
            paid[bad].append(reward[(action != good) == bad].mean())
        assert ended.all() == (step == PULLS - 1)
    assert np.mean(changes) == pytest.approx(hazard, abs=0.002)
    assert np.mean(paid[0]) == pytest.approx(GOOD, abs=0.005)
    assert np.mean(paid[1]) == pytest.approx(BAD, abs=0.005)


def test_the_player_sees_its_choice_the_reward_and_the_time():
    env = gym.make(TASK.card.id, stage="test")
    seen, _ = env.reset(seed=1)
    np.testing.assert_array_equal(seen, [0, 0, 0, 1])
    for step in range(PULLS):
        seen, reward, ended, _, _ = env.step(step % 2)
        expected = [step % 2 == 0, step % 2 == 1, reward, 1 - (step + 1) / PULLS]
        np.testing.assert_allclose(seen, expected, atol=1e-6)
    assert ended


def test_the_belief_is_that_of_a_sum_over_all_histories_of_the_hidden_state():
    choices, wins, hazard = (0, 1, 1, 0, 1, 1), (1, 0, 1, 0, 1, 1), 0.1
    weight = np.zeros(2)  # of histories that end with the left, the right arm as the good one
    for path in product((0, 1), repeat=len(choices) + 1):
        p = 0.5
        for t, (choice, won) in enumerate(zip(choices, wins, strict=True)):
            pays = GOOD if choice == path[t] else BAD
            p *= (pays if won else 1 - pays) * (hazard if path[t + 1] != path[t] else 1 - hazard)
        weight[path[-1]] += p
    belief = np.array([0.5])
    for choice, won in zip(choices, wins, strict=True):
        belief = update(belief, np.array([choice == won]), hazard)
    assert belief[0] == pytest.approx(weight[1] / weight.sum(), abs=1e-12)


@pytest.mark.parametrize("stage", STAGES)
def test_the_value_is_that_of_the_whole_tree_of_outcomes(stage):
    hazard = _hazard(stage)

    def value(belief, pulls):
        if pulls == 0:
            return 0.0
        worth = []
        for right in (True, False):
            p = GOOD * belief + BAD * (1 - belief) if right else BAD * belief + GOOD * (1 - belief)
            win, loss = (float(update(belief, np.array(right == won), hazard)) for won in (1, 0))
            worth.append(p * (1 + value(win, pulls - 1)) + (1 - p) * value(loss, pulls - 1))
        return max(worth)

    assert solve(hazard, pulls=5).value == pytest.approx(value(0.5, 5), abs=1e-6)


@pytest.mark.parametrize("stage", STAGES)
def test_the_arm_that_is_more_probably_good_is_always_worth_more(stage):
    gain = solve(_hazard(stage)).gain
    middle = gain.shape[1] // 2
    assert (gain[:, middle + 1 :] > 0).all()
    assert (gain[:, :middle] < 0).all()


@pytest.mark.parametrize("stage", STAGES)
def test_the_ceiling_is_the_value_and_the_policy_earns_it(stage):
    anchors, hazard = TASK.card.stage(stage), _hazard(stage)
    assert anchors.ceiling == pytest.approx(solve(hazard).value, abs=1e-6)
    assert solve(hazard, 16_001).value == pytest.approx(anchors.ceiling, abs=2e-6)
    returns = trial_metric(TASK, TASK.ideal(stage), seed=2, stage=stage, trials=10_000)
    assert abs(returns.mean() - anchors.ceiling) < 4 * returns.std() / np.sqrt(len(returns))


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("agent", [Policy(_win_stay_lose_shift), RandomPolicy(2)])
def test_simpler_rules_earn_clearly_less(stage, agent):
    ideal = trial_metric(TASK, TASK.ideal(stage), seed=3, stage=stage, trials=5000)
    gain = ideal - trial_metric(TASK, agent, seed=3, stage=stage, trials=5000)
    assert gain.mean() > 5 * gain.std() / np.sqrt(len(gain))
    assert gain.mean() > 0.05 * TASK.card.stage(stage).ceiling


def test_a_player_who_was_sure_stays_after_one_loss_and_leaves_after_two():
    agent, state, answers = TASK.ideal(), None, []
    steps = [(0, 0, 0), *[(0, 1, 1)] * 8, (0, 1, 0), (0, 1, 0)]
    for step in steps:
        action, state = agent.act(np.array([[[*step, 0.5]]], np.float32), state)
        answers.append(int(action[0, 0]))
    assert answers[1:] == [1] * 9 + [0]


def test_the_player_keeps_its_belief_across_blocks():
    rng = np.random.default_rng(0)
    choice, won = rng.integers(0, 2, (2, 50, PULLS))
    x = np.stack((choice == 0, choice == 1, won, np.ones_like(won)), axis=-1).astype(np.float32)
    x[:, 0] = (0, 0, 0, 1)
    agent = TASK.ideal()
    whole, _ = agent.act(x, None)
    early, state = agent.act(x[:, :7], None)
    late, _ = agent.act(x[:, 7:], state)
    np.testing.assert_array_equal(np.concatenate((early, late), axis=1), whole)


def test_torch_pays_the_same():
    xp = pytest.importorskip("array_api_compat.torch")
    ours = TASK.initial(_draw(count=100), hazard=0.15)
    theirs = TASK.initial(_draw(xp=xp, count=100), hazard=0.15)
    for step in range(20):
        action = (np.arange(100) + step) % 2
        ours, paid, _ = TASK.step(ours, action, _draw(step, count=100), hazard=0.15)
        draw = _draw(step, xp, 100)
        theirs, reward, _ = TASK.step(theirs, xp.asarray(action), draw, hazard=0.15)
        np.testing.assert_allclose(TASK.observe(theirs).numpy(), TASK.observe(ours), atol=1e-6)
        np.testing.assert_array_equal(reward.numpy(), paid)
    np.testing.assert_array_equal(theirs.good.numpy(), ours.good)
