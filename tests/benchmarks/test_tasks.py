"""Stepping and sampling of every task against a fixed piece of NumPy work."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

import neurotasks
from neurotasks.errors import MissingData, MissingExtra
from neurotasks.registry import task_class

WORLDS = 64
STEPS = 256  # enough for worlds that draw trials ahead to do so several times
TRIALS = 2048


def one_of_each_file(*forms: str) -> list:
    """Return the labels of tasks of some forms; all but the first of each file are slow to ask."""
    known, labels = set(), []
    for card in (card for card in neurotasks.cards() if card.form in forms):
        file = task_class(card.id).__module__
        labels.append(pytest.param(card.label, marks=[pytest.mark.slow] if file in known else []))
        known.add(file)
    return labels


@pytest.mark.parametrize("label", one_of_each_file("trial", "control", "stream"))
def test_step(compare, yardstick, label, recorded_cache):
    del recorded_cache
    try:
        worlds = gymnasium.make_vec(f"neurotasks/{label}", num_envs=WORLDS)
        worlds.reset(seed=0)
    except (MissingData, MissingExtra) as error:
        pytest.skip(str(error))
    worlds.single_action_space.seed(0)
    actions = [
        np.stack([worlds.single_action_space.sample() for _ in range(WORLDS)]) for _ in range(8)
    ]

    def work() -> None:
        for step in range(STEPS):
            worlds.step(actions[step % 8])

    compare(f"step_{label}", work, yardstick)


@pytest.mark.parametrize("label", one_of_each_file("trial", "stream"))
def test_sample(compare, yardstick, label, recorded_cache):
    del recorded_cache
    task = neurotasks.load(label)
    try:
        task.sample(1, 0, "test")
    except (MissingData, MissingExtra) as error:
        pytest.skip(str(error))
    compare(f"sample_{label}", lambda: task.sample(TRIALS, 0, "test"), yardstick)
