"""The training engine against the loop that courses teach, seed after seed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import neurotasks
from agents.devices import one_thread
from agents.training import TorchLearner
from neurotasks.agent import Budget, silent
from tests.benchmarks.course import (
    DIGITS,
    Recorded,
    Recurrent,
    assert_as_accurate,
    convolutional,
    course_loop,
    digits,
    perceptron,
)

pytestmark = pytest.mark.slow  # trains for minutes

SEEDS = tuple(range(10))


def test_engine_mlp_10_seeds(compare):
    """The same epochs on the same digits, and as many right answers within the seeds' noise."""
    epochs, task, (x, y) = 10, neurotasks.load(DIGITS), digits("train")
    settings = {"width": 64, "batch": 32, "learning_rate": 1e-2, "clip": math.inf}
    learner = TorchLearner("mlp", checks=1, device="cpu", **settings)
    budget = Budget("full", epochs * len(x))

    def ours():
        return learner.learn(task, seeds=SEEDS, budget=budget, log=silent)

    def theirs():
        return course_loop(perceptron, (x, y), 32, epochs, seeds=SEEDS)

    assert_as_accurate(ours(), theirs())
    compare("engine_mlp_10_seeds", ours, theirs, target=15.0, rounds=9)


def test_engine_cnn_10_seeds(compare):
    """Images of 28 x 28 pixels, one epoch."""
    task = Recorded((1, 28, 28), 1, np.uint8)
    x, y = torch.tensor(task.x[:, 0]) / 255.0, torch.tensor(task.y)
    learner = TorchLearner("cnn", width=64, batch=128, checks=1, device="cpu")
    budget = Budget("full", len(x))
    compare(
        "engine_cnn_10_seeds",
        lambda: learner.learn(task, seeds=SEEDS, budget=budget, log=silent),
        lambda: course_loop(convolutional, (x, y), 128, 1, seeds=SEEDS),
        target=1.6,
        rounds=5,
    )


def test_engine_gru_10_seeds(compare):
    """Sequences of 40 steps, 32 units, one epoch."""
    task = Recorded((8,), 40, np.float32)
    x, y = torch.tensor(task.x), torch.tensor(task.y)
    learner = TorchLearner("gru", width=32, batch=64, checks=1, device="cpu")
    budget = Budget("full", len(x))
    compare(
        "engine_gru_10_seeds",
        lambda: learner.learn(task, seeds=SEEDS, budget=budget, log=silent),
        lambda: course_loop(lambda: Recurrent(8, 32), (x, y), 64, 1, seeds=SEEDS),
        target=1.5,
        rounds=5,
    )


def hand_written(x, y, batch, epochs):
    """The tightest loop that one writes by hand: data as one tensor, batches by index."""
    with one_thread(), torch.random.fork_rng():
        torch.manual_seed(0)
        model = perceptron()
        optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
        for _ in range(epochs):
            for index in torch.randperm(len(x)).split(batch):
                loss = nn.functional.cross_entropy(model(x[index]), y[index])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()


def test_engine_one_seed_overhead(compare):
    """One seed, so that nothing is gained by stacking: what the engine itself costs."""
    epochs, task, (x, y) = 20, neurotasks.load(DIGITS), digits("train")
    learner = TorchLearner("mlp", width=64, batch=32, checks=1, device="cpu")
    budget = Budget("full", epochs * len(x))
    compare(
        "engine_one_seed_overhead",
        lambda: learner.learn(task, seeds=(0,), budget=budget, log=silent),
        lambda: hand_written(x, y, 32, epochs),
        target=0.9,
    )
