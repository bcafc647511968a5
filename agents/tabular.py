"""Agents with a table of values: Q-learning, SARSA and Dyna-Q, all seeds and worlds as one batch.

The value of an action is moved towards a target by a part of the difference:

    q-learning  reward + discount * the highest value where it led to (Watkins, 1989)
    sarsa       reward + discount * the value of what is done next (Rummery and Niranjan, 1994)

With planning, steps that are remembered are repeated between real ones: Dyna-Q (Sutton, 1990),
whose model takes the last outcome of an action for its only one.

A seed has one table, from which all of its worlds learn. Where several of them do the same in the
same place at the same time, the mean of their differences counts, so that the step does not grow
with the number of worlds. As it is at most the whole difference, no value can run away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents.cells import Cells, cells_of
from agents.play import Chance, Curves, Play
from neurotasks.agent import Budget, Log
from neurotasks.arrays import Array

__all__ = ["RULES", "TabularAgent", "TabularLearner"]

RULES = ("q-learning", "sarsa")
Places = NDArray[np.int64]


@dataclass(frozen=True)
class TabularAgent:
    """Takes the action of the highest value, of equal ones the first.

    Attributes:
        values: (cells, actions).
        cells: From observations to the rows of the table.
        start: Number of the first action.
        samples: How many steps it was shown in training.
    """

    values: NDArray[np.float64]
    cells: Cells
    start: int
    samples: int

    @property
    def parameters(self) -> int:
        """The number of values in the table."""
        return self.values.size

    def act(self, observation: Array, state: Any) -> tuple[Array, Any]:
        """Answer each step by itself."""
        return self.values[self.cells(observation)].argmax(axis=-1) + self.start, state


@dataclass(frozen=True, kw_only=True)
class TabularLearner:
    """Learns a table for each seed, with epsilon-greedy choices.

    Attributes:
        rule: "q-learning" or "sarsa".
        learning_rate: Which part of the difference to the target is added, in (0, 1].
        discount: Of the reward one step later.
        initial: The values before learning; high ones make an agent try everything.
        epsilon: Part of the choices that are random, at first.
        final_epsilon: The same in the end.
        exploration: Part of the budget over which it falls from the one to the other, in a line.
        planning: Remembered steps that are repeated for each real one.
        worlds: Worlds that each seed plays side by side.
        one_hot: How many numbers at the beginning of a Box observation are one-hot; see `cells_of`.
        edges: Inner edges of the bins of each number of a Box observation.
        bins: Equal bins of each number where there are no edges.
        checks: How often during the budget progress is logged.
    """

    rule: str = "q-learning"
    learning_rate: float = 0.5
    discount: float = 0.99
    initial: float = 0.0
    epsilon: float = 1.0
    final_epsilon: float = 0.0
    exploration: float = 0.8
    planning: int = 0
    worlds: int = 4
    one_hot: int = 0
    edges: Sequence[Sequence[float]] = ()
    bins: int = 8
    checks: int = 20

    def __post_init__(self) -> None:
        """Refuse what cannot learn."""
        if self.rule not in RULES:
            raise ValueError(f"there is no rule {self.rule!r}; there are {', '.join(RULES)}")
        if not 0.0 < self.learning_rate <= 1.0:
            raise ValueError(f"the learning rate is {self.learning_rate:g}; it lies in (0, 1]")
        if self.planning and self.rule != "q-learning":
            raise ValueError(f"planning belongs to q-learning, not to {self.rule}")

    def learn(
        self, task: Any, *, seeds: Sequence[int], budget: Budget, log: Log
    ) -> list[TabularAgent]:
        """Learn a control task (or a trial task, as a game of one trial), all seeds side by side.

        Args:
            task: The task.
            seeds: One for each agent.
            budget: Environment steps of each seed, rounded down to whole steps of all its worlds.
            log: Gets "return" and "cpu_seconds"; see `Curves`.

        Raises:
            TypeError: The actions are not classes, or a table cannot number the observations.
        """
        space = task.action_space
        if not isinstance(space, gym.spaces.Discrete):
            raise TypeError(f"a table has columns for a Discrete space of actions, not for {space}")
        cells = cells_of(
            task.observation_space, one_hot=self.one_hot, edges=self.edges, bins=self.bins
        )
        play, curves = Play(task, seeds, self.worlds), Curves(len(seeds), log)
        steps = max(budget.samples // self.worlds, 1)
        values = np.full((len(seeds), cells.size, int(space.n)), self.initial)
        table = _Table(values, self.learning_rate)
        chance = Chance(f"{task.card.label} {self.rule}", seeds, (self.worlds, 2))
        model = _Model(table, Chance(f"{task.card.label} model", seeds, (self.worlds,)))
        cell = cells(play.seen)
        action = table.choose(cell, chance.draw(), self.epsilon)
        for step in range(steps):
            found = play.step(action + int(space.start))
            numbers, epsilon = chance.draw(), self._epsilon((step + 1) / steps)
            after = cells(found.last)
            following = table.choose(after, numbers, epsilon)
            future = self.discount * table.read(after, following, best=self.rule != "sarsa")
            table.learn(cell, action, found.reward + np.where(found.terminated, 0.0, future))
            if self.planning:
                factor = np.where(found.terminated, 0.0, self.discount)
                model.keep(table.place(cell, action), found.reward, after, factor)
                model.repeat(self.planning)
            cell, action = after, following
            if found.done.any():
                cell = cells(play.seen)
                fresh = table.choose(cell, numbers, epsilon)
                action = np.where(found.done, fresh, following)
            if (step + 1) * self.checks // steps > step * self.checks // steps:
                curves.note([(step + 1) * self.worlds] * len(seeds), play.recent())
        curves.close()
        start, shown = int(space.start), steps * self.worlds
        return [TabularAgent(row, cells, start, shown) for row in table.values]

    def _epsilon(self, progress: float) -> float:
        """Return which part of the choices is random after a part of the budget."""
        fallen = min(progress / self.exploration, 1.0) if self.exploration > 0 else 1.0
        return self.epsilon + (self.final_epsilon - self.epsilon) * fallen


class _Table:
    """The values of all seeds.

    Args:
        values: (S, cells, actions).
        rate: The learning rate.
    """

    def __init__(self, values: NDArray[np.float64], rate: float) -> None:
        self.values, self.rate = values, rate
        self.flat = values.reshape(-1)
        self.rows = np.arange(len(values))[:, None]

    def place(self, cell: Places, action: Places) -> Places:
        """Return where the values of actions stand in the flat table, (S, W)."""
        _, cells, actions = self.values.shape
        return (self.rows * cells + cell) * actions + action

    def read(self, cell: Places, action: Places, *, best: bool) -> NDArray[np.float64]:
        """Return the values of actions, or of the best ones, (S, W)."""
        if best:
            return self.values[self.rows, cell].max(axis=-1)
        return self.values[self.rows, cell, action]

    def choose(self, cell: Places, numbers: NDArray[np.float64], epsilon: float) -> Places:
        """Return actions (S, W): random ones now and then, else one of the best.

        Args:
            cell: (S, W).
            numbers: (S, W, 2) uniform: whether to explore, and which of the equal actions to take.
            epsilon: The part of random choices.
        """
        values = self.values[self.rows, cell]
        equal = values == values.max(axis=-1, keepdims=True)
        equal |= (numbers[..., 0] < epsilon)[..., None]
        rank = np.floor(numbers[..., 1] * equal.sum(axis=-1))
        return (equal.cumsum(axis=-1) > rank[..., None]).argmax(axis=-1)

    def learn(self, cell: Places, action: Places, target: NDArray[np.float64]) -> None:
        """Move the values of actions towards their targets, (S, W) each."""
        self.move(self.place(cell, action), target)

    def move(self, place: Places, target: NDArray[np.float64]) -> None:
        """Move the values at places of the flat table towards their targets, (S, W) each."""
        places, which, counts = np.unique(place, return_inverse=True, return_counts=True)
        error = (target - self.flat[place]).reshape(-1)
        self.flat[places] += self.rate * np.bincount(which.reshape(-1), error) / counts


class _Model:
    """What each seed remembers of the world: the last outcome of every action tried.

    Args:
        table: The values.
        chance: Which remembered steps are repeated, (S, W) at once.
    """

    def __init__(self, table: _Table, chance: Chance) -> None:
        self.table, self.chance = table, chance
        seeds, cells, actions = table.values.shape
        self.each = cells * actions
        self.reward, self.factor = np.zeros(len(table.flat)), np.zeros(len(table.flat))
        self.after = np.zeros(len(table.flat), dtype=np.int64)
        self.tried = np.zeros(len(table.flat), dtype=np.bool_)
        self.order = np.zeros((seeds, self.each), dtype=np.int64)  # places in the order of trying
        self.known = np.zeros(seeds, dtype=np.int64)  # how many of them each seed has tried

    def keep(self, place: Places, reward: Array, after: Places, factor: Array) -> None:
        """Remember outcomes, (S, W) each; `factor` is the discount of what comes after."""
        self.reward[place], self.after[place], self.factor[place] = reward, after, factor
        fresh = np.unique(place[~self.tried[place]])
        self.tried[fresh] = True
        seed = fresh // self.each
        rank = np.arange(len(fresh)) - np.searchsorted(seed, seed)
        self.order[seed, self.known[seed] + rank] = fresh
        self.known += np.bincount(seed, minlength=len(self.known))

    def repeat(self, times: int) -> None:
        """Learn from remembered steps, W for each seed and time."""
        rows = self.table.rows
        for _ in range(times):
            pick = np.floor(self.chance.draw() * self.known[:, None]).astype(np.int64)
            place = self.order[rows, pick]
            best = self.table.values[rows, self.after[place]].max(axis=-1)
            self.table.move(place, self.reward[place] + self.factor[place] * best)
