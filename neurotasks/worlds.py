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

from neurotasks.ahead import draw_side_by_side, trials_ahead
from neurotasks.arrays import Array
from neurotasks.errors import InvalidAction
from neurotasks.rng import Draw
from neurotasks.task import Batch, ControlTask, StreamTask, Task, TrialTask

__all__ = ["Outcome", "Worlds", "check_action", "open_worlds"]

_STATE_BYTES = 8 << 20  # of first states drawn ahead
_BUFFER_STATES = 256
_UNSIGNED = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}  # by bytes


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
        place = (array - low if low else array).view(_UNSIGNED[array.itemsize])
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
    """Worlds of a trial or a stream task: trials are drawn ahead, in blocks of `ahead`.

    The blocks lie in memory step by step, the worlds side by side: as long as no world has been
    reset alone, all of them are at the same place, and a step is one row.
    """

    def __init__(self, task: TrialTask | StreamTask, num: int, stage: str) -> None:
        self.task, self.num, self.stage = task, num, stage
        self.seeds = np.zeros(num, dtype=np.int64)
        self.number = np.full(num, -1, dtype=np.int64)  # of the running trial
        self.first = np.zeros(num, dtype=np.int64)  # number of the first trial drawn ahead
        self.drawn = np.zeros(num, dtype=np.int64)  # how many are drawn ahead, 0 or `ahead`
        self.time = np.zeros(num, dtype=np.int64)
        self.rows = np.arange(num)
        self.together = False  # whether all worlds are at the same place
        self.place: Any = 0  # where what is seen now stands in the blocks
        self.last = task.card.steps - 1  # the last step of a trial
        self.ahead = trials_ahead(task, num)
        self.x: Array = None  # (T * ahead, N, *observation)
        self.y: Array = None
        self.mask: Array = None
        self.share: Array = None  # (ahead, N), of each scored step in the reward of a trial
        self.pays: list[bool] = []  # whether a step is scored in any world

    def seed(self, which: NDArray[np.int64], seeds: Sequence[int]) -> None:
        self.seeds[which] = seeds
        self.number[which] = -1
        self.first[which] = self.drawn[which] = 0

    def start(self, which: NDArray[np.int64]) -> None:
        self.number[which] += 1
        self.time[which] = 0
        if (self.number[which] >= (self.first + self.drawn)[which]).any():
            # Drawing for few worlds costs nearly as much as for many that will soon need it.
            used = self.number - self.first
            self._fill(((used > self.ahead // 2) | (used >= self.drawn)).nonzero()[0])
        self.together = len(which) == self.num and not (np.ptp(self.number) or np.ptp(self.first))
        self.place = self._place()

    def _fill(self, which: NDArray[np.int64]) -> None:
        first = np.maximum(self.number[which], 0)  # a world that has not begun begins with trial 0
        parts = draw_side_by_side(self.task, self.stage, self.seeds[which], first, self.ahead)
        for some, trials, batch in parts:
            self._keep(which[some], trials, batch)
        self.first[which], self.drawn[which] = first, self.ahead
        self.pays = self.mask.any(axis=1).tolist()

    def _keep(self, which: NDArray[np.int64], trials: slice, batch: Batch) -> None:
        steps = batch.mask.shape[1]
        if self.x is None:
            self.last = steps - 1
            self.x, self.y, self.mask = (
                np.zeros((steps * self.ahead, self.num, *part.shape[2:]), part.dtype)
                for part in (batch.x, batch.y, batch.mask)
            )
            self.share = np.zeros((self.ahead, self.num))
        neighbours = slice(which[0], which[-1] + 1)
        place: Any = neighbours if which[-1] - which[0] + 1 == len(which) else which
        for buffer, part in ((self.x, batch.x), (self.y, batch.y), (self.mask, batch.mask)):
            rows = _items(part.swapaxes(0, 1)).reshape(steps, -1, len(which))
            _items(buffer).reshape(steps, self.ahead, self.num)[:, trials, place] = rows
        counts = batch.mask.sum(axis=1).reshape(-1, len(which))
        self.share[trials, place] = self.task.card.metric.sign / counts

    def _place(self) -> Any:
        """Return the row of what is seen now: one of all worlds, or one of each."""
        if self.together:
            trial, time = int(self.number[0] - self.first[0]), int(self.time[0])
            return min(time, self.last) * self.ahead + trial
        # After its end a trial goes on showing its last step.
        return np.minimum(self.time, self.last) * self.ahead + self.number - self.first

    def _at(self, buffer: Array, place: Any) -> Array:
        """Return a copy of what stands there, (N, ...)."""
        return buffer[place].copy() if self.together else buffer[place, self.rows]

    def observe(self) -> Array:
        return self._at(self.x, self.place)

    def trial(self) -> NDArray[np.int64]:
        return self.number.copy()

    def step(self, action: Array) -> Outcome:
        place = self.place
        truth, scored = self._at(self.y, place), self._at(self.mask, place)
        if self.pays[place] if self.together else scored.any():
            values = self.task.card.metric.values
            if values is None:
                raise TypeError(
                    f"{self.task.card.id} is a trial task, so its metric needs `values`"
                )
            share = self._at(self.share, place % self.ahead)
            reward = values(action[:, None], truth[:, None])[:, 0] * share
            reward[~scored] = 0.0
        else:
            reward = np.zeros(self.num)
        info = {"trial": self.number.copy(), "answer": truth, "scored": scored}
        self.time += 1
        self.place = self._place()
        return Outcome(reward, self._over(), info)

    def _over(self) -> NDArray[np.bool_]:
        """Return which trials have shown their last step."""
        if not self.together:
            return self.time > self.last
        return (np.ones if self.time[0] > self.last else np.zeros)(self.num, np.bool_)


def _items(array: Array) -> Array:
    """Return a view (M, N) of (M, N, ...): a vector is moved faster as one item of its bytes."""
    if not array.shape[2:]:
        return array
    flat = array.reshape((*array.shape[:2], -1))
    if flat.strides[2] != flat.itemsize:
        flat = np.ascontiguousarray(flat)
    return flat.view((np.void, flat.shape[2] * flat.itemsize))[..., 0]


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
