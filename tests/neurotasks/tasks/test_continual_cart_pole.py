from __future__ import annotations

import numpy as np
import pytest

import neurotasks
from neurotasks.evaluate import trial_metric
from neurotasks.rng import Draw
from neurotasks.tasks.continual_cart_pole import KINDS


@pytest.fixture(scope="module")
def task():
    return neurotasks.load("ContinualCartPole-v0")


def play(task, world, actions, worlds=8):
    draw = Draw("ContinualCartPole-v0", "test", 3, 0, worlds)
    state, seen = task.initial(draw, world=world), []
    for action in actions:
        state, _, ended = task.step(state, np.full(worlds, action), draw, world=world)
        seen.append((task.observe(state), ended))
    return seen


def test_the_kinds_come_by_turns_and_the_observation_tells_them(task):
    (seen, _), *_ = play(task, None, [0])
    np.testing.assert_array_equal(seen[:, 4:].argmax(axis=1), np.arange(8) % 4)
    np.testing.assert_array_equal(seen[:, 4:].sum(axis=1), 1.0)


def test_each_kind_moves_as_it_does_alone(task):
    actions = [0, 1, 1, 0, 1]
    mixed = play(task, None, actions)
    for kind in range(len(KINDS)):
        alone = play(task, kind, actions)
        for (seen, ended), (own, over) in zip(mixed, alone, strict=True):
            np.testing.assert_allclose(seen[kind::4, :4], own[kind::4, :4], rtol=1e-6)
            np.testing.assert_array_equal(ended[kind::4], over[kind::4])


def test_mirrored_carts_go_the_other_way(task):
    (plain, _), *_ = play(task, 0, [1])
    (mirrored, _), *_ = play(task, 2, [1])
    (left, _), *_ = play(task, 0, [0])
    np.testing.assert_allclose(mirrored[:, :4], left[:, :4], rtol=1e-6)
    assert (plain[:, 1] > mirrored[:, 1]).all()


@pytest.mark.parametrize("kind", range(4))
def test_the_ideal_controller_balances_every_kind(task, kind):
    world = task.stream()[kind]
    assert (world.index, world.experiences) == (kind, 4)
    assert trial_metric(world, task.ideal(), seed=1, trials=50).min() == 500.0


def test_a_kind_is_the_same_task_under_the_same_label(task):
    world = task.stream()[1]
    assert world.card.id == task.card.id
    assert world.card.stage("train").parameters == {"world": 1}
    assert task.card.stage("train").parameters == {"world": None}
    assert world.whole is task
