"""From observations to the rows of a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from neurotasks.arrays import Array

__all__ = ["Cells", "cells_of"]


@dataclass(frozen=True)
class Cells:
    """Numbers observations.

    Attributes:
        size: How many cells there are.
        start: Number of the first class of a Discrete space.
        one_hot: How many numbers at the beginning of an observation are a class as a vector; the
            others do not count. 0 where there is no such vector.
        edges: Inner edges of the bins of each number of a Box space; a number at an edge lies in
            the upper bin. None where the observation is a class.
        axes: How many axes an observation has.
    """

    size: int
    start: int = 0
    one_hot: int = 0
    edges: tuple[tuple[float, ...], ...] | None = None
    axes: int = 0

    def __call__(self, observation: Array) -> NDArray[np.int64]:
        """Return the cell of each observation, (..., *observation) to (...) int64.

        Raises:
            ValueError: What should be one-hot is not.
        """
        x = np.asarray(observation)
        if self.edges is None and not self.one_hot:
            return x.astype(np.int64) - self.start
        flat = x.reshape(*x.shape[: x.ndim - self.axes], -1)
        if self.one_hot:
            vector = flat[..., : self.one_hot]
            if (np.count_nonzero(vector, axis=-1) != 1).any():
                raise ValueError(f"not exactly one of the first {self.one_hot} numbers is not 0")
            return vector.argmax(axis=-1)
        cell = np.zeros(flat.shape[:-1], dtype=np.int64)
        for number, edges in enumerate(self.edges or ()):
            place = np.searchsorted(edges, flat[..., number], side="right")
            cell = cell * (len(edges) + 1) + place
        return cell


def cells_of(
    space: gym.Space[Any],
    *,
    one_hot: int = 0,
    edges: Sequence[Sequence[float]] = (),
    bins: int = 8,
) -> Cells:
    """Return the cells of an observation space.

    Args:
        space: The observation space: Discrete, where each class is a cell, or a Box.
        one_hot: How many numbers at the beginning of an observation say by a 1 among zeros which
            cell it is; 0 where none do.
        edges: Inner edges of the bins of each number, in the order of the flattened observation.
        bins: How many equal bins each number has between its bounds where no edges are given.

    Raises:
        TypeError: The space is neither Discrete nor a Box.
        ValueError: The vector or the edges do not fit the space, or a number has no bounds.
    """
    if isinstance(space, gym.spaces.Discrete):
        return Cells(int(space.n), start=int(space.start))
    if not isinstance(space, gym.spaces.Box):
        raise TypeError(f"a table has rows for a Discrete or a Box space, not for {space}")
    numbers, axes = math.prod(space.shape), len(space.shape)
    if one_hot > numbers:
        raise ValueError(f"an observation has {numbers} numbers, so {one_hot} cannot be one-hot")
    if one_hot:
        return Cells(one_hot, one_hot=one_hot, axes=axes)
    cuts = [tuple(sorted(map(float, cut))) for cut in edges] or _equal(space, bins)
    if len(cuts) != numbers:
        raise ValueError(
            f"there are edges for {len(cuts)} numbers, but an observation has {numbers}; give () "
            "for a number that does not count"
        )
    return Cells(math.prod(len(cut) + 1 for cut in cuts), edges=tuple(cuts), axes=axes)


def _equal(space: gym.spaces.Box, bins: int) -> list[tuple[float, ...]]:
    """Return the inner edges of equal bins between the bounds of each number."""
    low, high = (np.asarray(end, np.float64).reshape(-1) for end in (space.low, space.high))
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise ValueError(f"{space} has no bounds to cut between: give the edges of the bins")
    inner = np.linspace(low, high, bins + 1)[1:-1]  # (bins - 1, numbers)
    return [tuple(column) for column in inner.T.tolist()]
