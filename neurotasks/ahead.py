"""Trials that are drawn ahead of those who are going to see them.

To draw one trial takes nearly as long as to draw a hundred, so that the faces draw a block of
trials for each world and go through it. The words of a block are drawn seed by seed, which is
fastest; many worlds then have their trials generated side by side, so that what a task does to them
runs along the worlds, and a step of all worlds is one piece of memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from neurotasks.arrays import Array
from neurotasks.rng import Draw
from neurotasks.task import Batch, StreamTask, TrialTask

__all__ = ["draw_side_by_side", "draw_trials", "trials_ahead"]

_BYTES = 16 << 20  # of the observations of all blocks together
_TRIALS = 64
_BYTES_OF_WORDS = 4 << 20  # of the observations whose words are drawn at a time
_BYTES_AT_A_TIME = 1 << 19  # of the observations that a task generates in one call
_WIDE = 64  # words of a trial that are better left side by side


def trials_ahead(task: TrialTask | StreamTask, num: int) -> int:
    """Return how many trials of each of N worlds to draw at a time, within the memory for all."""
    return min(max(_BYTES // (num * _size(task)), 1), _TRIALS)


def _size(task: TrialTask | StreamTask) -> int:
    """Return the bytes of the observations of a trial."""
    space = task.observation_space
    return task.card.steps * math.prod(space.shape or ()) * np.dtype(space.dtype).itemsize


def draw_trials(
    task: TrialTask | StreamTask, stage: str, seed: int, first: int, count: int
) -> Batch:
    """Return some consecutive trials of a seed, and no table of trials."""
    batch = task.sample(range(first, first + count), seed, stage)
    return Batch(batch.x, batch.y, batch.mask)


def draw_side_by_side(
    task: TrialTask | StreamTask,
    stage: str,
    seeds: NDArray[np.int64],
    first: NDArray[np.int64],
    count: int,
) -> Iterator[tuple[slice, slice, Batch]]:
    """Yield some consecutive trials of each of S seeds, in parts that stay in the cache.

    Args:
        task: The task.
        stage: The stage.
        seeds: The seeds, (S,).
        first: The number of the first trial of each seed, (S,).
        count: How many trials of each seed.

    Yields:
        Which of the seeds, which of their trials, and these: a trial of each seed, then the next of
        each seed, and so on.
    """
    if isinstance(task, StreamTask):
        for row, (seed, number) in enumerate(zip(seeds.tolist(), first.tolist(), strict=True)):
            batch = draw_trials(task, stage, seed, number, count)
            yield slice(row, row + 1), slice(0, count), batch
        return
    parameters, size = task.card.stage(stage).parameters, _size(task)
    worlds = max(1, _BYTES_OF_WORDS // (count * size))
    for begin in range(0, len(seeds), worlds):
        some = slice(begin, begin + worlds)
        draw = Draw(task.card.label, stage, seeds[some], first[some], count, split=stage)
        words, piece = _Words(draw), max(1, _BYTES_AT_A_TIME // (len(draw.seeds) * size))
        for start in range(0, count, piece):
            trials = slice(start, min(start + piece, count))
            yield some, trials, task.generate(words.part(trials), **parameters)


class _Words:
    """The words of a draw: those of a field are drawn once for all trials, and taken in parts."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._fields: dict[tuple[str, int], Array] = {}

    def part(self, trials: slice) -> _Part:
        """Return the draw of some trials of all seeds, in the order of the trials."""
        whole = self._draw
        first = whole.first + np.arange(trials.start, trials.stop)[:, None]
        seeds = np.broadcast_to(whole.seeds, first.shape)
        return _Part(
            whole.task, whole.stage, seeds, first.reshape(-1), split=whole.split,
            words_of=self, part=trials,
        )  # fmt: skip

    def of(self, name: str, n: int, trials: slice) -> Array:
        """Return n words of a field for some trials of all seeds, (B, n), as a new array."""
        if (name, n) not in self._fields:
            words = self._draw.words(name, n)
            self._fields[name, n] = words.reshape(-1, self._draw.count, n)
        words = self._fields[name, n][:, trials]
        if n >= _WIDE:
            return words.swapaxes(0, 1).copy().reshape(-1, n)
        return words.transpose(2, 1, 0).copy().reshape(n, -1).T


@dataclass(frozen=True)
class _Part(Draw):
    """A draw of one trial of each of B seeds, some of them alike, whose words were drawn before."""

    across: ClassVar[bool] = True
    words_of: _Words = field(kw_only=True)
    part: slice = field(kw_only=True)

    def words(self, name: str, n: int) -> Array:
        return self.words_of.of(name, n, self.part)
