"""How good a step was: generalised advantages, and the statistics that bring numbers to scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Running", "judge"]

_SMALL = 1e-8  # below this spread a number counts as constant


class Running:
    """Mean and spread of all numbers so far, for each seed (Chan, Golub, LeVeque, 1983).

    Args:
        seeds: How many seeds.
        size: How many numbers stand side by side.
        device: Where they are kept.
    """

    def __init__(self, seeds: int, size: int, device: torch.device) -> None:
        self.count = 0
        self.mean = torch.zeros(seeds, size, dtype=torch.float64, device=device)
        self.square = torch.zeros_like(self.mean)

    def add(self, values: Tensor) -> None:
        """Take in some more, (S, n, size)."""
        new, count = values.double(), values.shape[1]
        total, mean = self.count + count, new.mean(dim=1)
        apart = mean - self.mean
        self.square += (new - mean[:, None]).square().sum(dim=1)
        self.square += apart.square() * (self.count * count / total)
        self.mean += apart * (count / total)
        self.count = total

    @property
    def spread(self) -> Tensor:
        """The standard deviation, (S, size); 1 where nothing varies."""
        spread = (self.square / max(self.count, 1)).sqrt()
        return torch.where(spread > _SMALL, spread, 1.0)

    def narrow(self, seeds: Sequence[int]) -> None:
        """Forget all seeds but these."""
        self.mean, self.square = self.mean[list(seeds)], self.square[list(seeds)]


def judge(
    reward: NDArray[np.float64],
    value: NDArray[np.float64],
    ended: NDArray[np.bool_],
    discount: float,
    trace: float,
) -> NDArray[np.float64]:
    """Return generalised advantages (Schulman et al., 2016).

    Args:
        reward: (T, ...), with what a cut episode would still have brought.
        value: What was expected before each step and after the last one, (T + 1, ...).
        ended: Whether a step was the last of its episode, (T, ...).
        discount: Of a step.
        trace: Weight of later surprises, from 0 (the next step alone) to 1 (the whole episode).

    Returns:
        (T, ...).
    """
    going = np.where(ended, 0.0, discount)
    surprise = reward + going * value[1:] - value[:-1]
    going *= trace
    for t in reversed(range(len(reward) - 1)):
        surprise[t] += going[t] * surprise[t + 1]
    return surprise
