"""How courses train: one seed after the other, through a loader, with the names they use."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import neurotasks
from agents.devices import one_thread
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import ACCURACY
from neurotasks.task import Batch, TrialTask, rows

CLASSES = 8
DIGITS = "ImageClassificationDigits-v0"


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


def course_loop(
    build: Callable[[], nn.Module],
    data: tuple[Tensor, Tensor],
    batch: int,
    epochs: int,
    *,
    seeds: Iterable[int],
    device: str = "cpu",
) -> list[nn.Module]:
    """Train as course notebooks do, one seed after the other, and return the networks."""
    networks = []
    with one_thread(), torch.random.fork_rng():
        for seed in seeds:
            torch.manual_seed(seed)
            loader = DataLoader(TensorDataset(*data), batch_size=batch, shuffle=True)
            model, criterion = build().to(device), nn.CrossEntropyLoss()
            optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
            for _ in range(epochs):
                for inputs, labels in loader:
                    seen, known = inputs.to(device), labels.to(device)
                    optimiser.zero_grad()
                    loss = criterion(model(seen), known.flatten())
                    loss.backward()
                    optimiser.step()
            networks.append(model)
    return networks


def digits(split):
    batch = neurotasks.load(DIGITS).dataset(split)
    return torch.tensor(batch.x).flatten(1) / 16.0, torch.tensor(batch.y[:, 0])


def assert_as_accurate(agents, networks, device="cpu"):
    """Compare right answers on held-out digits, equal within the noise of the seeds."""
    test, (x, y) = neurotasks.load(DIGITS).dataset("test"), digits("test")
    ours = np.mean([(agent.act(test.x, None)[0] == test.y).mean() for agent in agents])
    with torch.no_grad():
        answers = [network(x.to(device)).argmax(-1).cpu() for network in networks]
    theirs = np.mean([(answer == y).float().mean() for answer in answers])
    assert abs(ours - theirs) < 0.01, f"{ours:.3f} of ours are right, {theirs:.3f} of the course's"
