"""The single face: a plain Gymnasium environment of any task."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from neurotasks.ahead import draw_trials, trials_ahead
from neurotasks.arrays import Array
from neurotasks.metrics import correct
from neurotasks.registry import load
from neurotasks.rng import check_seed
from neurotasks.task import ControlTask, StreamTask, TrialTask
from neurotasks.worlds import check_action, open_worlds

__all__ = ["TaskEnv"]

_FIRST = np.zeros(1, dtype=np.int64)
_INTEGERS = (int, np.int64)


class TaskEnv(gym.Env[Any, Any]):
    """One world of a task.

    An episode is one trial. `reset(seed=s)` begins trial 0 of seed s, each further `reset()` the
    next one. In a trial task the rewards of an episode add up to the raw metric of the trial,
    negated where lower is better, and `info` tells the truth ("answer") and whether it was scored.

    Args:
        task: Id of the task.
        stage: "train", "validation", "test", "shift" or "private".
        render_mode: There is nothing to render, so None.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}  # type: ignore[misc]

    def __init__(self, task: str, stage: str = "train", render_mode: str | None = None) -> None:
        self.task = load(task)
        self.stage = stage
        self.render_mode = render_mode
        self.observation_space = self.task.observation_space
        self.action_space = self.task.action_space
        self._world: _Episodes | _Trials = (
            _Episodes(self.task, stage)
            if isinstance(self.task, ControlTask)
            else _Trials(self.task, stage)
        )
        self._seeded = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin a trial.

        Args:
            seed: Begin trial 0 of this seed; without it, the next trial.
            options: None are known.

        Returns:
            The first observation, and {"trial": the trial's number}.
        """
        super().reset(seed=seed, options=options)
        if seed is None and not self._seeded:
            seed = int(self.np_random.integers(2**31))
        if seed is not None:
            self._world.seed(check_seed(seed))
            self._seeded = True
        self._world.start()
        return self._world.observe(), {"trial": self._world.trial()}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Answer one step.

        Raises:
            InvalidAction: The answer has the wrong shape or type, or is not finite.
        """
        return self._world.step(action)


def _classes(space: gym.Space[Any]) -> tuple[int, int]:
    """Return the first and the last class, if the answers are classes; else no integer fits."""
    if not isinstance(space, gym.spaces.Discrete):
        return 0, -1
    return int(space.start), int(space.start + space.n) - 1


class _Episodes:
    """One world of a control task: a batch of one."""

    def __init__(self, task: ControlTask[Any], stage: str) -> None:
        self._space = task.action_space
        self._low, self._high = _classes(self._space)
        self._worlds = open_worlds(task, 1, stage)

    def seed(self, seed: int) -> None:
        self._worlds.seed(_FIRST, [seed])

    def start(self) -> None:
        self._worlds.start(_FIRST)

    def observe(self) -> Array:
        return self._worlds.observe()[0]

    def trial(self) -> int:
        return int(self._worlds.trial()[0])

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if type(action) not in _INTEGERS or not self._low <= action <= self._high:
            action = check_action(self._space, action, ())
        outcome = self._worlds.step(np.array((action,)))
        seen = self._worlds.observe()[0]
        return seen, float(outcome.reward[0]), bool(outcome.terminated[0]), False, {}


class _Trials:
    """One world of a trial or a stream task: trials are drawn ahead, and read as plain numbers.

    For a single number NumPy's calls cost more than all else, so that the steps of the trials ahead
    stand in lists.
    """

    def __init__(self, task: TrialTask | StreamTask, stage: str) -> None:
        task.card.stage(stage)
        self._task, self._stage, self._space = task, stage, task.action_space
        self._values = task.card.metric.values
        self._ahead = trials_ahead(task, 1)
        self._seed, self._number = 0, -1
        self._first, self._drawn = 0, 0  # trials drawn ahead: number of the first, how many
        self._place = self._end = 0  # steps drawn ahead: the one that is seen, the trial's last
        self._low, self._high = _classes(self._space)
        self._ended = False

    def seed(self, seed: int) -> None:
        self._seed, self._number = seed, -1
        self._first = self._drawn = 0

    def start(self) -> None:
        self._number += 1
        if self._number >= self._first + self._drawn:
            self._draw()
        self._place = (self._number - self._first) * self._length
        self._end = self._place + self._length - 1
        self._ended = False

    def _draw(self) -> None:
        self._first, self._drawn = self._number, self._ahead
        batch = draw_trials(self._task, self._stage, self._seed, self._number, self._ahead)
        self._length = batch.mask.shape[1]
        weight = batch.mask / batch.mask.sum(axis=1, keepdims=True) * self._task.card.metric.sign
        self._x, self._y = (part.reshape((-1, *part.shape[2:])) for part in (batch.x, batch.y))
        self._scored, self._weight = batch.mask.reshape(-1).tolist(), weight.reshape(-1).tolist()
        self._classes = self._y.tolist() if self._y.ndim == 1 else None

    def observe(self) -> Array:
        return self._x[self._place].copy()

    def trial(self) -> int:
        return self._number

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if type(action) not in _INTEGERS or not self._low <= action <= self._high:
            action = check_action(self._space, action, ())
        place = self._place
        scored, classes = self._scored[place], self._classes
        truth = self._y[place].copy() if classes is None else classes[place]
        reward = self._pay(action, truth) if scored else 0.0
        info = {"trial": self._number, "answer": truth, "scored": scored}
        ended = self._ended or place == self._end
        if ended:  # after its end a trial goes on showing its last step
            self._ended = True
        else:
            place += 1
            self._place = place
        return self._x[place].copy(), reward, ended, False, info

    def _pay(self, action: Any, truth: Any) -> float:
        weight = self._weight[self._place]
        if self._values is correct and self._classes is not None:
            return weight if action == truth else 0.0
        if self._values is None:
            card = self._task.card
            raise TypeError(f"{card.id} is a trial task, so its metric needs `values`")
        answer, wanted = np.asarray(action)[None, None], np.asarray(truth)[None, None]
        return float(self._values(answer, wanted)[0, 0] * weight)
