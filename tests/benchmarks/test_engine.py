"""The training engine against the loop that courses teach, seed after seed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import neurotasks
from agents.devices import one_thread
from agents.training import TorchLearner
from neurotasks.agent import Budget, silent
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import ACCURACY
from neurotasks.task import Batch, TrialTask, rows

pytestmark = pytest.mark.slow  # trains for minutes

SEEDS = tuple(range(10))
DIGITS = "ImageClassificationDigits-v0"
CLASSES = 8


class Recorded(TrialTask):
    """A thousand random trials with labels, as if they had been recorded."""

    def __init__(self, shape, steps, dtype):
        generator = np.random.default_rng(0)
        self.card = TaskCard(
            name="Recorded",
            version=0,
            form="trial",
            topic="test",
            courses=("none",),
            summary="Say which label stands beside a random trial.",
            metric=ACCURACY,
            ceiling="exact",
            ceiling_source="labels are random",
            chance_source="labels are random",
            data="embedded",
            steps=steps,
            stages={"test": Stage(trials=10, chance=1 / CLASSES, ceiling=1.0)},
            splits={"train": 1024},
            licence="generated; MIT",
            citation="none",
        )
        high = 255 if dtype == np.uint8 else 1
        self.observation_space = spaces.Box(0, high, shape, dtype)
        self.action_space = spaces.Discrete(CLASSES)
        self.x = (generator.random((1024, steps, *shape)) * high).astype(dtype)
        self.y = generator.integers(0, CLASSES, (1024, steps))

    def generate(self, draw):
        row = rows(draw, len(self.x))
        return Batch(self.x[row], self.y[row], np.ones(self.y[row].shape, dtype=np.bool_))

    def trivial(self, stage="test"):
        raise NotImplementedError


class Recurrent(nn.Module):
    """Torch's own gated recurrent units and a readout, as courses write it."""

    def __init__(self, features, width):
        super().__init__()
        self.cells = nn.GRU(features, width, batch_first=True)
        self.output = nn.Linear(width, CLASSES)

    def forward(self, x):
        return self.output(self.cells(x)[0]).flatten(0, 1)


def perceptron(width=64):
    return nn.Sequential(
        nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)
    )


def convolutional(width=64):
    return nn.Sequential(
        nn.Conv2d(1, width // 8, 3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(width // 8, width // 4, 3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(width // 4 * 49, width),
        nn.ReLU(),
        nn.Linear(width, CLASSES),
    )


def course_loop(build, x, y, batch, epochs):
    """Train as course notebooks do, one seed after the other, and return the networks."""
    networks = []
    with one_thread(), torch.random.fork_rng():
        for seed in SEEDS:
            torch.manual_seed(seed)
            loader = DataLoader(TensorDataset(x, y), batch_size=batch, shuffle=True)
            model, criterion = build(), nn.CrossEntropyLoss()
            optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
            for _ in range(epochs):
                for inputs, labels in loader:
                    optimiser.zero_grad()
                    loss = criterion(model(inputs), labels.flatten())
                    loss.backward()
                    optimiser.step()
            networks.append(model)
    return networks


def digits(split):
    batch = neurotasks.load(DIGITS).dataset(split)
    return torch.tensor(batch.x).flatten(1) / 16.0, torch.tensor(batch.y[:, 0])


def accuracy(networks, x, y):
    with torch.no_grad():
        return float(np.mean([(net(x).argmax(-1) == y).float().mean() for net in networks]))


def test_engine_mlp_10_seeds(compare):
    """The same epochs on the same digits, and as many right answers within the seeds' noise."""
    epochs, task, (x, y) = 10, neurotasks.load(DIGITS), digits("train")
    settings = {"width": 64, "batch": 32, "learning_rate": 1e-2, "clip": math.inf}
    learner = TorchLearner("mlp", checks=1, device="cpu", **settings)
    budget = Budget("full", epochs * len(x))
    held_x, held_y = digits("test")
    test = task.dataset("test")
    agents = learner.learn(task, seeds=SEEDS, budget=budget, log=silent)
    ours = np.mean([(agent.act(test.x, None)[0] == test.y).mean() for agent in agents])
    theirs = accuracy(course_loop(perceptron, x, y, 32, epochs), held_x, held_y)
    assert ours == pytest.approx(theirs, abs=0.01)
    compare(
        "engine_mlp_10_seeds",
        lambda: learner.learn(task, seeds=SEEDS, budget=budget, log=silent),
        lambda: course_loop(perceptron, x, y, 32, epochs),
        target=15.0,
        rounds=9,
    )


def test_engine_cnn_10_seeds(compare):
    """Images of 28 x 28 pixels, one epoch."""
    task = Recorded((1, 28, 28), 1, np.uint8)
    x, y = torch.tensor(task.x[:, 0]) / 255.0, torch.tensor(task.y)
    learner = TorchLearner("cnn", width=64, batch=128, checks=1, device="cpu")
    budget = Budget("full", len(x))
    compare(
        "engine_cnn_10_seeds",
        lambda: learner.learn(task, seeds=SEEDS, budget=budget, log=silent),
        lambda: course_loop(convolutional, x, y, 128, 1),
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
        lambda: course_loop(lambda: Recurrent(8, 32), x, y, 64, 1),
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
