from __future__ import annotations

import sys

import numpy as np
import pytest

import neurotasks
from neurotasks import sources
from neurotasks.errors import MissingData, MissingExtra, UnknownStage
from neurotasks.evaluate import trial_metric
from neurotasks.tasks import image_classification

SPLITS = ("train", "validation", "test")


@pytest.fixture
def digits():
    pytest.importorskip("sklearn")
    return neurotasks.load("ImageClassificationDigits-v0")


@pytest.fixture
def pretend(monkeypatch):
    """Return a function that makes a source hold this many training pictures."""

    def hold(count):
        images = np.zeros((count, 28, 28), np.uint8)
        images[:, 0, 0] = np.arange(count) % 251
        arrays = {
            "test_images": np.zeros((10, 28, 28), np.uint8),
            "test_labels": np.arange(10, dtype=np.uint8),
        }
        if count:
            arrays |= {"train_images": images, "train_labels": np.zeros(count, np.uint8)}
        source = type("Pretended", (), {"load": lambda _: arrays})()
        monkeypatch.setattr(sources, "get", lambda _: source)

    return hold


def show(task, split, count, seed=0, **parameters):
    draw = neurotasks.Draw(task.card.label, "train", seed, 0, count, split=split)
    return task.generate(draw, **parameters)


def flat(batch):
    return batch.x.reshape(len(batch), -1) / 255.0, batch.y[:, 0]


def test_the_digits_are_split_within_each_class(digits):
    parts = {split: digits.dataset(split) for split in SPLITS}
    assert {split: len(part) for split, part in parts.items()} == dict(digits.card.splits)
    counts = np.array([np.bincount(part.y[:, 0], minlength=10) for part in parts.values()])
    whole = counts.sum(axis=0)
    assert whole.sum() == 1797
    assert np.all(np.abs(counts / whole - [[0.6], [0.2], [0.2]]) < 0.015)
    for part in parts.values():
        assert len(set(part.trials["row"].tolist())) == len(part)
    assert parts["test"].x.max() == 255


@pytest.mark.parametrize("stage", ["test", "shift"])
def test_always_the_same_digit_lands_on_chance(digits, stage):
    value = trial_metric(digits, digits.trivial(stage), seed=3, stage=stage).mean()
    assert value == pytest.approx(digits.card.stage(stage).chance, abs=1e-12)
    answers = digits.dataset("test").y[:, 0]
    assert np.bincount(answers).max() / len(answers) == digits.card.stage(stage).chance


def test_a_moved_picture_is_one_of_nine(digits):
    still = show(digits, "train", 400, noise=0, reach=0).x[:, 0, 0]
    moved = show(digits, "train", 400, noise=0, reach=1).x[:, 0, 0]
    wide = np.pad(still, ((0, 0), (1, 1), (1, 1)))
    places = [(i, j) for i in range(3) for j in range(3)]
    same = np.array([(moved == wide[:, i : i + 8, j : j + 8]).all(axis=(1, 2)) for i, j in places])
    assert same.any(axis=0).all()
    assert same.any(axis=1).all()


def test_noise_stays_within_its_bound(digits):
    still = show(digits, "train", 50, noise=0, reach=0).x.astype(int)
    noisy = show(digits, "train", 50, noise=32, reach=0).x.astype(int)
    grain = (noisy - still)[(still >= 32) & (still <= 223)]
    assert grain.min() == -32
    assert grain.max() == 32
    assert abs(grain.mean()) < 1.5
    again = show(digits, "train", 50, noise=32, reach=0, seed=1).x
    assert not np.array_equal(again, noisy)


def test_torch_shows_exactly_the_same(digits):
    pytest.importorskip("torch")
    from array_api_compat import torch as xp  # noqa: PLC0415

    here, there = (digits.sample(range(7, 60), 2, "shift", xp=which) for which in (np, xp))
    assert np.array_equal(here.x, there.x.numpy())
    assert np.array_equal(here.y, there.y.numpy())


def test_logistic_regression_reads_digits_and_stumbles_when_they_shift(digits):
    linear_model = pytest.importorskip("sklearn.linear_model")
    model = linear_model.LogisticRegression(max_iter=1000).fit(*flat(digits.dataset("train")))
    assert model.score(*flat(digits.dataset("test"))) > 0.95
    assert 0.2 < model.score(*flat(digits.sample(355, 0, "shift"))) < 0.6


@pytest.mark.slow
def test_the_reference_run_gives_the_ceiling_of_the_digits(digits):
    svm = pytest.importorskip("sklearn.svm")
    for stage, noise, seeds in (("test", 0, range(9)), ("shift", 32, range(12))):
        reach = [0 if seed == 0 and stage == "test" else 1 for seed in seeds]
        parts = [
            flat(show(digits, "train", 1085, seed, noise=noise, reach=r))
            for seed, r in zip(seeds, reach, strict=True)
        ]
        images, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
        model = svm.SVC(gamma=0.05, C=10).fit(images, labels)
        shown = [flat(digits.sample(355, seed, stage)) for seed in range(20 if noise else 1)]
        accuracy = np.mean([model.score(*trials) for trials in shown])
        anchors = digits.card.stage(stage)
        assert accuracy == pytest.approx(anchors.ceiling, abs=max(0.003, anchors.ceiling_error))


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    image_classification._digits.cache_clear()
    sources.digits.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtra, match=r"pip install 'neurotasks\[digits\]'"):
        neurotasks.load("ImageClassificationDigits-v0").dataset("test")


def test_a_part_of_fashion_mnist_is_never_taken_for_the_whole(pretend):
    task = neurotasks.load("ImageClassificationFashionMNIST-v0")
    pretend(20_000)
    message = (
        r"split 'train' of 'fashion_mnist' needs the first 60,000 training pictures, and 20,000 "
        r"are there; use the split 'train15k', or get the whole: run `neurotasks data fetch fash"
    )
    with pytest.raises(MissingData, match=message):
        task.dataset("train")
    part = task.dataset("train15k")
    assert sorted(part.x[:, 0, 0, 0, 0]) == sorted(np.arange(5_000, 20_000) % 251)
    assert len(task.dataset("validation")) == 5_000
    pretend(60_000)
    assert len(task.dataset("train")) == 55_000
    assert len(task.dataset("train15k")) == 15_000


def test_without_training_pictures_the_test_set_still_works(pretend):
    task = neurotasks.load("ImageClassificationFashionMNIST-v0")
    pretend(0)
    assert task.sample(10, stage="test").y[:, 0].tolist() == list(range(10))
    with pytest.raises(MissingData, match="and 0 are there; get the whole"):
        task.dataset("train15k")


def test_an_unknown_split_and_a_private_stage_are_refused(digits):
    with pytest.raises(UnknownStage, match="no split 'training'; it has train, validation, test"):
        digits.dataset("training")
    with pytest.raises(UnknownStage, match="no split 'training'"):
        digits.sample(3, split="training")
    with pytest.raises(UnknownStage, match="its data are fixed and public"):
        digits.sample(3, stage="private")


@pytest.mark.usefixtures("recorded_cache", "real_data")
@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST"])
@pytest.mark.parametrize("stage", ["test", "shift"])
def test_always_the_same_class_lands_on_chance(name, stage):
    task = neurotasks.load(f"ImageClassification{name}-v0")
    value = trial_metric(task, task.trivial(stage), seed=1, stage=stage).mean()
    assert value == pytest.approx(task.card.stage(stage).chance, abs=1e-12)


@pytest.mark.usefixtures("recorded_cache", "real_data")
@pytest.mark.parametrize(
    ("name", "split", "least"), [("MNIST", "train", 0.85), ("FashionMNIST", "train15k", 0.75)]
)
def test_logistic_regression_reads_the_recorded_pictures(name, split, least):
    linear_model = pytest.importorskip("sklearn.linear_model")
    task = neurotasks.load(f"ImageClassification{name}-v0")
    images, labels = flat(task.sample(3000, 0, "train", split=split))
    model = linear_model.LogisticRegression(max_iter=200, C=0.05).fit(images, labels)
    assert model.score(*flat(task.dataset("test"))) > least
