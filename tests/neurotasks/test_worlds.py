"""Worlds: first states that are drawn ahead are those of their trials, however far one goes."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import neurotasks
from neurotasks import ahead, rng, worlds
from neurotasks.rng import Draw

TASK = neurotasks.load("EvidenceAccumulation-v0")
PARAMETERS = TASK.card.stage("train").parameters
LEFT = 1


def _first(seed, trial):
    """What a trial shows first, drawn alone."""
    return TASK.observe(TASK.initial(Draw(TASK.card.label, "train", seed, trial), **PARAMETERS))[0]


def test_episodes_beyond_the_block_that_is_drawn_ahead(monkeypatch):
    monkeypatch.setattr(worlds, "_BUFFER_STATES", 6)
    env = gym.make_vec(TASK.card.id, num_envs=3, autoreset_mode="SameStep")
    seen, _ = env.reset(seed=20)
    for trial in range(40):
        for world in range(3):
            np.testing.assert_array_equal(seen[world], _first(20 + world, trial))
        seen, *_ = env.step(np.full(3, LEFT))


def test_worlds_that_run_at_their_own_pace(monkeypatch):
    """Some wait and some answer, so that each has used up another part of what is drawn."""
    monkeypatch.setattr(worlds, "_BUFFER_STATES", 4)
    env = gym.make_vec(TASK.card.id, num_envs=5, autoreset_mode="Disabled")
    env.reset(seed=7)
    trial = np.zeros(5, dtype=int)
    choices = np.random.default_rng(0)
    for round_number in range(60):
        answers = choices.random(5) < (0.9, 0.5, 0.3, 0.1, 0.7)
        _, _, ended, *_ = env.step(np.where(answers, LEFT, 0))
        if not ended.any():
            continue
        options = {"reset_mask": ended}
        trial[ended] += 1
        if round_number == 30:
            trial[ended] = 0
            seen, info = env.reset(seed=7, options=options)
        else:
            seen, info = env.reset(options=options)
        np.testing.assert_array_equal(info["trial"], trial)
        for world in np.flatnonzero(ended):
            np.testing.assert_array_equal(seen[world], _first(7 + world, trial[world]))


@pytest.mark.parametrize(
    ("seeds", "first", "count", "step"),
    [
        ([0, 5, 2**62], [0, 3, 7], 1, None),
        ([0, 5], [1, 3], 3, [0, 1, 2, 3, 4, 5]),
        ([4], [9], 5, [3] * 5),
        ([1, 2], [0, 0], 300, None),
    ],
)
def test_both_ways_to_the_words_are_one(monkeypatch, seeds, first, count, step):
    """NumPy's own generator and arithmetic on arrays, whichever is faster."""
    steps = None if step is None else np.array(step)
    draw = Draw("Task-v0", "test", seeds, first, count, steps)
    for n in (1, 2, 3, 4, 7):
        monkeypatch.setattr(rng, "_C_SPEED_UP_TO", 10**9)
        numpy_words = draw.words("field", n)
        monkeypatch.setattr(rng, "_C_SPEED_UP_TO", 0)
        monkeypatch.setattr(rng, "_C_SPEED_FROM", 10**9)
        np.testing.assert_array_equal(draw.words("field", n), numpy_words)


def test_trial_worlds_together_and_apart(monkeypatch):
    """Trials of worlds in step and out of step, beyond the blocks that are drawn ahead."""
    monkeypatch.setattr(ahead, "_TRIALS", 4)
    task = neurotasks.load("PerceptualDecisionMaking-v0")
    size = 22 * 3 * 4  # bytes of what a trial shows
    monkeypatch.setattr(ahead, "_BYTES_OF_WORDS", 4 * 2 * size)  # two worlds at a time
    monkeypatch.setattr(ahead, "_BYTES_AT_A_TIME", 3 * 2 * size)  # three trials of each
    trials = [task.sample(60, 30 + world) for world in range(5)]
    env = gym.make_vec(task.card.id, num_envs=5, autoreset_mode="Disabled")
    seen, _ = env.reset(seed=30)
    number, time = np.zeros(5, dtype=int), np.zeros(5, dtype=int)
    choices = np.random.default_rng(0)
    for step in range(900):
        for world in range(5):
            shown = trials[world].x[number[world], time[world]]
            np.testing.assert_array_equal(seen[world], shown)
        action = choices.integers(0, 3, 5)
        truth = [trials[world].y[number[world], time[world]] for world in range(5)]
        scored = [trials[world].mask[number[world], time[world]] for world in range(5)]
        seen, reward, ended, _, info = env.step(action)
        np.testing.assert_array_equal(info["answer"], truth)
        np.testing.assert_array_equal(info["scored"], scored)
        np.testing.assert_array_equal(reward, (action == truth) & scored)
        time += 1
        np.testing.assert_array_equal(ended, time == 22)
        alone = (choices.random(5) < 0.02) & (step > 300) & (step < 600)
        again = ended | alone
        if step == 650:
            again[:] = True
            seen, _ = env.reset(seed=30)
            number[:] = time[:] = 0
        elif again.any():
            seen, info = env.reset(options={"reset_mask": again})
            number[again] += 1
            time[again] = 0
            np.testing.assert_array_equal(info["trial"], number)
    assert number.max() > 10


@pytest.mark.parametrize("label", ["PerceptualDecisionMaking-v0", "EvidenceAccumulation-v0"])
def test_a_seed_begins_anew_beyond_the_first_block(monkeypatch, label):
    monkeypatch.setattr(ahead, "_TRIALS", 2)
    monkeypatch.setattr(worlds, "_BUFFER_STATES", 2)
    env = gym.make(f"neurotasks/{label}")
    first, _ = env.reset(seed=5)
    for trial in range(1, 8):
        _, info = env.reset()
        assert info["trial"] == trial
    again, info = env.reset(seed=5)
    assert info["trial"] == 0
    np.testing.assert_array_equal(again, first)
