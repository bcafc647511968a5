"""Networks: from observations to numbers, batched and recurrent, with one signature for all.

    forward(observation, state) -> (output, state)

    observation  (B, T, *observation) as the task gives it: classes, bytes or floats
    state        (layers, B, width) of a recurrent network, None at a trial's first step; a network
                 without memory takes None, answers each step alone, and returns None
    output       (B, T, outputs): logits, or the coordinates of a point

A `Readout` makes the task's action from the output.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from neurotasks.card import TaskCard
from neurotasks.errors import MissingExtra

try:
    import torch
except ImportError as error:
    raise MissingExtra("torch", "torch") from error

from torch import Tensor, nn

__all__ = ["CNN", "GRU", "MLP", "NETWORKS", "Encoder", "Network", "Readout", "readout"]

_SMALL = 1e-6  # below this spread a feature counts as constant
_KERNEL = 3


@dataclass(frozen=True)
class Readout:
    """How an output becomes an action, and what it is trained on.

    Attributes:
        loss: "cross-entropy" or "squared error".
        shape: Shape of one action; () for a class.
        size: Number of outputs.
        classes: Whether the action is a class, the one with the highest logit.
        start: Number of the first class.
    """

    loss: str
    shape: tuple[int, ...]
    size: int
    classes: bool
    start: int = 0

    def action(self, output: Tensor) -> Tensor:
        """Return the actions (B, T, *action) of outputs (B, T, size)."""
        if self.classes:
            return output.argmax(dim=-1) + self.start
        return output.reshape(*output.shape[:-1], *self.shape)


def readout(card: TaskCard, space: gym.Space[Any]) -> Readout:
    """Return the readout that a task's answer needs.

    Args:
        card: The task's card; its metric names the loss.
        space: The task's action space.

    Raises:
        TypeError: The metric has no loss, or the loss does not fit the space.
    """
    loss = card.metric.loss
    if loss == "cross-entropy" and isinstance(space, gym.spaces.Discrete):
        return Readout(loss, (), int(space.n), classes=True, start=int(space.start))
    if loss is not None and isinstance(space, gym.spaces.Box):
        return Readout(loss, space.shape, math.prod(space.shape), classes=False)
    raise TypeError(
        f"{card.id} has metric {card.metric.name!r} with loss {loss!r} and actions in {space}; "
        "a network learns a loss over a Discrete or a Box space only"
    )


class Encoder(nn.Module):
    """Brings observations to floats near 0, (B, T, *observation) to (B, T, *shape).

    A class becomes a one-hot vector, an integer is divided by its highest value (255 for a byte of
    an image); floats are standardised with the mean and the spread of the training trials, which
    `fit` sets.

    Attributes:
        shape: Shape of one encoded observation.
    """

    table: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, space: gym.Space[Any]) -> None:
        super().__init__()
        self.discrete = isinstance(space, gym.spaces.Discrete)
        self.start = int(space.start) if isinstance(space, gym.spaces.Discrete) else 0
        self.floats = space.dtype is not None and space.dtype.kind == "f"
        if isinstance(space, gym.spaces.Discrete):
            self.shape: tuple[int, ...] = (int(space.n),)
            self.register_buffer("table", torch.eye(int(space.n)))
            return
        if not isinstance(space, gym.spaces.Box):
            raise TypeError(f"a network sees a Discrete or a Box space, not {space}")
        self.shape = space.shape
        scale = np.ones(self.shape) if self.floats else np.maximum(space.high, 1)
        self.register_buffer("mean", torch.zeros(self.shape))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))

    def fit(self, observation: Tensor) -> None:
        """Take mean and spread from training trials (B, T, *observation), where they are floats."""
        if not self.floats:
            return
        spread, mean = torch.std_mean(observation.float(), dim=(0, 1), correction=0)
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(spread > _SMALL, spread, 1.0))

    def forward(self, observation: Tensor) -> Tensor:
        """Encode."""
        if self.discrete:
            return self.table[observation.long() - self.start]
        return (observation.float() - self.mean) / self.scale


class Network(nn.Module):
    """What all networks share.

    Attributes:
        encoder: The first layer, without trainable parameters.
        state: (layers, width) of the state of one trial; None where there is no memory.
    """

    state: tuple[int, int] | None = None

    def __init__(self, space: gym.Space[Any]) -> None:
        super().__init__()
        self.encoder = Encoder(space)

    def forward(
        self, observation: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Answer a block of steps; see the head of this file for the shapes."""
        return self.body(self.encoder(observation)), state

    def body(self, encoded: Tensor) -> Tensor:
        """Return the outputs (B, T, outputs) of encoded observations (B, T, *shape)."""
        raise NotImplementedError


class MLP(Network):
    """Two hidden layers of rectified units; each step is answered by itself.

    Attributes:
        layers: The hidden layers and the output.
    """

    def __init__(self, space: gym.Space[Any], outputs: int, width: int) -> None:
        super().__init__(space)
        self.layers = nn.Sequential(
            nn.Linear(math.prod(self.encoder.shape), width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, outputs),
        )

    def body(self, encoded: Tensor) -> Tensor:
        """Answer each step from its flattened observation."""
        return self.layers(encoded.flatten(2))


class CNN(Network):
    """Two convolutions, each with a maximum over 2 x 2, and one hidden layer; no memory.

    Attributes:
        layers: The convolutions, the hidden layer of `width` units, and the output.
    """

    def __init__(self, space: gym.Space[Any], outputs: int, width: int) -> None:
        super().__init__(space)
        if len(self.encoder.shape) != 3:  # noqa: PLR2004 - channels, rows, columns
            raise TypeError(f"a CNN sees images (channels, rows, columns), not {space}")
        channels, rows, columns = self.encoder.shape
        first, second = max(width // 8, 1), max(width // 4, 1)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, first, _KERNEL, padding=1),  # (N, width / 8, rows, columns)
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(first, second, _KERNEL, padding=1),  # (N, width / 4, rows / 2, columns / 2)
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(second * (rows // 4) * (columns // 4), width),
            nn.ReLU(),
            nn.Linear(width, outputs),
        )

    def body(self, encoded: Tensor) -> Tensor:
        """Answer each step from its image."""
        images = encoded.flatten(0, 1)  # (B T, channels, rows, columns)
        return self.layers(images).unflatten(0, encoded.shape[:2])


class GRU(Network):
    """One layer of gated recurrent units (Cho et al., 2014) and a linear readout.

    Attributes:
        state: (1, width).
        cells: The recurrent layer.
        output: The readout.
    """

    def __init__(self, space: gym.Space[Any], outputs: int, width: int) -> None:
        super().__init__(space)
        self.state = (1, width)
        self.cells = nn.GRU(math.prod(self.encoder.shape), width, batch_first=True)
        self.output = nn.Linear(width, outputs)

    def forward(
        self, observation: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Answer each step from it and from all before it."""
        hidden, last = self.cells(self.encoder(observation).flatten(2), state)
        return self.output(hidden), last


NETWORKS: dict[str, type[MLP | CNN | GRU]] = {"mlp": MLP, "cnn": CNN, "gru": GRU}
"""The networks by name. Each is made from an observation space, a number of outputs, a width."""
