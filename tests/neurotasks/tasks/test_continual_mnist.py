from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from neurotasks import load, scenarios, sources
from neurotasks.errors import MissingData
from neurotasks.tasks import continual_mnist

SCENARIOS = ("Task", "Domain", "Class")
SPLIT = [f"SplitMNIST{scenario}-v0" for scenario in SCENARIOS]
WHOLE = [f"{p}MNIST{scenario}-v0" for p in ("Permuted", "Rotated") for scenario in SCENARIOS]
EXPERIENCES = {"Split": 5, "Permuted": 10, "Rotated": 5}


def forget():
    """Empty the caches, which know but one set of images."""
    continual_mnist._mnist.cache_clear()
    scenarios._order.cache_clear()


@pytest.fixture
def miniature(monkeypatch):
    """Put 80 training and 30 test images in the place of MNIST."""
    generator = np.random.Generator(np.random.Philox(key=5))
    arrays = {
        "train_images": generator.integers(0, 256, (80, 28, 28)).astype(np.uint8),
        "train_labels": (np.arange(80) % 10).astype(np.uint8),
        "test_images": generator.integers(0, 256, (30, 28, 28)).astype(np.uint8),
        "test_labels": (np.arange(30) * 7 % 10).astype(np.uint8),
    }
    source = type("Miniature", (), {"load": lambda _: arrays})()
    forget()
    monkeypatch.setattr(sources, "get", lambda _: source)
    yield arrays
    forget()


@pytest.fixture
def real(recorded_cache, real_data):
    """Use the real images."""
    forget()
    yield recorded_cache, real_data
    forget()


def spread_over_orders(counts, answer, scenario):
    """Return mean and deviation of a constant answer's accuracy over all orders of the digits."""
    share = {(a, b): counts[a] / (counts[a] + counts[b]) for a, b in permutations(range(10), 2)}
    if scenario == "Class":  # right in the one of five experiences that has the digit
        found = np.array([share[answer, other] / 5 for other in range(10) if other != answer])
        return found.mean(), found.std()
    # The sides of five pairs are drawn without regard to each other, so their variances add up.
    found = np.array(list(share.values()))
    return found.mean(), np.sqrt((found - found.mean()).var() / 5)


@pytest.mark.parametrize("label", [*SPLIT, *WHOLE])
def test_the_miniature_goes_through_every_stream(label, miniature):
    task = load(label)
    protocol = label.split("MNIST")[0]
    assert task.experiences == EXPERIENCES[protocol]
    split = protocol == "Split"
    assert sum(task.sizes(1)) == 80 * (1 if split else task.experiences)
    batch, test = task.experience(1, 1), task.test(1)
    assert len(test) == 30 * (1 if split else task.experiences)
    assert test.x.shape == (len(test), 1, 1 + task.told, 28, 28)
    digits = np.concatenate([miniature["train_labels"], miniature["test_labels"]])
    rows = digits[batch.trials["row"]], digits[test.trials["row"]]
    assert [len(np.unique(found)) for found in rows] == [2 if split else 10, 10]
    assert batch.trials["row"].max() < 80 <= test.trials["row"].min()
    assert test.y.max() < task.action_space.n


def test_the_first_experience_shows_the_images_of_the_source(miniature):
    batch = load("PermutedMNISTDomain-v0").experience(0, 2)
    rows = batch.trials["row"]
    np.testing.assert_array_equal(batch.x[:, 0, 0], miniature["train_images"][rows])
    np.testing.assert_array_equal(batch.y[:, 0], miniature["train_labels"][rows])


def test_pixels_are_permuted_and_none_is_lost(miniature):
    task = load("PermutedMNISTDomain-v0")
    shown = []
    for index in range(1, 10):
        batch = task.experience(index, 0)
        before = miniature["train_images"][batch.trials["row"]].reshape(80, -1)
        after = batch.x.reshape(80, -1)
        np.testing.assert_array_equal(np.sort(before), np.sort(after))
        assert (before != after).mean() > 0.9
        shown.append(after[batch.trials["row"].argmin()].tobytes())
    assert len(set(shown)) == 9


def test_without_the_images_the_cure_is_named(monkeypatch, tmp_path):
    forget()
    monkeypatch.setenv("NEUROTASKS_DATA", str(tmp_path))
    with pytest.raises(MissingData, match="neurotasks data fetch mnist"):
        load("SplitMNISTClass-v0").test(0)


@pytest.mark.usefixtures("real")
@pytest.mark.parametrize("label", SPLIT)
def test_chance_of_the_split_streams_is_the_mean_over_all_orders(label):
    task = load(label)
    counts = np.bincount(sources.get("mnist").load()["test_labels"])
    stage = task.card.stages["test"]
    found = [spread_over_orders(counts, answer, task.scenario) for answer in range(10)]
    mean, spread = found[task.frequent]
    assert mean == pytest.approx(max(mean for mean, _ in found))  # the best constant
    assert stage.chance == pytest.approx(mean, abs=5e-5)
    assert stage.chance_error == pytest.approx(spread, abs=5e-5)


@pytest.mark.usefixtures("real")
def test_constant_answers_land_on_chance_of_the_split_streams():
    for label in SPLIT:
        task = load(label)
        stage, seeds = task.card.stages["test"], 40
        labels = np.bincount(sources.get("mnist").load()["test_labels"])
        earned = []
        for seed in range(seeds):
            place = scenarios._place(task, seed)
            wanted = np.arange(10) if task.scenario == "Class" else place % 2
            size = np.bincount(place // 2, labels)
            right = np.bincount(place // 2, labels * (wanted == task.frequent))
            earned.append((right / size).mean())
        error = stage.chance_error / np.sqrt(seeds)
        assert np.mean(earned) == pytest.approx(stage.chance, abs=4 * error)
        assert np.std(earned) == pytest.approx(stage.chance_error, rel=0.4)


@pytest.mark.usefixtures("real")
@pytest.mark.parametrize("label", WHOLE)
def test_the_most_frequent_class_earns_chance_and_no_other_more(label):
    task = load(label)
    stage = task.card.stages["test"]
    rows, group = task.tested(3)
    assert len(rows) == stage.trials == task.card.splits["test"]
    labels = task.label(task.images.labels[rows], group, 3)
    right = np.bincount(labels, minlength=task.action_space.n) / len(rows)
    assert right.max() == right[task.frequent] == pytest.approx(stage.chance, abs=1e-12)
    assert stage.chance_error == 0


@pytest.mark.usefixtures("real")
@pytest.mark.parametrize("label", [*SPLIT, *WHOLE])
def test_the_card_tells_the_sizes_of_the_real_images(label):
    task = load(label)
    assert sum(task.sizes(0)) == task.card.splits["train"]
    assert task.card.stages["test"].trials == task.card.splits["test"]
