from __future__ import annotations

import numpy as np
import pytest

import neurotasks
from neurotasks.analysis import (
    Chronometric,
    Psychometric,
    curve,
    decided,
    fit_chronometric,
    fit_psychometric,
    history_weights,
    proportions,
    stay_probabilities,
)
from neurotasks.evaluate import evaluate

LEVELS = np.array([-0.5, -0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2, 0.5])


@pytest.mark.parametrize("truth", [(0.03, 0.1, 0.1), (-0.1, 0.3, 0.02), (0.0, 0.05, 0.3)])
def test_a_psychometric_function_is_found_again(truth):
    generator = np.random.default_rng(0)
    subject = Psychometric(*truth)
    stimulus = generator.choice(LEVELS, 40_000)
    chosen = generator.random(40_000) < subject(stimulus)
    fit = fit_psychometric(*proportions(stimulus, chosen))
    assert fit.bias == pytest.approx(truth[0], abs=0.01)
    assert fit.threshold == pytest.approx(truth[1], rel=0.1)
    assert fit.lapse == pytest.approx(truth[2], abs=0.02)


def test_a_guess_has_no_slope_and_a_perfect_subject_has_no_lapse():
    count = np.full(len(LEVELS), 1000)
    guess = fit_psychometric(LEVELS, np.full(len(LEVELS), 0.5), count)
    assert np.ptp(guess(LEVELS)) < 0.05
    perfect = fit_psychometric(LEVELS, np.where(LEVELS == 0, 0.5, LEVELS > 0), count)
    assert perfect.lapse < 1e-3
    assert perfect.threshold < 0.05


def test_a_chronometric_function_is_found_again():
    subject = Chronometric(8.0, 2.5, 3.0)
    fit = fit_chronometric(LEVELS, subject(LEVELS), np.full(len(LEVELS), 100))
    assert fit(LEVELS) == pytest.approx(subject(LEVELS), rel=1e-3)
    assert fit.residual == pytest.approx(3.0, abs=0.05)


def test_decision_times_of_a_simulated_diffusion_follow_it():
    generator = np.random.default_rng(1)
    stimulus = generator.choice([0.0, 0.5, 1.0, 2.0], 4000)
    walk = np.zeros(4000)
    time, running = np.zeros(4000), np.ones(4000, bool)
    dt = 0.01
    while running.any():
        walk += (stimulus * dt + np.sqrt(dt) * generator.normal(size=4000)) * running
        time += dt * running
        running &= np.abs(walk) < 1.0
    levels, mean, count = proportions(stimulus, time)
    fit = fit_chronometric(levels, mean, count)
    assert fit(levels) == pytest.approx(mean, rel=0.08)
    overshoot = 0.583 * np.sqrt(dt)  # of a walk in steps (Siegmund, 1985)
    assert mean[0] == pytest.approx((1.0 + overshoot) ** 2, rel=0.1), "A squared at zero drift"


def test_proportions_by_hand():
    levels, mean, count = proportions(np.array([1.0, -1.0, 1.0, 1.0]), np.array([1, 0, 0, 1]))
    assert levels.tolist() == [-1.0, 1.0]
    assert mean == pytest.approx([0.0, 2 / 3])
    assert count.tolist() == [1, 3]


def test_a_curve_names_its_levels():
    assert curve([-0.0, 0.0, 12.8], [0, 1, 1]) == {"0": 0.5, "12.8": 1.0}


def test_what_is_decided_is_the_last_scored_answer():
    answer = np.array([[0, 1, 2, 0], [2, 1, 0, 0]])
    mask = np.array([[False, True, True, False], [False, True, False, False]])
    assert decided(answer, mask).tolist() == [2, 1]


@pytest.mark.parametrize(
    ("label", "names"),
    [
        ("PerceptualDecisionMaking-v0", {"psychometric"}),
        ("ContextDecisionMaking-v0", {"psychometric", "psychometric, other modality"}),
        ("DelayedComparison-v0", {"psychometric"}),
        (
            "MultiSensoryIntegration-v0",
            {"psychometric, visual", "psychometric, vestibular", "psychometric, both"},
        ),
        ("EvidenceAccumulation-v0", {"psychometric", "chronometric"}),
    ],
)
def test_the_ideal_observers_curves_rise_with_the_stimulus(label, names):
    task = neurotasks.load(label)
    found = evaluate(task, [task.ideal()], seeds=[0], stages=["test"])["test"].extra
    assert set(found) == names
    for name in names:
        (parts,) = found[name]
        values = [parts[level] for level in sorted(parts, key=float)]
        if name == "chronometric":
            assert max(values) == pytest.approx(values[len(values) // 2], rel=0.05)
        elif "other" in name:
            assert np.ptp(values) < 0.15, "what does not count does not matter"
        else:
            assert values[-1] - values[0] > 0.6


def test_history_weights_tell_win_stay_lose_shift_from_habit():
    generator = np.random.default_rng(2)
    rewards = (generator.random((200, 60)) < 0.5).astype(float)
    shift = np.zeros((200, 60), bool)
    habit = np.zeros((200, 60), bool)
    for t in range(1, 60):
        slip = generator.random(200) < 0.1
        shift[:, t] = (shift[:, t - 1] == (rewards[:, t - 1] > 0)) != slip
        habit[:, t] = habit[:, t - 1] != (generator.random(200) < 0.3)
    one, other = history_weights(shift, rewards), history_weights(habit, rewards)
    assert one["reward"][0] > 3.5, "log odds of 9 for each of reward and its absence"
    assert one["choice"][0] == pytest.approx(-one["reward"][0] / 2, abs=0.2)
    assert other["choice"][0] == pytest.approx(np.log(0.7 / 0.3), abs=0.08)
    assert np.abs(other["reward"]).max() < 0.15
    assert np.abs(one["reward"][1:]).max() < 0.2


def test_a_stimulus_explains_away_what_looks_like_history():
    generator = np.random.default_rng(3)
    stimulus = generator.normal(size=(100, 50))
    choices = stimulus + 0.5 * generator.normal(size=(100, 50)) > 0
    weights = history_weights(choices, choices.astype(float), stimulus=stimulus)
    assert weights["stimulus"][0] > 2.0
    assert np.abs(weights["choice"]).max() < 0.3
    with pytest.raises(ValueError, match="too few"):
        history_weights(choices[:, :3], choices[:, :3].astype(float))


def test_stay_probabilities_by_hand():
    first = np.array([[0, 0, 1, 1, 0, 0]])
    common = np.array([[True, True, False, False, True, True]])
    rewarded = np.array([[True, False, True, False, True, True]])
    found = stay_probabilities(first, common, rewarded)
    assert found == {
        "common, rewarded": 1.0,
        "rare, rewarded": 1.0,
        "common, unrewarded": 0.0,
        "rare, unrewarded": 0.0,
    }
    played = np.array([[True, True, False, False, False, False]])
    few = stay_probabilities(first, common, rewarded, played)
    assert few["common, rewarded"] == 1.0
    assert np.isnan(few["rare, rewarded"])
