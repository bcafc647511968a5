"""Two arms: their odds, the dynamic program against full enumeration, and its optimality."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import gymnasium as gym
import numpy as np
import pytest

import neurotasks
from neurotasks.agent import Policy, RandomPolicy
from neurotasks.evaluate import trial_metric
from neurotasks.rng import Draw
from neurotasks.tasks.probabilistic_bandit import PULLS, _Counting, solve

TASK = neurotasks.load("ProbabilisticBandit-v0")
STAGES = ("test", "shift")


def _prior(stage):
    return TASK.card.stage(stage).parameters["prior"]


def _draw(step=None, xp=np, count=10_000):
    times = None if step is None else xp.full((count,), step)
    return Draw(TASK.card.label, "test", 8, 0, count, times, xp)


def _greedy(stage):
    """Pull the arm with the higher posterior mean, as if every pull were the last."""
    a, b = _prior(stage)
    n, left, right = np.ogrid[: PULLS + 1, : PULLS + 1, : PULLS + 1]
    tables = [
        (a + right) / (a + b + np.maximum(t - n, 0)) > (a + left) / (a + b + n)
        for t in range(PULLS)
    ]
    return _Counting(np.stack(tables))


def _win_stay_lose_shift(x):
    return ((x[..., 1] > 0) == (x[..., 2] > 0)).astype(np.int64)


@pytest.mark.parametrize(("prior", "variance"), [((1, 1), 1 / 12), ((1, 3), 3 / 80)])
def test_the_odds_have_the_beta_distribution_of_the_prior(prior, variance):
    odds = TASK.initial(_draw(), prior=prior).odds
    assert abs(odds.mean() - prior[0] / sum(prior)) < 0.01
    assert abs(odds.var() - variance) < 0.002
    assert abs(np.corrcoef(odds.T)[0, 1]) < 0.04
    below = (odds < 0.2).mean()  # Beta(1, b) has the distribution function 1 - (1 - x)^b
    assert abs(below - (1 - 0.8 ** prior[1])) < 0.02


@pytest.mark.parametrize("arm", [0, 1])
def test_an_arm_pays_as_often_as_its_odds_say(arm):
    state = TASK.initial(_draw(), prior=(1, 1))
    odds, paid = state.odds.copy(), np.zeros(10_000)
    for step in range(PULLS):
        state, reward, ended = TASK.step(state, np.full(10_000, arm), _draw(step), prior=(1, 1))
        paid += reward
        assert ended.all() == (step == PULLS - 1)
    spread = np.sqrt(PULLS * odds[:, arm] * (1 - odds[:, arm]))
    z = (paid - PULLS * odds[:, arm]) / spread
    assert abs(z.mean()) < 0.04
    assert abs(z.var() - 1) < 0.05


def test_the_player_sees_its_choice_the_reward_and_the_time():
    env = gym.make(TASK.card.id, stage="test")
    seen, _ = env.reset(seed=1)
    np.testing.assert_array_equal(seen, [0, 0, 0, 1])
    for step in range(PULLS):
        seen, reward, ended, _, _ = env.step(step % 2)
        expected = [step % 2 == 0, step % 2 == 1, reward, 1 - (step + 1) / PULLS]
        np.testing.assert_allclose(seen, expected, atol=1e-6)
    assert ended


@pytest.mark.parametrize("prior", [(1, 1), (1, 3), (2, 2)])
@pytest.mark.parametrize("pulls", [1, 2, 3, 7])
def test_the_value_is_that_of_an_exact_enumeration(prior, pulls):
    """In fractions, over all four counts, without any array."""
    a, b = prior

    @cache
    def value(left, lost_left, right, lost_right):
        if left + lost_left + right + lost_right == pulls:
            return Fraction(0)
        p = Fraction(a + left, a + b + left + lost_left)
        q = Fraction(a + right, a + b + right + lost_right)
        return max(
            p * (1 + value(left + 1, lost_left, right, lost_right))
            + (1 - p) * value(left, lost_left + 1, right, lost_right),
            q * (1 + value(left, lost_left, right + 1, lost_right))
            + (1 - q) * value(left, lost_left, right, lost_right + 1),
        )

    assert solve(a, b, pulls).value == pytest.approx(float(value(0, 0, 0, 0)), abs=1e-12)


@pytest.mark.parametrize("stage", STAGES)
def test_the_ceiling_is_the_value_and_the_policy_earns_it(stage):
    anchors = TASK.card.stage(stage)
    assert anchors.ceiling == pytest.approx(solve(*_prior(stage)).value, abs=1e-6)
    returns = trial_metric(TASK, TASK.ideal(stage), seed=2, stage=stage, trials=20_000)
    assert abs(returns.mean() - anchors.ceiling) < 4 * returns.std() / np.sqrt(len(returns))


def test_of_two_arms_with_like_means_the_lesser_known_is_pulled_while_it_pays():
    right = solve(1, 1).right
    assert right[2, 2, 1, 0]  # one win in two pulls on the left, nothing known of the right
    assert right[20, 20, 10, 0]
    assert not right[4, 4, 4, 0]
    a, b = 1, 1
    last = PULLS - 1  # the last pull is for its reward alone
    for n in range(last + 1):
        left, other = np.ogrid[: n + 1, : last - n + 1]
        p, q = (a + left) / (a + b + n), (a + other) / (a + b + last - n)
        clear = np.abs(p - q) > 1e-9
        table = right[last, n, : n + 1, : last - n + 1]
        np.testing.assert_array_equal(table[clear], (q > p)[clear])


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("rule", ["win-stay, lose-shift", "greedy", "random"])
def test_simpler_rules_earn_clearly_less(stage, rule):
    agent = {
        "win-stay, lose-shift": Policy(_win_stay_lose_shift),
        "greedy": _greedy(stage),
        "random": RandomPolicy(2),
    }[rule]
    ideal = trial_metric(TASK, TASK.ideal(stage), seed=3, stage=stage, trials=10_000)
    gain = ideal - trial_metric(TASK, agent, seed=3, stage=stage, trials=10_000)
    assert gain.mean() > 5 * gain.std() / np.sqrt(len(gain))


def test_the_player_keeps_its_counts_across_blocks():
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
    ours = TASK.initial(_draw(count=100), prior=(1, 3))
    theirs = TASK.initial(_draw(xp=xp, count=100), prior=(1, 3))
    np.testing.assert_array_equal(theirs.odds.numpy(), ours.odds)
    for step in range(20):
        action = (np.arange(100) + step) % 2
        ours, paid, _ = TASK.step(ours, action, _draw(step, count=100), prior=(1, 3))
        draw = _draw(step, xp, 100)
        theirs, reward, _ = TASK.step(theirs, xp.asarray(action), draw, prior=(1, 3))
        np.testing.assert_allclose(TASK.observe(theirs).numpy(), TASK.observe(ours), atol=1e-6)
        np.testing.assert_array_equal(reward.numpy(), paid)
