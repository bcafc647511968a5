"""The single face: a plain Gymnasium environment of any task."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from neurotasks.registry import load
from neurotasks.rng import check_seed
from neurotasks.worlds import check_action, open_worlds

__all__ = ["TaskEnv"]

_FIRST = np.zeros(1, dtype=np.int64)


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
        self._worlds = open_worlds(self.task, 1, stage)
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
            self._worlds.seed(_FIRST, [check_seed(seed)])
            self._seeded = True
        self._worlds.start(_FIRST)
        return self._worlds.observe()[0], {"trial": int(self._worlds.trial()[0])}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Answer one step.

        Raises:
            InvalidAction: The answer has the wrong shape or type, or is not finite.
        """
        answer = check_action(self.action_space, action, ())
        outcome = self._worlds.step(answer[None])
        info = {name: column[0] for name, column in outcome.info.items()}
        terminated = bool(outcome.terminated[0])
        return self._worlds.observe()[0], float(outcome.reward[0]), terminated, False, info
