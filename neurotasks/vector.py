"""The batched face: N worlds of any task as one Gymnasium vector environment."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from neurotasks.errors import InvalidAction
from neurotasks.registry import load
from neurotasks.rng import check_seed
from neurotasks.worlds import check_action, open_worlds

__all__ = ["TaskVectorEnv"]


class TaskVectorEnv(VectorEnv[Any, Any, Any]):
    """N worlds of a task, stepped as one batch; world i has seed s + i.

    Args:
        num_envs: How many worlds.
        task: Id of the task.
        stage: "train", "validation", "test", "shift" or "private".
        autoreset_mode: What happens to a world whose trial has ended: "NextStep" begins the next
            trial in the next call of `step` (whose action it ignores, and whose reward is 0),
            "SameStep" in the same call (the last observation goes to `info["final_obs"]`),
            "Disabled" leaves it to `reset(options={"reset_mask": ...})`.
        max_episode_steps: Time limit, after which a world is truncated; None for no limit.
        render_mode: There is nothing to render, so None.
    """

    def __init__(
        self,
        num_envs: int,
        task: str,
        stage: str = "train",
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.task = load(task)
        self.stage = stage
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {"render_modes": [], "autoreset_mode": self.autoreset_mode}
        self.max_episode_steps = max_episode_steps
        self.single_observation_space = self.task.observation_space
        self.single_action_space = self.task.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._all = np.arange(num_envs)
        self._true = np.ones(num_envs, dtype=np.bool_)
        self._worlds = open_worlds(self.task, num_envs, stage)
        self._ended = self._all[:0]  # worlds whose trial has ended and whose next has not begun
        self._seeded = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin a trial in all worlds, or in those of `options["reset_mask"]`.

        Args:
            seed: Begin trial 0 of seed + i in world i; without it, each world's next trial.
            options: `{"reset_mask": (N,) bool}` leaves the worlds outside the mask as they are.
        """
        super().reset(seed=seed)
        which = self._reset_mask(options)
        if seed is None and not self._seeded:
            seed = int(self.np_random.integers(2**31))
        if seed is not None:
            first = check_seed(seed)
            check_seed(first + self.num_envs)
            self._worlds.seed(which, (first + which).tolist())
            self._seeded = True
        self._worlds.start(which)
        self._ended = self._ended[~np.isin(self._ended, which)]
        return self._worlds.observe(), self._info({"trial": self._worlds.trial()})

    def _reset_mask(self, options: dict[str, Any] | None) -> NDArray[np.int64]:
        if not options or "reset_mask" not in options:
            return self._all
        mask = options["reset_mask"]
        if (
            not isinstance(mask, np.ndarray)
            or mask.dtype != np.bool_
            or mask.shape != (self.num_envs,)
        ):
            raise ValueError(
                f"options['reset_mask'] must be a bool array of shape ({self.num_envs},)"
            )
        if not mask.any():
            raise ValueError("options['reset_mask'] selects no world; leave out the call instead")
        if not self._seeded and not mask.all():
            raise ValueError(
                "the first reset must take all worlds; leave out options['reset_mask']"
            )
        return np.flatnonzero(mask)

    def _info(self, columns: dict[str, NDArray[Any]]) -> dict[str, Any]:
        """Add the mask that Gymnasium wants beside each column."""
        masks = {f"_{name}": self._true.copy() for name in columns}
        return {**columns, **masks}

    def step(
        self, actions: Any
    ) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Act in all worlds.

        Raises:
            InvalidAction: An action has the wrong shape or type, or is not finite; or a world has
                ended and nobody has reset it.
        """
        answer = check_action(self.single_action_space, actions, (self.num_envs,))
        begun = self._ended
        if len(begun) and self.autoreset_mode == AutoresetMode.DISABLED:
            raise InvalidAction(
                f"world {begun[0]} has ended; "
                "call reset(options={'reset_mask': ...}) for it first"
            )
        reward, terminated, columns = self._worlds.step(answer)
        if len(begun):  # these only begin their next trial in this call
            self._worlds.start(begun)
            reward[begun], terminated[begun] = 0.0, False
        truncated = self._truncated()
        info = self._info(columns)
        done = terminated | truncated
        ended = done.nonzero()[0]
        if len(ended) and self.autoreset_mode == AutoresetMode.SAME_STEP:
            self._start_ended(ended, done, info)
            ended = ended[:0]
        self._ended = ended
        return self._worlds.observe(), reward, terminated, truncated, info

    def _truncated(self) -> NDArray[np.bool_]:
        if self.max_episode_steps is None:
            return np.zeros(self.num_envs, dtype=np.bool_)
        return self._worlds.time >= self.max_episode_steps

    def _start_ended(
        self, ended: NDArray[np.int64], done: NDArray[np.bool_], info: dict[str, Any]
    ) -> None:
        """Begin the next trial of the ended worlds, and keep what they showed last."""
        seen = self._worlds.observe()
        if len(ended) == self.num_envs:
            final = np.fromiter(seen, dtype=object, count=self.num_envs)
        else:
            final = np.full(self.num_envs, None, dtype=object)
            final[ended] = np.fromiter(seen[ended], dtype=object, count=len(ended))
        info["final_obs"], info["_final_obs"] = final, done.copy()
        info["final_info"] = {name: info[name].copy() for name in info if "final" not in name}
        info["_final_info"] = done
        self._worlds.start(ended)
