"""Learning by acting: the worlds of all seeds as one batch, choices by chance, learning curves.

Training seed s plays the worlds s W to (s + 1) W - 1 of the stage "train", so that no two seeds
share a world and none depends on which seeds learn beside it. A world that has ended begins its
next episode in the same step, as in Gymnasium's mode "SameStep".
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotasks.agent import Log, Watcher
from neurotasks.arrays import Array
from neurotasks.rng import Draw, check_seed
from neurotasks.task import ControlTask, TrialTask
from neurotasks.worlds import open_worlds

__all__ = ["Chance", "Curves", "Play", "Step"]

_AHEAD_BYTES = 1 << 20  # of random numbers drawn ahead
_NEVER = 2**62  # a time limit that no trial reaches


class Step(NamedTuple):
    """What a step brings to S seeds with W worlds each.

    Attributes:
        last: (S, W, *observation) where the step led to, also where an episode ended there.
        reward: (S, W) float64.
        terminated: (S, W) bool, whether the task is over: nothing can be earned afterwards.
        done: (S, W) bool, whether the episode is over, by the task or by the time limit.
    """

    last: Array
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    done: NDArray[np.bool_]


class Play:
    """The worlds of all seeds, stepped together.

    Args:
        task: A control task, or a trial task as a game of one trial.
        seeds: The training seeds.
        worlds: How many worlds each of them plays, W.

    Attributes:
        seen: (S, W, *observation), what is seen now.

    Raises:
        TypeError: The task is a stream.
    """

    def __init__(
        self, task: ControlTask[Any] | TrialTask, seeds: Sequence[int], worlds: int
    ) -> None:
        if not isinstance(task, ControlTask | TrialTask):
            raise TypeError(f"{task.card.id} is a stream of data; who learns by acting needs games")
        self.shape = (len(seeds), worlds)
        self.limit = task.card.steps if isinstance(task, ControlTask) else _NEVER
        self._worlds = open_worlds(task, len(seeds) * worlds, "train")
        self._all = np.arange(len(seeds) * worlds)
        own = [check_seed(seed) * worlds + world for seed in seeds for world in range(worlds)]
        self._worlds.seed(self._all, own)
        self._seed = self._all // worlds  # the row of the training seed of each world
        self._return = np.zeros(len(self._all))  # of the running episodes
        self._sum, self._count = np.zeros(len(seeds)), np.zeros(len(seeds))
        self.begin()

    def begin(self) -> None:
        """Begin the next episode in all worlds, whatever they were doing."""
        self._worlds.start(self._all)
        self._return[:] = 0.0
        self.seen = self._shaped(self._worlds.observe())

    def step(self, action: Array, *, restart: bool = True) -> Step:
        """Act in all worlds.

        Args:
            action: (S, W, *action).
            restart: Whether ended worlds begin their next episode; else they go on until `begin`,
                as if nothing had happened, and what they bring means nothing.
        """
        flat = np.asarray(action).reshape(len(self._all), *action.shape[2:])
        reward, terminated, _ = self._worlds.step(flat)
        done = terminated | (self._worlds.time >= self.limit)
        self._return += reward
        last = self._worlds.observe()
        ended = np.flatnonzero(done) if restart else np.empty(0, np.int64)
        if len(ended):
            self._count_returns(ended)
            self._worlds.start(ended)
        self.seen = self._shaped(self._worlds.observe() if len(ended) else last)
        return Step(
            self._shaped(last),
            reward.reshape(self.shape),
            terminated.reshape(self.shape),
            done.reshape(self.shape),
        )

    def recent(self) -> NDArray[np.float64]:
        """Return each seed's mean return of the episodes that ended since the last call.

        Returns:
            (S,), NaN where none ended.
        """
        known = self._count > 0
        mean = np.full(len(known), np.nan)
        mean[known] = self._sum[known] / self._count[known]
        self._sum[:], self._count[:] = 0.0, 0.0
        return mean

    def _count_returns(self, ended: NDArray[np.int64]) -> None:
        rows, size = self._seed[ended], self.shape[0]
        self._sum += np.bincount(rows, self._return[ended], size)
        self._count += np.bincount(rows, minlength=size)
        self._return[ended] = 0.0

    def _shaped(self, flat: Array) -> Array:
        return flat.reshape(*self.shape, *flat.shape[1:])


class Chance:
    """Random numbers for the choices of S seeds, each from a stream of its own.

    They come from the counter-based generator of the tasks, drawn ahead in blocks.

    Args:
        name: Who chooses; it sets the streams together with the seeds.
        seeds: The training seeds.
        shape: Shape of the numbers that one seed gets at once.
        normal: Standard normal numbers (float32) instead of uniform ones in [0, 1) (float64).
    """

    def __init__(
        self, name: str, seeds: Sequence[int], shape: tuple[int, ...], *, normal: bool = False
    ) -> None:
        self.name, self.seeds, self.shape, self.normal = name, list(seeds), shape, normal
        size = 8 * len(self.seeds) * math.prod(shape)
        self._ahead = max(_AHEAD_BYTES // size, 1)
        self._next = self._first = 0  # of the block
        self._block: Array = None  # (S, ahead, *shape)

    def seek(self, number: int) -> None:
        """Go on with the numbers that the draw of this number brings, counted from 0."""
        self._next = number

    def draw(self) -> Array:
        """Return the next numbers, (S, *shape)."""
        if self._block is None or not 0 <= self._next - self._first < self._ahead:
            draw = Draw(self.name, "train", self.seeds, self._next, self._ahead)
            numbers = draw.normal if self.normal else draw.uniform
            flat = numbers("choice", self.shape)
            self._block = flat.reshape(len(self.seeds), self._ahead, *self.shape)
            self._first = self._next
        self._next += 1
        return self._block[:, self._next - 1 - self._first]


class Curves:
    """Learning curves of seeds that learn side by side.

    Args:
        seeds: How many seeds.
        log: Gets the curves at the end, and hears of progress at once if it looks on.
    """

    def __init__(self, seeds: int, log: Log) -> None:
        self._log = log
        self._begun = time.process_time()
        self._points: list[list[tuple[int, dict[str, float]]]] = [[] for _ in range(seeds)]

    def note(
        self,
        samples: Sequence[int],
        returns: NDArray[np.float64],
        which: NDArray[np.bool_] | None = None,
    ) -> None:
        """Keep a point of each curve.

        Args:
            samples: How many steps each seed was shown.
            returns: (S,), NaN where there is none.
            which: (S,), of which seeds; by default of all.
        """
        share = (time.process_time() - self._begun) / len(self._points)
        for row, (shown, value) in enumerate(zip(samples, returns.tolist(), strict=True)):
            if which is None or which[row]:
                scalars = {"return": value} if math.isfinite(value) else {}
                self._points[row].append((shown, {"cpu_seconds": share, **scalars}))
        known = returns[np.isfinite(returns)]
        if isinstance(self._log, Watcher) and len(known):
            self._log.watch(max(samples), float(known.mean()))

    def close(self) -> None:
        """Hand the curves to the log, seed after seed, each from 0 samples up.

        "return" is the mean of the episodes that ended since the last point, "cpu_seconds" the time
        that all seeds have taken together, divided by their number.
        """
        for points in self._points:
            self._log(0, cpu_seconds=0.0)
            for samples, scalars in points:
                self._log(samples, **scalars)
