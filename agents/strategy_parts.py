"""What a strategy of Avalanche is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor, nn

from agents.networks import Network
from agents.strategy_meter import Meter

__all__ = ["Parts", "Settings", "cross_entropy"]

_ENDLESS = 10**9  # epochs; the meter stops a strategy before


@dataclass
class Settings:
    """How a strategy is run.

    Attributes:
        strategy: Its name, one of `agents.strategies.STRATEGIES`.
        network: Name of the network; see `agents.networks.NETWORKS`.
        width: Units of its hidden layers.
        learning_rate: Of stochastic gradient descent.
        momentum: Of the same.
        batch: Trials in one step; of strategies with a memory as many again come from there.
        memory: How many trials a strategy with a memory keeps in all.
        strength: Weight of what the strategy adds to the loss; None takes what suits it.
        temperature: Of the distillation of "lwf".
        device: "auto", "cpu" or "cuda".
    """

    strategy: str = "replay"
    network: str = "mlp"
    width: int = 128
    learning_rate: float = 0.03
    momentum: float = 0.9
    batch: int = 32
    memory: int = 200
    strength: float | None = None
    temperature: float = 2.0
    device: str = "auto"


@dataclass
class Parts:
    """What a strategy is made of, for one seed.

    Attributes:
        settings: How it is run.
        network: The network that it teaches.
        space: Of the observations.
        experiences: How many the stream has.
        classes: How many it has, those of all tasks together.
        device: Where it computes.
        strength: Weight of what the strategy adds to the loss.
        beside: Returns how many trials of its memory a strategy was shown in a step beside the
            batch.
        meters: Of the strategy itself and of what it trains beside.
    """

    settings: Settings
    network: Network
    space: gym.Space[Any]
    experiences: int
    classes: int
    device: torch.device
    strength: float
    beside: Callable[[Any], int]
    meters: list[Meter] = field(default_factory=list)

    def common(self, *plugins: Any) -> dict[str, Any]:
        """Return the arguments that any strategy takes; a meter of its own stops it."""
        self.meters.append(Meter(self.beside))
        return {
            "train_mb_size": self.settings.batch,
            "eval_mb_size": self.settings.batch,
            "train_epochs": _ENDLESS,
            "device": self.device,
            "evaluator": None,
            "plugins": [self.meters[-1].plugin(), *plugins],
        }

    def taught(self, model: nn.Module, hasten: float = 1.0) -> dict[str, Any]:
        """Return the arguments of a strategy that teaches a model.

        Args:
            model: The model.
            hasten: Factor of the learning rate.
        """
        rate = self.settings.learning_rate * hasten
        optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=self.settings.momentum)
        return {"model": model, "optimizer": optimizer, "criterion": cross_entropy}


def cross_entropy(output: Tensor, y: Tensor) -> Tensor:
    """Return the mean cross-entropy; MAS takes a loss of exactly 0 for a missing one."""
    return nn.functional.cross_entropy(output, y).clamp(min=torch.finfo(output.dtype).tiny)
