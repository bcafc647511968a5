from __future__ import annotations

import socket
from itertools import product

import numpy as np
import pytest
from scipy.special import log_ndtr, logsumexp

from neurotasks import load
from neurotasks.agent import Budget, seeded, silent
from neurotasks.continual import evaluate_stream
from neurotasks.evaluate import trial_metric
from neurotasks.rendering import film
from neurotasks.tasks import continual_objects
from neurotasks.videos import BATCHES, TEST, TEST_SESSIONS, TRAIN_SESSIONS

NAMES = {scenario: scenario.replace("_", "Of") for scenario in BATCHES}


def stream(scenario, suffix=""):
    return load(f"ContinualObjects{NAMES[scenario]}{suffix}-v0")


def keys(frames):
    """Return one number for each frame."""
    return (frames.item * 100 + frames.session) * 100 + frames.frame


def clean(trials):
    """Return what frames show without noise, (N, 3, 32, 32)."""
    columns = (trials[name] for name in ("object", "session", "frame"))
    return np.stack([film(o, s, 30)[f] for o, s, f in zip(*columns, strict=True)])


@pytest.mark.parametrize(("scenario", "seed"), list(product(BATCHES, (0, 3, 17))))
def test_the_batches_are_a_partition_of_the_training_films(scenario, seed):
    task = stream(scenario)
    listed = [task.frames(seed, batch, "train") for batch in range(task.experiences)]
    assert len(listed) == BATCHES[scenario]
    films = [set(zip(f.item.tolist(), f.session.tolist(), strict=True)) for f in listed]
    assert sum(map(len, films)) == 400
    assert set.union(*films) == set(product(range(1, 51), TRAIN_SESSIONS))
    for frames, batch in zip(listed, films, strict=True):
        assert len(frames.item) == 15 * len(batch)
        assert (np.diff(frames.frame.reshape(-1, 15)) > 0).all()
    assert task.sizes(seed) == [15 * len(batch) for batch in films]


@pytest.mark.parametrize(
    ("scenario", "first", "later"),
    [
        ("NI", (50, 1), (50, 1)),
        ("NC", (10, 8), (5, 8)),
        ("NIC", (10, 1), (5, 1)),
        ("NICv2_79", (10, 1), None),
        ("NICv2_196", (10, 1), None),
        ("NICv2_391", (10, 1), (1, 1)),
    ],
)
def test_a_batch_holds_so_many_objects_and_sessions(scenario, first, later):
    task = stream(scenario)
    found = [task.frames(5, batch, "train") for batch in range(task.experiences)]
    sizes = [(len(set(f.item.tolist())), len(set(f.session.tolist()))) for f in found]
    assert sizes[0] == first
    if later:
        assert set(sizes[1:]) == {later}
    else:  # any films, of which there are so many
        assert {len(f.item) for f in found[1:]} == {390 // (task.experiences - 1) * 15}
        assert len({size[1] for size in sizes[1:]}) > 1


def test_new_objects_come_in_five_categories_and_first_in_all_ten():
    task = stream("NC")
    for seed in (0, 8):
        taught = task.taught(seed)
        batches = [np.flatnonzero(taught == batch) // 5 for batch in range(9)]
        assert batches[0].tolist() == list(range(10))
        assert [len(set(batch.tolist())) for batch in batches[1:]] == [5] * 8
        for batch in range(9):
            shown = np.unique(task.frames(seed, batch, "train").item) - 1
            assert shown.tolist() == np.flatnonzero(taught == batch).tolist()
            labels = np.unique(task.classes(seed)[shown])
            assert labels.tolist() == list(range(labels[0], labels[0] + len(shown)))
        assert sorted(task.classes(seed)) == list(range(50))


@pytest.mark.parametrize("scenario", BATCHES)
def test_the_order_is_the_seeds_own(scenario):
    task = stream(scenario)
    orders = [keys(task.frames(seed, 1, "train")) // 100 for seed in range(6)]
    assert len({tuple(order.tolist()) for order in orders}) > 4


def test_all_scenarios_of_a_seed_show_the_same_frames():
    shown = {}
    for scenario in ("NI", "NC", "NICv2_79"):
        batch = stream(scenario).dataset("train", 4)
        order = np.lexsort([batch.trials[name] for name in ("frame", "session", "object")])
        shown[scenario] = batch.x[order]
    np.testing.assert_array_equal(shown["NI"], shown["NC"])
    np.testing.assert_array_equal(shown["NI"], shown["NICv2_79"])
    assert len(shown["NI"]) == 6000


@pytest.mark.parametrize("scenario", BATCHES)
def test_every_group_of_the_test_set_is_equally_large(scenario):
    task = stream(scenario)
    for stage in ("test", "shift", "private"):
        trials = task.test(2, stage).trials
        assert set(trials["session"].tolist()) == set(TEST_SESSIONS)
        group = np.bincount(trials["group"])
        assert len(set(group.tolist())) == 1
        assert group.sum() == task.card.stage(stage).trials
        objects = np.bincount(trials["object"], minlength=51)[1:]
        early = (task.taught(2) == 0) & (scenario == "NC")
        np.testing.assert_array_equal(objects, np.where(early, 15, 30))


@pytest.mark.parametrize("scenario", BATCHES)
def test_the_category_of_an_object_is_fixed(scenario):
    batch = stream(scenario, "Category").test(3)
    np.testing.assert_array_equal(batch.y[:, 0], (batch.trials["object"] - 1) // 5)


def test_the_told_batch_stands_in_the_planes():
    task, plain = stream("NC", "Task"), stream("NC")
    batch, untold = task.test(6), plain.test(6)
    np.testing.assert_array_equal(batch.x[:, :, :3], untold.x)
    told = batch.x[:, 0, 3:]
    assert (told == told[:, :, :1, :1]).all()
    np.testing.assert_array_equal(
        told[:, :, 0, 0].argmax(axis=1), task.taught(6)[batch.trials["object"] - 1]
    )
    np.testing.assert_array_equal(batch.trials["task"], batch.trials["group"])
    pairs = set(zip(batch.trials["task"].tolist(), batch.y[:, 0].tolist(), strict=True))
    assert len(pairs) == 50  # batch and place name the object
    assert np.bincount(batch.y[batch.trials["task"] == 0, 0]).tolist() == [15] * 10


def test_the_noise_is_the_seeds_own_and_the_films_are_not():
    task = stream("NI")
    one, other = task.test(0), task.test(1)
    left = one.x[:, 0] - clean(one.trials).astype(float)
    right = other.x[:, 0] - clean(other.trials).astype(float)
    for noise in (left, right):
        assert abs(noise.mean()) < 0.02
        assert abs(noise.std() - 8) < 0.05
    assert abs(np.corrcoef(left[:200].ravel(), right[:200].ravel())[0, 1]) < 0.005
    frames = [set(keys(task.frames(seed, TEST, "test")).tolist()) for seed in (0, 1)]
    assert 400 < len(frames[0] & frames[1]) < 600  # a third of each stretch of three, by chance


def test_stages_draw_frames_and_noise_of_their_own():
    task = stream("NI")
    shown = {stage: keys(task.frames(0, TEST, stage)) for stage in ("test", "private", "shift")}
    for one, other in (("test", "private"), ("test", "shift"), ("private", "shift")):
        assert len(set(shown[one].tolist()) & set(shown[other].tolist())) < 600
    foggy = task.test(0, "shift")
    noise = foggy.x[:, 0] - (128 + 0.16 * (clean(foggy.trials).astype(float) - 128))
    assert abs(noise.mean()) < 0.05
    assert abs(noise.std() - 32) < 0.1


def test_a_test_set_that_was_handed_out_may_be_changed():
    task = stream("NI")
    task.test(0).x[:] = 0
    task.frames(0, TEST, "test").item[:] = 0
    assert task.test(0).x.mean() > 50
    assert task.frames(0, TEST, "test").item.min() == 1


def exact_evidence(images, contrast, noise):
    """Return the log-likelihood of each object, from the probability of each byte."""
    level = 128 + contrast * (np.arange(256) - 128.0)
    byte = np.arange(256)
    upper = np.where(byte == 255, np.inf, (byte + 0.5 - level[:, None]) / noise)
    lower = np.where(byte == 0, -np.inf, (byte - 0.5 - level[:, None]) / noise)
    flip = lower > 0  # the same mass in the lower tail, where the difference is exact
    low, high = log_ndtr(np.where(flip, -upper, lower)), log_ndtr(np.where(flip, -lower, upper))
    table = high + np.log1p(-np.exp(low - high))
    films = [[film(o, s, 30) for s in TEST_SESSIONS] for o in range(1, 51)]
    frames = np.array(films).reshape(50, 90, -1)
    sums = [[table[frames[o], image].sum(axis=-1) for o in range(50)] for image in images]
    return logsumexp(sums, axis=-1)


@pytest.mark.parametrize("stage", ["test", "shift"])
def test_the_density_stands_for_the_probability_of_a_byte(stage):
    """The ideal observer's beliefs are those of the exact likelihood, clipped bytes included."""
    task = stream("NI")
    images = task.test(9, stage).x[:20, 0]
    parameters = task.card.stage(stage).parameters
    found = continual_objects._evidence(images, **parameters)
    exact = exact_evidence(images.reshape(20, -1), **parameters)
    beliefs = [np.exp(e - logsumexp(e, axis=1, keepdims=True)) for e in (found, exact)]
    np.testing.assert_allclose(*beliefs, atol=0.01)


def test_the_ideal_observer_knows_the_order_of_its_seed():
    task = stream("NC", "Task")
    known, unknown = (seeded(task.ideal(), seed) for seed in (7, 8))
    assert trial_metric(task, known, seed=7).mean() == 1
    assert trial_metric(task, unknown, seed=7).mean() < 0.5


def test_raw_pixels_do_not_tell_the_object_in_a_new_place():
    """A linear classifier of the pixels learns the training frames and half of the others."""
    task = stream("NI")
    train, test = task.dataset("train", 0), task.test(0)
    x, asked = (
        np.c_[
            b.x.reshape(len(b), 3, 16, 2, 16, 2).mean(axis=(3, 5)).reshape(len(b), -1),
            np.ones(len(b)),
        ]
        / 255
        for b in (train, test)
    )
    weight = np.linalg.solve(x.T @ x + 10 * np.eye(x.shape[1]), x.T @ np.eye(50)[train.y[:, 0]])
    assert ((x @ weight).argmax(axis=1) == train.y[:, 0]).mean() > 0.8
    found = ((asked @ weight).argmax(axis=1) == test.y[:, 0]).mean()
    assert 0.35 < found < 0.65


class NearestMean:
    """Answers the class whose mean thumbnail is the nearest."""

    def learn(self, task, *, seeds, budget, log):
        if task.index == 0:
            classes = int(task.action_space.n)
            self.sums = {seed: (np.zeros((classes, 192)), np.zeros(classes)) for seed in seeds}
        for seed in seeds:
            total, count = self.sums[seed]
            batch = task.dataset("train", seed)
            np.add.at(total, batch.y[:, 0], thumbnails(batch.x))
            np.add.at(count, batch.y[:, 0], 1)
        return [Nearest(*self.sums[seed]) for seed in seeds]


class Nearest:
    def __init__(self, total, count):
        mean = total / np.maximum(count, 1)[:, None]
        self.mean = np.where(count[:, None] > 0, mean, 1e6)

    def act(self, observation, state):
        x = thumbnails(observation)
        distance = (self.mean**2).sum(axis=1) - 2 * x @ self.mean.T
        return distance.argmin(axis=1)[:, None], state


def thumbnails(x):
    small = x[:, 0, :3].reshape(-1, 3, 8, 4, 8, 4).mean(axis=(3, 5)).reshape(len(x), -1)
    return small - small.mean(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("scenario", "suffix"), [*((name, "") for name in BATCHES), ("NC", "Category")]
)
def test_every_scenario_runs_without_a_network(scenario, suffix, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no network here")

    monkeypatch.setattr(socket, "socket", refuse)
    task = stream(scenario, suffix)
    _, results = evaluate_stream(
        task, NearestMean(), seeds=[1], budget=Budget("smoke", 6000), log=silent
    )
    matrix = np.array(results["test"].extra["matrix"])
    assert matrix.shape == (1, task.experiences, 9 if scenario == "NC" else 3)
    chance = task.card.stage("test").chance
    assert results["test"].raw[0] > 1.5 * chance
    assert results["test"].raw[0] > results["shift"].raw[0] > chance / 2
    if not suffix:
        assert matrix[0, -1].mean() > matrix[0, 0].mean()  # more batches, more objects
