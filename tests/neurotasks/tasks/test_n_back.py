from __future__ import annotations

import numpy as np
import pytest

import neurotasks
from neurotasks.agent import Policy
from neurotasks.evaluate import trial_metric
from neurotasks.tasks import n_back

TASK = neurotasks.load("NBack-v0")
STAGES = ("test", "shift")


@pytest.mark.parametrize("stage", STAGES)
def test_no_comparison_of_the_most_likely_letters_beats_the_ideal_observer(stage):
    def likeliest(x):
        letter = x.argmax(axis=-1)
        return (letter == np.roll(letter, n_back.BACK, axis=1)).astype(np.int64)

    batch = TASK.sample(5_000, 3, stage)
    right = (likeliest(batch.x) == batch.y)[batch.mask].mean()
    ideal = trial_metric(TASK, TASK.ideal(stage), seed=3, stage=stage, trials=5_000)
    error = ideal.std() / np.sqrt(5_000)
    assert ideal.mean() == pytest.approx(TASK.card.stage(stage).ceiling, abs=4 * error)
    assert right < ideal.mean()


def test_the_answer_is_that_of_bayes():
    """By the joint density of both vectors under all 36 pairs of letters."""
    batch = TASK.sample(20, 4, "test")
    squares = ((batch.x[:, :, None] - np.eye(n_back.LETTERS)) ** 2).sum(axis=-1, dtype=np.float64)
    density = np.exp(-squares / (2 * n_back.NOISE**2))
    pairs = density[:, n_back.BACK :, :, None] * density[:, : -n_back.BACK, None]
    same = np.trace(pairs, axis1=2, axis2=3) / pairs.sum(axis=(2, 3))
    answers, _ = TASK.ideal().act(batch.x, None)
    np.testing.assert_array_equal(answers[:, n_back.BACK :], same >= 0.5)


def test_one_of_six_matches_and_the_first_letters_are_not_scored():
    batch = TASK.sample(5_000, 5, "test")
    letter = batch.trials["letter"]
    same = letter[:, n_back.BACK :] == letter[:, : -n_back.BACK]
    np.testing.assert_array_equal(batch.y[:, n_back.BACK :], same)
    assert same.mean() == pytest.approx(1 / 6, abs=0.004)
    assert not batch.mask[:, : n_back.BACK].any()
    assert batch.mask[:, n_back.BACK :].all()
    assert not batch.y[:, : n_back.BACK].any()


def test_without_memory_never_to_match_is_best():
    always = Policy(lambda x: np.full(x.shape[:2], n_back.MATCH))
    assert trial_metric(TASK, always, seed=1, trials=1_000).mean() < 0.2
    assert TASK.card.stage("test").chance == pytest.approx(5 / 6, abs=1e-6)
