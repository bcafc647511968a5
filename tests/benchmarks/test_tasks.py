"""Stepping and sampling of every task against a fixed piece of NumPy work."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

import neurotasks
from neurotasks.errors import MissingData, MissingExtra

WORLDS = 64
STEPS = 256  # enough for worlds that draw trials ahead to do so several times
TRIALS = 2048
CARDS = neurotasks.cards()


@pytest.mark.parametrize("label", [card.label for card in CARDS])
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


@pytest.mark.parametrize("label", [card.label for card in CARDS if card.form != "control"])
def test_sample(compare, yardstick, label, recorded_cache):
    del recorded_cache
    task = neurotasks.load(label)
    try:
        task.sample(1, 0, "test")
    except (MissingData, MissingExtra) as error:
        pytest.skip(str(error))
    compare(f"sample_{label}", lambda: task.sample(TRIALS, 0, "test"), yardstick)
