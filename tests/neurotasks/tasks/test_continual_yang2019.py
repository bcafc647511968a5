from __future__ import annotations

import numpy as np
import pytest

import neurotasks
from neurotasks.evaluate import trial_metric
from neurotasks.tasks.continual_yang2019 import PLACES, RULE, RULES, TRAINED


@pytest.fixture(scope="module")
def task():
    return neurotasks.load("ContinualYang2019-v0")


def test_the_ceiling_is_the_mean_of_the_rules_own(task):
    cards = [neurotasks.load(f"Yang2019{rule}-v0").card for rule in RULES]
    own = [card.stages["test"].ceiling for card in cards]
    assert task.card.stages["test"].ceiling == pytest.approx(np.mean(own), abs=1e-4)
    assert task.card.steps == max(card.steps for card in cards)


@pytest.mark.parametrize("seed", [0, 5])
def test_an_experience_is_one_rule_and_the_test_holds_all_in_its_order(task, seed):
    test, orders = task.test(seed), []
    for index in range(task.experiences):
        batch = task.experience(index, seed)
        assert len(batch) == TRAINED
        (place,) = np.unique(batch.x[:, 0, RULE:].argmax(axis=1))
        orders.append(int(place))
        shown = test.x[test.trials["group"] == index, 0, RULE:].argmax(axis=1)
        assert set(shown.tolist()) == {place}
    assert sorted(orders) == sorted(PLACES)


def test_trials_are_those_of_the_rules_own_tasks(task):
    batch = task.experience(0, 1)
    name = RULES[PLACES.index(int(batch.x[0, 0, RULE:].argmax()))]
    own = neurotasks.load(f"Yang2019{name}-v0").sample(TRAINED, 1, "train")
    steps = own.x.shape[1]
    np.testing.assert_array_equal(batch.x[:, :steps], own.x)
    np.testing.assert_array_equal(batch.mask[:, :steps], own.mask)
    assert not batch.mask[:, steps:].any()
    assert not batch.x[:, steps:].any()


def test_the_orders_of_seeds_differ(task):
    def order(seed):
        return [task.experience(i, seed).x[0, 0, RULE:].argmax() for i in range(6)]

    assert len({tuple(order(seed)) for seed in range(5)}) > 1


def test_the_ideal_observer_lands_on_the_ceiling_in_every_group(task):
    values = np.concatenate([trial_metric(task, task.ideal(), seed=s) for s in range(4)])
    ceiling = task.card.stages["test"].ceiling
    assert abs(values.mean() - ceiling) < 4 * values.std() / np.sqrt(len(values))
