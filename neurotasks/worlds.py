"""Worlds: N copies of a task that are stepped together, the engine behind both faces.

World i has a seed of its own and counts its trials from 0, so that what it shows does not depend on
how many worlds stand beside it, nor on when they were reset.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from neurotasks.arrays import Array
from neurotasks.errors import InvalidAction
from neurotasks.rng import Draw
from neurotasks.task import Batch, ControlTask, StreamTask, Task, TrialTask

__all__ = ["Outcome", "Worlds", "check_action", "open_worlds"]

_BUFFER_BYTES = 4 << 20  # of trials drawn ahead
_BUFFER_TRIALS = 64
_STATE_BYTES = 8 << 20  # of first states drawn ahead
_BUFFER_STATES = 256


class Outcome(NamedTuple):
    """What a step brings to N worlds: rewards, ends, and facts for the info dictionary."""

    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    info: dict[str, NDArray[Any]]


class Worlds(Protocol):
    """N worlds of one task.

    Attributes:
        time: The steps that each running trial has lasted so far, (N,) int64.
    """

    time: NDArray[np.int64]

    def seed(self, which: NDArray[np.int64], seeds: Sequence[int]) -> None:
        """Give some worlds a seed; their next trial is trial 0."""
        ...

    def start(self, which: NDArray[np.int64]) -> None:
        """Begin the next trial of some worlds."""
        ...

    def observe(self) -> Array:
        """Return what is seen now, (N, *observation), as a new array."""
        ...

    def trial(self) -> NDArray[np.int64]:
        """Return the number of the running trial of each world."""
        ...

    def step(self, action: Array) -> Outcome:
        """Act in all worlds."""
        ...


def open_worlds(task: Task, num: int, stage: str) -> Worlds:
    """Return N unseeded worlds of a task."""
    task.card.stage(stage)
    if isinstance(task, ControlTask):
        return _ControlWorlds(task, num, stage)
    return _TrialWorlds(task, num, stage)


def check_action(space: gym.Space[Any], action: Any, shape: tuple[int, ...]) -> Array:
    """Return the answers as an array, or say what is wrong with them.

    Args:
        space: The action space of one step.
        action: The answers.
        shape: The axes before the space's own.

    Raises:
        InvalidAction: The shape or the type is wrong, an answer is NaN or infinite, or a class does
            not exist.
    """
    array = np.asarray(action)
    expected = (*shape, *(space.shape or ()))
    if array.shape != expected:
        raise InvalidAction(f"the action has shape {array.shape}; {space} here needs {expected}")
    if isinstance(space, gym.spaces.Discrete):
        if array.dtype.kind not in "iu":
            raise InvalidAction(f"the action has type {array.dtype}; {space} takes integers")
        low, count = int(space.start), int(space.n)
        # Read as unsigned numbers, what lies below the first class lies above the last one too.
        place = (array - low if low else array).view(f"u{array.itemsize}")
        if place.size and place.max() >= count:
            bad, high = array[place >= count].flat[0], low + count - 1
            raise InvalidAction(f"the action {bad} does not exist; {space} has {low} to {high}")
    elif array.dtype.kind not in "fiu":
        raise InvalidAction(f"the action has type {array.dtype}; {space} takes numbers")
    elif not np.isfinite(array).all():
        bad = array[~np.isfinite(array)].flat[0]
        raise InvalidAction(f"the action holds {bad}; every number of an answer must be finite")
    return array


class _TrialWorlds:
    """Worlds of a trial or a stream task: trials are drawn ahead, in blocks of `ahead`."""

    def __init__(self, task: TrialTask | StreamTask, num: int, stage: str) -> None:
        self.task, self.num, self.stage = task, num, stage
        self.parameters = task.card.stage(stage).parameters
        self.seeds = np.zeros(num, dtype=np.int64)
        self.number = np.full(num, -1, dtype=np.int64)  # of the running trial
        self.first = np.zeros(num, dtype=np.int64)  # number of the first trial drawn ahead
        self.drawn = np.zeros(num, dtype=np.int64)  # how many are drawn ahead, 0 or `ahead`
        self.time = np.zeros(num, dtype=np.int64)
        self.rows = np.arange(num)
        space, steps = task.observation_space, task.card.steps
        self.last = steps - 1  # the last step of a trial
        size = num * steps * int(np.prod(space.shape or ())) * np.dtype(space.dtype).itemsize
        self.ahead = int(np.clip(_BUFFER_BYTES // max(size, 1), 1, _BUFFER_TRIALS))
        self.x: Array = None  # (N, ahead, T, *observation)
        self.y: Array = None
        self.mask: Array = None
        self.weight: Array = None  # of a step in the reward

    def seed(self, which: NDArray[np.int64], seeds: Sequence[int]) -> None:
        self.seeds[which] = seeds
        self.number[which] = -1
        self.drawn[which] = 0

    def start(self, which: NDArray[np.int64]) -> None:
        self.number[which] += 1
        self.time[which] = 0
        dry = which[self.number[which] >= self.first[which] + self.drawn[which]]
        if len(dry):
            self._fill(dry)

    def _fill(self, which: NDArray[np.int64]) -> None:
        batch = self._generate(self.seeds[which], self.number[which])
        if self.x is None:
            self.x, self.y, self.mask = (
                np.empty((self.num, self.ahead, *part.shape[1:]), part.dtype)
                for part in (batch.x, batch.y, batch.mask)
            )
            self.weight = np.empty(self.mask.shape)
            self.last = self.mask.shape[2] - 1
        for buffer, part in ((self.x, batch.x), (self.y, batch.y), (self.mask, batch.mask)):
            buffer[which] = part.reshape((len(which), self.ahead, *part.shape[1:]))
        mask = self.mask[which]
        metric = self.task.card.metric
        self.weight[which] = metric.sign * mask / mask.sum(axis=-1, keepdims=True)
        self.first[which] = self.number[which]
        self.drawn[which] = self.ahead

    def _generate(self, seeds: NDArray[np.int64], first: NDArray[np.int64]) -> Batch:
        if isinstance(self.task, TrialTask):
            label = self.task.card.label
            draw = Draw(label, self.stage, seeds, first, self.ahead, split=self.stage)
            return self.task.generate(draw, **self.parameters)
        parts = [
            self.task.sample(range(int(k), int(k) + self.ahead), int(s), self.stage)
            for s, k in zip(seeds, first, strict=True)
        ]
        x, y, mask = (
            np.concatenate([getattr(p, name) for p in parts]) for name in ("x", "y", "mask")
        )
        return Batch(x, y, mask)

    def _at(self, buffer: Array) -> Array:
        # After its end a trial goes on showing its last step.
        return buffer[self.rows, self.number - self.first, np.minimum(self.time, self.last)]

    def observe(self) -> Array:
        return self._at(self.x)  # advanced indexing copies

    def trial(self) -> NDArray[np.int64]:
        return self.number.copy()

    def step(self, action: Array) -> Outcome:
        truth, scored = self._at(self.y), self._at(self.mask)
        values = self.task.card.metric.values
        if values is None:
            raise TypeError(f"{self.task.card.id} is a trial task, so its metric needs `values`")
        reward = values(action[:, None], truth[:, None])[:, 0] * self._at(self.weight)
        reward[~scored] = 0.0
        info = {"trial": self.number.copy(), "answer": truth, "scored": scored}
        self.time += 1
        return Outcome(reward, self.time > self.last, info)


class _ControlWorlds:
    """Worlds of a control task: first states are drawn ahead, in blocks of `ahead`.

    Among many worlds some begin an episode in nearly every step, and drawing a few first states
    takes almost as long as drawing thousands.
    """

    def __init__(self, task: ControlTask[Any], num: int, stage: str) -> None:
        self.task, self.num, self.stage = task, num, stage
        self.parameters = task.card.stage(stage).parameters
        self.seeds = np.zeros(num, dtype=np.int64)
        self.number = np.zeros(num, dtype=np.int64)  # of the running episode, as of the last step
        self.time = np.zeros(num, dtype=np.int64)
        # One draw for all steps: it looks at these arrays, which change in place.
        self.draw = Draw(task.card.label, stage, self.seeds, self.number, 1, self.time)
        self.state = task.initial(Draw(task.card.label, stage, self.seeds), **self.parameters)
        size = sum(part.nbytes for part in self.state)
        self.ahead = int(np.clip(_STATE_BYTES // max(size, 1), 1, _BUFFER_STATES))
        self.fresh = [  # N blocks of first states, one after the other
            np.empty((num * self.ahead, *part.shape[1:]), part.dtype) for part in self.state
        ]
        self.block = np.arange(num) * self.ahead  # where the block of each world begins
        self.row = self.block.copy()  # where the first state of the running episode stands
        self.shift = self.block.copy()  # from the number of an episode to its row
        self.spare = 0  # how often every world can surely start with what is drawn

    def seed(self, which: NDArray[np.int64], seeds: Sequence[int]) -> None:
        self.seeds[which] = seeds
        self.shift[which] = self.block[which] + self.ahead  # nothing is drawn yet
        self.row[which] = self.shift[which] - 1
        self.spare = 0

    def start(self, which: NDArray[np.int64]) -> None:
        row = self.row[which] + 1
        self.row[which] = row
        self.time[which] = 0
        if self.spare == 0:
            self._fill()
            row = self.row[which]
        self.spare -= 1
        for part, fresh in zip(self.state, self.fresh, strict=True):
            part[which] = fresh[row]

    def _fill(self) -> None:
        """Draw ahead if any world has run dry, then for all that have used more than half."""
        used = self.row - self.block
        if used.max() >= self.ahead:
            which = np.flatnonzero(used > self.ahead // 2)
            first = self.trial()[which]
            draw = Draw(self.task.card.label, self.stage, self.seeds[which], first, self.ahead)
            rows = (self.block[which, None] + np.arange(self.ahead)).reshape(-1)
            states = self.task.initial(draw, **self.parameters)
            for fresh, part in zip(self.fresh, states, strict=True):
                fresh[rows] = part
            self.row[which] = self.block[which]
            self.shift[which] = self.block[which] - first
            used[which] = 0
        self.spare = self.ahead - int(used.max())

    def observe(self) -> Array:
        return self.task.observe(self.state)

    def trial(self) -> NDArray[np.int64]:
        return self.row - self.shift

    def step(self, action: Array) -> Outcome:
        np.subtract(self.row, self.shift, out=self.number)
        self.state, reward, terminated = self.task.step(
            self.state, action, self.draw, **self.parameters
        )
        self.time += 1
        return Outcome(reward, terminated, {})
