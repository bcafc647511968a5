"""What all networks share: the way in, the way out, and one signature.

    forward(observation, state) -> (output, state)

    observation  (B, T, *observation) as the task gives it: classes, bytes or floats
    state        (layers, B, width) of a network with memory; None or zeros at a trial's first step.
                 A network without memory answers each step by itself and hands on None
    output       (B, T, outputs): logits, or the coordinates of a point

A `Readout` makes the task's action from the output.

No network normalises over the trials of a batch: an answer depends on its own trial alone, a batch
of one can be learned from, and stacked networks share nothing.
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

__all__ = ["Encoder", "Network", "PartsNetwork", "Readout", "readout"]

_SMALL = 1e-6  # below this spread a feature counts as constant


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
        state: (layers, width) of the state of one trial; None where there is no memory. The number
            of layers is None where it grows with the steps that are remembered.
        looped: Whether the steps are a loop in Python, which no exporter follows at other lengths;
            the file then holds one step, and a loop around it.
    """

    state: tuple[int | None, int] | None = None
    looped = False

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


class PartsNetwork(Network):
    """What reads one observation as a sequence, in both directions at once.

    The parts of an image are its rows, those of a vector its elements. The steps of a trial are
    answered each by itself, since an answer must not depend on later ones.

    Attributes:
        parts: How many parts one observation has.
        features: How many numbers make a part.
    """

    def __init__(self, space: gym.Space[Any]) -> None:
        super().__init__(space)
        shape = self.encoder.shape
        self.parts = shape[-2] if len(shape) > 1 else math.prod(shape)
        self.features = math.prod(shape) // self.parts

    def sequence(self, encoded: Tensor) -> Tensor:
        """Return the parts (B T, parts, features) of encoded observations (B, T, *shape)."""
        seen = encoded.flatten(0, 1)
        if len(self.encoder.shape) > 1:
            seen = seen.movedim(-2, 1)  # an image's rows before its channels
        return seen.reshape(-1, self.parts, self.features)
