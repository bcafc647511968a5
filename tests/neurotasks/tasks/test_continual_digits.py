from __future__ import annotations

import socket
import sys

import numpy as np
import pytest

from neurotasks import load, scenarios, sources
from neurotasks.agent import Budget, silent
from neurotasks.continual import evaluate_stream
from neurotasks.errors import MissingExtra, NoIdealObserver
from neurotasks.tasks import continual_digits

pytest.importorskip("sklearn")

SPLIT = ["SplitDigitsTask-v0", "SplitDigitsDomain-v0", "ContinualDigits-v0"]
WHOLE = [
    f"{protocol}Digits{scenario}-v0"
    for protocol in ("Permuted", "Rotated")
    for scenario in ("Task", "Domain", "Class")
]


@pytest.fixture
def task():
    return load("ContinualDigits-v0")


class Constant:
    """A learner that learns nothing and answers one digit."""

    def __init__(self, task, digit):
        self.task, self.digit = task, digit

    def learn(self, task, *, seeds, budget, log):
        return [self for _ in seeds]

    def act(self, observation, state):
        return np.full(observation.shape[:2], self.digit), state


def digit_of(batch):
    return continual_digits._digits().labels[batch.trials["row"]]


@pytest.mark.parametrize("label", SPLIT)
def test_each_experience_teaches_two_digits_and_all_are_taught_once(label):
    task = load(label)
    taught = [np.unique(digit_of(task.experience(i, 4))) for i in range(task.experiences)]
    assert [len(digits) for digits in taught] == [2] * 5
    assert sorted(np.concatenate(taught)) == list(range(10))


@pytest.mark.parametrize("label", WHOLE)
def test_each_experience_teaches_all_digits_and_tests_each_as_often(label):
    task = load(label)
    batch, test = task.experience(3, 4), task.test(4)
    assert np.bincount(digit_of(batch)).min() >= 129
    assert len(batch) == 1347
    counts = np.zeros((5, 10), dtype=int)
    np.add.at(counts, (test.trials["group"], digit_of(test)), 1)
    assert (counts == 45).all()


@pytest.mark.parametrize("label", [*SPLIT, *WHOLE])
def test_the_card_tells_the_sizes(label):
    task = load(label)
    assert sum(task.sizes(3)) == task.card.splits["train"] == len(task.dataset("train", 3))
    assert len(task.test(3)) == task.card.splits["test"] == task.card.stages["test"].trials


@pytest.mark.parametrize("label", [*SPLIT, *WHOLE])
def test_all_streams_hold_out_the_same_images(label):
    assert set(load(label).test(1).trials["row"]) == set(continual_digits._digits().test)


@pytest.mark.parametrize("label", [*SPLIT, *WHOLE])
@pytest.mark.parametrize("seed", [0, 9])
def test_any_constant_is_right_exactly_as_often_as_chance_says(label, seed):
    task = load(label)
    test = task.test(seed)
    group, size = test.trials["group"], np.bincount(test.trials["group"])
    for answer in range(task.action_space.n):
        right = np.bincount(group, test.y[:, 0] == answer) / size
        assert right.mean() == pytest.approx(task.card.stages["test"].chance, abs=1e-12)


def test_every_training_image_comes_once_and_no_test_image(task):
    rows = np.concatenate([task.experience(i, 2).trials["row"] for i in range(task.experiences)])
    test = task.test(2).trials["row"]
    assert len(rows) == task.card.splits["train"]
    assert sorted(np.concatenate((rows, test))) == list(range(1797))


def test_the_test_set_holds_45_images_of_each_digit_and_is_the_same_for_all_seeds(task):
    one, two = task.test(0), task.test(1)
    assert np.bincount(one.y[:, 0]).tolist() == [45] * 10
    np.testing.assert_array_equal(one.x, two.x)


def test_the_group_is_the_experience_that_teaches_the_digit(task):
    test = task.test(7)
    for index in range(task.experiences):
        batch = task.experience(index, 7)
        tested = test.y[test.trials["group"] == index]
        assert set(tested[:, 0]) == set(batch.y[:, 0])
        assert set(batch.trials["group"]) == {index}


def test_the_order_of_digits_and_of_images_is_the_seeds_own(task):
    first = [task.experience(0, seed) for seed in range(6)]
    assert len({tuple(np.unique(batch.y)) for batch in first}) > 1
    again = task.experience(0, 0)
    np.testing.assert_array_equal(first[0].x, again.x)
    assert (np.diff(again.y[:, 0]) != 0).sum() > 50  # the two digits come mixed


def test_images_span_the_bytes(task):
    x = task.test(0).x
    assert (x.dtype, x.shape, x.min(), x.max()) == (np.uint8, (450, 1, 1, 8, 8), 0, 255)


def test_the_images_are_those_of_the_library(task):
    from sklearn.datasets import load_digits  # noqa: PLC0415

    bunch, test = load_digits(), task.test(0)
    rows = test.trials["row"]
    np.testing.assert_array_equal(test.y[:, 0], bunch.target[rows])
    np.testing.assert_allclose(test.x[:, 0, 0] * (16 / 255), bunch.images[rows], atol=0.04)


@pytest.mark.parametrize("digit", [0, 9])
def test_any_constant_answer_earns_exactly_chance(task, digit):
    budget = Budget("smoke", 100)
    _, results = evaluate_stream(
        task, Constant(task, digit), seeds=[0, 1], budget=budget, log=silent
    )
    result = results["test"]
    np.testing.assert_allclose(result.raw, 0.1)
    np.testing.assert_allclose(result.score, 0.0, atol=1e-12)


def test_a_caller_cannot_change_the_task(task):
    task.test(0).x[:] = 0
    batch = task.experience(0, 0)
    batch.x[:] = 0
    batch.trials["row"][:] = 0
    assert task.test(0).x.max() == 255
    assert len(set(task.experience(0, 0).trials["row"])) == len(batch)


def test_needs_no_network(task, monkeypatch):
    continual_digits._digits.cache_clear()
    monkeypatch.setattr(socket, "socket", None)
    assert len(task.test(0)) == 450


def test_without_scikit_learn_the_extra_is_named(task, monkeypatch):
    continual_digits._digits.cache_clear()
    scenarios._order.cache_clear()
    sources.digits.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtra, match=r"pip install 'neurotasks\[digits\]'"):
        task.experience(0, 0)


def test_nobody_knows_the_best_answer(task):
    with pytest.raises(NoIdealObserver, match="reference"):
        task.ideal()
