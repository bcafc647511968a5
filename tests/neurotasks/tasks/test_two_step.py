"""The two-step task: its rules, the optimum over the belief, and stay probabilities."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import neurotasks
from neurotasks.agent import Policy, RandomPolicy
from neurotasks.analysis import stay_probabilities
from neurotasks.evaluate import evaluate, trial_metric
from neurotasks.rng import Draw
from neurotasks.tasks.two_step import (
    FIRST,
    POOR,
    RICH,
    TRIALS,
    A,
    B,
    solve,
    trial_table,
    update,
)

TASK = neurotasks.load("TwoStep-v0")
STAGES = ("test", "shift")
STEPS = 2 * TRIALS


def _parameters(stage):
    return TASK.card.stage(stage).parameters


def _draw(step=None, xp=np, count=2000, stage="test"):
    times = None if step is None else xp.full((count,), step)
    return Draw(TASK.card.label, stage, 8, 0, count, times, xp)


def _play(agent, stage, count=2000):
    """Return what was seen, done and paid, (count, steps, ...), and which state was rich."""
    state, memory, record = TASK.initial(_draw(count=count), **_parameters(stage)), None, []
    for step in range(STEPS):
        seen = TASK.observe(state)
        action, memory = agent.act(seen[:, None], memory)
        rich, draw = state.rich, _draw(step, count=count)
        state, reward, ended = TASK.step(state, action[:, 0], draw, **_parameters(stage))
        assert ended.all() == (step == STEPS - 1)
        record.append((seen, action[:, 0], reward, rich))
    return [np.stack(part, axis=1) for part in zip(*record, strict=True)]


def _repeat_what_was_rewarded(x):
    """Choose as a model-free player with a learning rate of 1: win-stay, lose-shift."""
    return ((x[..., 5] > 0) == (x[..., 3] > 0)).astype(np.int64)


class _LastState:
    """Seek the state that paid last, or avoid the one that did not: a model, but no memory."""

    def act(self, observation, state):
        place, won = observation[..., :3].argmax(axis=-1)[:, 0], observation[:, 0, 3] > 0
        state = np.full(len(place), A) if state is None else state
        action = np.where((state == A) == won, 0, 1)
        return action[:, None], place


@pytest.mark.parametrize("stage", STAGES)
def test_transitions_rewards_and_changes_are_as_frequent_as_they_should_be(stage):
    parameters = _parameters(stage)
    seen, action, reward, rich = _play(RandomPolicy(2), stage)
    place = seen[..., :3].argmax(axis=-1)
    assert (place[:, ::2] == FIRST).all()
    assert (place[:, 1::2] != FIRST).all()
    common = (place[:, 1::2] == A) == (action[:, ::2] == 0)
    assert common.mean() == pytest.approx(parameters["common"], abs=0.005)
    assert not reward[:, ::2].any()
    paid, in_rich = reward[:, 1::2], place[:, 1::2] == rich[:, 1::2]
    assert paid[in_rich].mean() == pytest.approx(RICH, abs=0.005)
    assert paid[~in_rich].mean() == pytest.approx(POOR, abs=0.005)
    changes = rich[:, 1:] != rich[:, :-1]
    assert not changes[:, ::2].any()  # within a trial
    assert changes[:, 1::2].mean() == pytest.approx(parameters["hazard"], abs=0.002)


def test_the_player_sees_place_reward_and_its_last_choice():
    env = gym.make(TASK.card.id, stage="test")
    seen, _ = env.reset(seed=1)
    np.testing.assert_array_equal(seen, [1, 0, 0, 0, 0, 0])
    for trial in range(TRIALS):
        choice = trial % 2
        middle, nothing, *_ = env.step(choice)
        assert nothing == 0
        np.testing.assert_array_equal(middle[[0, 3, 4, 5]], [0, 0, choice == 0, choice == 1])
        seen, reward, ended, _, _ = env.step(1 - choice)  # either action collects
        np.testing.assert_array_equal(seen, [1, 0, 0, reward, choice == 0, choice == 1])
    assert ended


@pytest.mark.parametrize("stage", STAGES)
def test_the_value_is_that_of_the_whole_tree_of_outcomes(stage):
    common, hazard = _parameters(stage)["common"], _parameters(stage)["hazard"]

    def value(belief, trials):
        if trials == 0:
            return 0.0
        worth = dict.fromkeys((A, B), 0.0)
        for place, p_rich in ((A, belief), (B, 1 - belief)):
            pays = RICH * p_rich + POOR * (1 - p_rich)
            for won, p in ((True, pays), (False, 1 - pays)):
                after = float(update(belief, np.array(won == (place == A)), hazard))
                worth[place] += p * (won + value(after, trials - 1))
        better, worse = max(worth.values()), min(worth.values())
        return common * better + (1 - common) * worse

    assert solve(common, hazard, trials=4).value == pytest.approx(value(0.5, 4), abs=1e-6)


@pytest.mark.parametrize("stage", STAGES)
def test_the_way_to_the_state_that_is_more_probably_rich_is_always_worth_more(stage):
    gain = solve(**_parameters(stage)).gain
    middle = gain.shape[1] // 2
    assert (gain[:, middle + 1 :] > 0).all()
    assert (gain[:, :middle] < 0).all()


@pytest.mark.parametrize("stage", STAGES)
def test_the_ceiling_is_the_value_and_the_policy_earns_it(stage):
    anchors, parameters = TASK.card.stage(stage), _parameters(stage)
    assert anchors.ceiling == pytest.approx(solve(**parameters).value, abs=1e-6)
    assert solve(**parameters, points=16_001).value == pytest.approx(anchors.ceiling, abs=2e-6)
    returns = trial_metric(TASK, TASK.ideal(stage), seed=2, stage=stage, trials=10_000)
    assert abs(returns.mean() - anchors.ceiling) < 4 * returns.std() / np.sqrt(len(returns))


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    "agent", [Policy(_repeat_what_was_rewarded), _LastState(), RandomPolicy(2)]
)
def test_simpler_rules_earn_clearly_less(stage, agent):
    anchors = TASK.card.stage(stage)
    returns = trial_metric(TASK, agent, seed=3, stage=stage, trials=3000)
    error = returns.std() / np.sqrt(len(returns))
    assert returns.mean() + 5 * error < anchors.ceiling


def test_the_player_keeps_its_belief_across_blocks():
    seen, action, *_ = _play(TASK.ideal(), "test", 50)
    agent = TASK.ideal()
    whole, _ = agent.act(seen, None)
    np.testing.assert_array_equal(whole, action)
    early, state = agent.act(seen[:, :7], None)
    late, _ = agent.act(seen[:, 7:], state)
    np.testing.assert_array_equal(np.concatenate((early, late), axis=1), whole)


# -- analysis ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_the_planner_changes_its_way_after_a_rare_reward(stage):
    """What Daw et al. predict of model-based choice: transition and reward interact."""
    stays = stay_probabilities(*trial_table(*_play(TASK.ideal(stage), stage)[:3]))
    assert stays["common, rewarded"] > stays["common, unrewarded"] + 0.1
    assert stays["rare, unrewarded"] > stays["rare, rewarded"] + 0.1


def test_the_model_free_player_ignores_the_transition():
    played = trial_table(*_play(Policy(_repeat_what_was_rewarded), "test")[:3])
    stays = stay_probabilities(*played)
    assert {part: stays[f"{part}, rewarded"] for part in ("common", "rare")} == {
        "common": 1.0,
        "rare": 1.0,
    }
    assert stays["common, unrewarded"] == stays["rare, unrewarded"] == 0.0


def test_whoever_chooses_at_random_stays_half_of_the_time():
    stays = stay_probabilities(*trial_table(*_play(RandomPolicy(2), "test")[:3]))
    np.testing.assert_allclose(list(stays.values()), 0.5, atol=0.01)


def test_the_figures_of_a_stage_are_those_of_its_episodes():
    found = evaluate(TASK, [TASK.ideal()], seeds=[4], stages=["test"], trials=200)["test"]
    (stays,) = found.extra["stay probability"]
    assert stays["rare, unrewarded"] > stays["rare, rewarded"] + 0.1


def test_torch_pays_the_same():
    xp = pytest.importorskip("array_api_compat.torch")
    parameters = _parameters("shift")
    ours = TASK.initial(_draw(count=100), **parameters)
    theirs = TASK.initial(_draw(xp=xp, count=100), **parameters)
    for step in range(40):
        action = (np.arange(100) + step // 2) % 2
        ours, paid, _ = TASK.step(ours, action, _draw(step, count=100), **parameters)
        draw = _draw(step, xp, 100)
        theirs, reward, _ = TASK.step(theirs, xp.asarray(action), draw, **parameters)
        np.testing.assert_array_equal(TASK.observe(theirs).numpy(), TASK.observe(ours))
        np.testing.assert_array_equal(reward.numpy(), paid)
    np.testing.assert_array_equal(theirs.rich.numpy(), ours.rich)
