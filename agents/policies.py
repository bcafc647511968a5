"""Policies of actor-critics: from observations to logits, or to points of a Box.

Actor and critic are two networks of one shape, the critic's value being its first output; so the
networks of all seeds, actors and critics alike, are computed as one batch (`agents/rows.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor, nn

from agents.nets_base import Network, Readout

__all__ = ["POLICIES", "Answers", "GatedPolicy", "MLPPolicy", "Policy", "pair"]

_HIDDEN_GAIN = math.sqrt(2.0)
_ACTOR_GAIN, _CRITIC_GAIN = 0.01, 1.0


@dataclass(frozen=True)
class Answers:
    """What the actions of a space are to a policy.

    A policy chooses one of the classes of a Discrete space, or a point whose coordinates run from
    -1 to 1 over a bounded Box. An unbounded Box is taken as it is.

    Attributes:
        readout: How an output becomes an action.
        middle: The action at 0, (A,); nothing for classes.
        reach: The action's change from 0 to 1, (A,); nothing for classes.
        low: The lowest action, (A,); nothing for classes.
        high: The highest action, (A,); nothing for classes.
    """

    readout: Readout
    middle: Tensor
    reach: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def to(cls, space: gym.Space[Any]) -> Answers:
        """Return the answers that a space takes.

        Raises:
            TypeError: The space is neither Discrete nor a Box.
        """
        nothing = torch.zeros(0)
        if isinstance(space, gym.spaces.Discrete):
            classes, start = int(space.n), int(space.start)
            shape = Readout("cross-entropy", (), classes, classes=True, start=start)
            return cls(shape, nothing, nothing, nothing, nothing)
        if not isinstance(space, gym.spaces.Box):
            raise TypeError(f"a policy acts in a Discrete or a Box space, not in {space}")
        size = math.prod(space.shape)
        low, high = (torch.tensor(end.reshape(-1)).float() for end in (space.low, space.high))
        bounded = (high - low).isfinite()
        middle = torch.where(bounded, (low + high) / 2, 0.0)
        reach = torch.where(bounded, (high - low) / 2, 1.0)
        shape = Readout("squared error", space.shape, size, classes=False)
        return cls(shape, middle, reach, low, high)

    def action(self, choice: Tensor) -> Tensor:
        """Return the actions (B, *action) of classes (B,), or of points (B, A) cut to the Box."""
        if self.readout.classes:
            return choice + self.readout.start if self.readout.start else choice
        parts = (self.middle, self.reach, self.low, self.high)
        middle, reach, low, high = (part.to(choice.device) for part in parts)
        point = (middle + reach * choice).clamp(low, high)
        return point.reshape(-1, *self.readout.shape)


class Policy(Network):
    """What both policies share.

    Its output is the logits of the classes, or the most likely action itself.

    Args:
        space: What is seen.
        answers: What may be done.

    Attributes:
        spread: Logarithm of the standard deviation of each coordinate, whatever is seen, (A,);
            (0,) for classes.
        classes: Whether the output is logits.
    """

    middle: Tensor
    reach: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, space: gym.Space[Any], answers: Answers) -> None:
        super().__init__(space)
        self.spread = nn.Parameter(torch.zeros(len(answers.middle)))
        self.classes = answers.readout.classes
        for name in ("middle", "reach", "low", "high"):
            self.register_buffer(name, getattr(answers, name).clone())

    def answer(self, output: Tensor) -> Tensor:
        """Return logits as they are, a mean as an action."""
        if self.classes:
            return output
        return torch.clamp(self.middle + self.reach * output, self.low, self.high)


class MLPPolicy(Policy):
    """Two hidden layers; each step is answered by itself.

    Args:
        space: What is seen.
        answers: What may be done.
        width: Units of each hidden layer, with the hyperbolic tangent.
        gain: Of the last layer: how far from 0 an untrained network answers.
        generator: Where the weights come from: random orthogonal matrices (Saxe et al., 2014).
    """

    def __init__(
        self,
        space: gym.Space[Any],
        answers: Answers,
        width: int,
        gain: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__(space, answers)
        features, outputs = math.prod(self.encoder.shape), answers.readout.size
        self.layers = nn.Sequential(
            nn.Linear(features, width),
            nn.Tanh(),
            nn.Linear(width, width),
            nn.Tanh(),
            nn.Linear(width, outputs),
        )
        for layer, scale in ((0, _HIDDEN_GAIN), (2, _HIDDEN_GAIN), (4, gain)):
            _orthogonal(self.layers[layer], scale, generator)

    def body(self, encoded: Tensor) -> Tensor:
        """Answer each step from its flattened observation."""
        return self.answer(self.layers(encoded.flatten(2)))


class GatedPolicy(Policy):
    """One layer of gated recurrent units (Cho et al., 2014) and a linear readout.

    Args:
        space: What is seen.
        answers: What may be done.
        width: How many units.
        gain: Of the readout.
        generator: Where the weights come from.

    Attributes:
        state: (1, width).
    """

    def __init__(
        self,
        space: gym.Space[Any],
        answers: Answers,
        width: int,
        gain: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__(space, answers)
        self.state = (1, width)
        self.cells = nn.GRU(math.prod(self.encoder.shape), width, batch_first=True)
        self.output = nn.Linear(width, answers.readout.size)
        with torch.no_grad():
            for name, value in self.cells.named_parameters():
                if "bias" in name:
                    value.zero_()
                else:  # the gates r, z and n, one below the other
                    for gate in value.chunk(3):
                        nn.init.orthogonal_(gate, 1.0, generator=generator)
        _orthogonal(self.output, gain, generator)

    def forward(
        self, observation: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Answer each step from it and from all before it."""
        hidden, last = self.cells(self.encoder(observation).flatten(2), state)
        return self.answer(self.output(hidden)), last


POLICIES: Mapping[str, type[MLPPolicy | GatedPolicy]] = MappingProxyType(
    {"mlp": MLPPolicy, "gru": GatedPolicy}
)
"""The policies by name."""


def pair(
    name: str, space: gym.Space[Any], answers: Answers, width: int, seed: int
) -> tuple[Policy, Policy]:
    """Return an untrained actor, which tries everything, and an untrained critic.

    Args:
        name: Of the policy.
        space: What is seen.
        answers: What may be done.
        width: Units of a hidden layer.
        seed: It sets the weights, whatever the global generator's state.
    """
    generator, make = torch.Generator().manual_seed(seed), POLICIES[name]
    with torch.random.fork_rng(devices=[]):  # layers draw weights of their own before
        actor = make(space, answers, width, _ACTOR_GAIN, generator)
        return actor, make(space, answers, width, _CRITIC_GAIN, generator)


@torch.no_grad()
def _orthogonal(layer: nn.Module, gain: float, generator: torch.Generator) -> None:
    nn.init.orthogonal_(layer.get_parameter("weight"), gain, generator=generator)
    layer.get_parameter("bias").zero_()
