"""The song: its chain, its exact filter, and the ladder from chance to the ceiling."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import neurotasks
from neurotasks.evaluate import trial_metric
from neurotasks.metrics import log_softmax
from neurotasks.tasks.sequence_prediction import STATES, SYLLABLES, UNSCORED, source

TASK = neurotasks.load("SequencePrediction-v0")
STAGES = ("test", "shift")


def _entropy(p):
    return -(p * np.log2(p)).sum(axis=-1)


def _source(stage):
    return source(TASK.card.stage(stage).parameters["stay"])


def _joint(stage):
    """Return how often two syllables follow each other, (8, 8)."""
    transition, emission = _source(stage)
    return emission.T @ transition @ emission / STATES


def _bigram_bits(stage):
    joint = _joint(stage)
    return float(_entropy(joint.reshape(-1)) - _entropy(joint.sum(axis=1)))


@pytest.mark.parametrize("stage", STAGES)
def test_the_source_is_stationary_where_all_states_are_equally_likely(stage):
    transition, emission = _source(stage)
    np.testing.assert_allclose(transition.sum(axis=1), 1.0)
    np.testing.assert_allclose(transition.sum(axis=0), 1.0)
    np.testing.assert_allclose(emission.sum(axis=1), 1.0)


@pytest.mark.parametrize("stage", STAGES)
def test_chance_is_the_entropy_of_a_syllable(stage):
    chance = _entropy(_source(stage).emission.mean(axis=0))
    assert TASK.card.stage(stage).chance == pytest.approx(chance, abs=1e-9)


@pytest.mark.parametrize("stage", STAGES)
def test_trials_follow_the_chain(stage):
    batch = TASK.sample(20_000, 1, stage)
    assert batch.x.dtype == np.uint8
    np.testing.assert_array_equal(batch.x.sum(axis=-1), 1)
    symbols = batch.x.argmax(axis=-1)
    np.testing.assert_array_equal(symbols[:, 1:], batch.y[:, :-1])
    for step in (0, 30, 62):  # stationary: the same frequencies early and late
        joint = np.zeros((SYLLABLES, SYLLABLES))
        np.add.at(joint, (symbols[:, step], batch.y[:, step]), 1 / len(symbols))
        np.testing.assert_allclose(joint, _joint(stage), atol=5 * np.sqrt(0.1 / len(symbols)))
    np.testing.assert_array_equal(batch.mask.sum(axis=1), 64 - UNSCORED)


def _enumerate(chain, symbols):
    """Return the prediction after some symbols, by summing over every hidden path."""
    transition, emission = chain
    mass = np.zeros(STATES)
    reachable = [np.flatnonzero(row) for row in transition]
    paths = [((state,), 1.0 / STATES) for state in range(STATES)]
    for _ in symbols[1:]:
        paths = [
            ((*path, after), p * transition[path[-1], after])
            for path, p in paths
            for after in reachable[path[-1]]
        ]
    for path, p in paths:
        mass[path[-1]] += p * np.prod(emission[list(path), list(symbols)])
    after = mass / mass.sum() @ transition
    return after @ emission


@pytest.mark.parametrize("stage", STAGES)
def test_the_filter_is_the_posterior_by_enumeration(stage):
    chain, filtering = _source(stage), TASK.ideal(stage)
    songs = [*itertools.product((0, 4, 7), repeat=2), (0, 4, 5, 6), (5, 7, 1, 1), (3, 3, 2, 0)]
    for song in songs:
        x = np.eye(SYLLABLES, dtype=np.uint8)[list(song)][None]
        answer, _ = filtering.act(x, None)
        predicted = np.exp(log_softmax(answer[0, -1].astype(np.float64)))
        np.testing.assert_allclose(predicted, _enumerate(chain, song), rtol=1e-5)


def test_the_filter_keeps_its_belief_across_blocks():
    x, filtering = TASK.sample(10, 2, "test").x, TASK.ideal()
    whole, _ = filtering.act(x, None)
    state, parts = None, []
    for block in (x[:, :1], x[:, 1:20], x[:, 20:]):
        part, state = filtering.act(block, state)
        parts.append(part)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=1e-6)


@pytest.mark.parametrize("stage", STAGES)
def test_the_mean_entropy_of_the_prediction_is_the_ceiling(stage):
    batch = TASK.sample(4000, 3, stage)
    log_p = log_softmax(TASK.ideal(stage).act(batch.x, None)[0].astype(np.float64))
    entropy = _entropy(np.exp(log_p))[:, UNSCORED:].mean(axis=1)
    error = entropy.std() / np.sqrt(len(entropy))
    assert abs(entropy.mean() - TASK.card.stage(stage).ceiling) < 4 * error


@pytest.mark.parametrize("stage", STAGES)
def test_memory_pays(stage):
    """A bigram gains over chance, and memory of the motif gains over a bigram."""
    anchors = TASK.card.stage(stage)
    assert anchors.chance - 0.5 > _bigram_bits(stage) > anchors.ceiling + 0.5


def test_the_filter_of_another_tempo_is_worse():
    ideal = trial_metric(TASK, TASK.ideal("shift"), seed=4, stage="shift", trials=2000)
    other = trial_metric(TASK, TASK.ideal("test"), seed=4, stage="shift", trials=2000)
    assert (other - ideal).mean() > 0.02


def test_torch_draws_the_same_songs():
    xp = pytest.importorskip("array_api_compat.torch")
    ours, theirs = TASK.sample(100, 6, "shift"), TASK.sample(100, 6, "shift", xp=xp)
    assert theirs.x.dtype == xp.uint8
    for name in ("x", "y", "mask"):
        np.testing.assert_array_equal(getattr(theirs, name).numpy(), getattr(ours, name))
