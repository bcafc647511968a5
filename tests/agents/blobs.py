"""A small stream of images, and how strategies of Avalanche are taught it."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from agents.avalanche import quiet
from agents.avalanche_loader import fast
from agents.isolation import isolated
from neurotasks import load
from neurotasks.task import Batch, StreamTask, tell

CLASSES, SIDE = 6, 5


class Blobs(StreamTask):
    """Noisy patterns, two classes in each of three experiences, answers from 7 up."""

    card = load("ContinualDigits-v0").card
    action_space = spaces.Discrete(CLASSES, start=7)
    experiences = 3

    def __init__(self, told=0, steps=1, groups=3):
        self.told, self.steps, self.groups = told, steps, groups
        self.observation_space = spaces.Box(0, 255, (1 + told, SIDE, SIDE), np.uint8)
        self.patterns = np.random.default_rng(0).integers(0, 128, (CLASSES, 1, SIDE, SIDE))
        self.loaded = []

    def trials(self, y, seed):
        noise = np.random.default_rng(seed).integers(0, 128, (len(y), self.steps, 1, SIDE, SIDE))
        x = (self.patterns[y][:, None] + noise).astype(np.uint8)
        x = np.stack([tell(x[:, t], y // 2, self.told) for t in range(self.steps)], axis=1)
        steps = np.arange(self.steps)
        mask = np.broadcast_to((steps > 0) | (self.steps == 1), (len(y), self.steps)).copy()
        table = {"group": y // 2 % self.groups} | ({"task": y // 2} if self.told else {})
        return Batch(x, (y[:, None] + 7 + steps * 0), mask, table)

    def experience(self, index, seed):
        self.loaded.append(index)
        y = np.random.default_rng([seed, index]).permutation(np.arange(60) % 2) + 2 * index
        return self.trials(y, 10 * seed + index)

    def test(self, seed, stage="test"):
        return self.trials(np.arange(30) % CLASSES, 1000 + seed)

    def trivial(self, stage="test"):
        raise NotImplementedError


class Featured(nn.Module):
    """A network with the parts that iCaRL, CWR* and others look for."""

    def __init__(self):
        super().__init__()
        self.feature_extractor = nn.Sequential(nn.Flatten(), nn.Linear(25, 16), nn.ReLU())
        self.classifier = nn.Linear(16, CLASSES)

    def forward(self, x):
        return self.classifier(self.feature_extractor(x))


def dropping():
    """A network that draws random numbers as it learns."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(25, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, CLASSES)
    )


def weights(strategy):
    return torch.cat([p.detach().flatten() for p in strategy.model.parameters()])


def trained(make, stream, *, gather, network=dropping, **settings):
    """Return a strategy after a stream, learned and evaluated experience after experience."""
    with quiet(), isolated(3):
        model = network()
        strategy = make(
            model=model,
            optimizer=torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9),
            **(SETTINGS | settings),
        )
        if gather:
            fast(strategy)
        for experience in stream.train_stream:
            strategy.train(experience)
            strategy.eval(stream.test_stream)
    return strategy


SETTINGS = {
    "criterion": nn.CrossEntropyLoss(),
    "train_mb_size": 8,
    "eval_mb_size": 16,
    "train_epochs": 2,
    "evaluator": None,
}
