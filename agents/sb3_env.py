"""Our batched environments behind the interface of Stable-Baselines3.

Stable-Baselines3 has a vector interface of its own, older than Gymnasium's: four values from a
step, a list of info dictionaries, the first observation of the next episode in the place of the
last one of this. Our batched environments in mode "SameStep" carry the same facts.
"""

from __future__ import annotations

import copy
import time
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from neurotasks.arrays import Array
from neurotasks.errors import MissingExtra
from neurotasks.vector import TaskVectorEnv

try:
    from stable_baselines3.common.vec_env import VecEnv
except ModuleNotFoundError as missing:
    raise MissingExtra("stable-baselines3", "sb3") from missing

__all__ = ["TaskVecEnv"]


class TaskVecEnv(VecEnv):
    """Our batched environment behind the interface of Stable-Baselines3.

    Args:
        env: A batched environment in mode "SameStep".
    """

    def __init__(self, env: TaskVectorEnv) -> None:
        if env.autoreset_mode is not gym.vector.AutoresetMode.SAME_STEP:
            raise ValueError(
                f"the environment resets in mode {env.autoreset_mode.value!r}; "
                "make it with autoreset_mode='SameStep'"
            )
        self.env = env
        self._actions: Array = None
        self._returns = np.zeros(env.num_envs)
        self._lengths = np.zeros(env.num_envs, dtype=np.int64)
        self._begun = time.perf_counter()
        # Stable-Baselines3 draws from the space of actions, which all users of the task share.
        actions = copy.deepcopy(env.single_action_space)
        super().__init__(env.num_envs, env.single_observation_space, actions)

    def reset(self) -> Any:
        """Begin a trial in every world, seeded if `seed` was called before."""
        observation, _ = self.env.reset(seed=self._seeds[0])
        self._reset_seeds()
        self._reset_options()
        self._returns[:], self._lengths[:] = 0.0, 0
        return observation

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> Any:
        """Act in every world.

        Returns:
            Observations, rewards, whether each world has ended, and a dictionary for each world:
            empty but where it has ended.
        """
        observation, reward, terminated, truncated, info = self.env.step(self._actions)
        done = terminated | truncated
        self._returns += reward
        self._lengths += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for world in np.flatnonzero(done).tolist():
            infos[world] = {
                "terminal_observation": info["final_obs"][world],
                "TimeLimit.truncated": bool(truncated[world] and not terminated[world]),
                "episode": {
                    "r": float(self._returns[world]),
                    "l": int(self._lengths[world]),
                    "t": time.perf_counter() - self._begun,
                },
            }
        self._returns[done], self._lengths[done] = 0.0, 0
        return observation, reward.astype(np.float32), done, infos

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute, which all worlds share, once for each world."""
        return [getattr(self.env, attr_name)] * len(self._which(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:  # noqa: ARG002
        """Refuse: the worlds are one batch and have no attributes of their own."""
        raise AttributeError(f"cannot set {attr_name!r}: the worlds of a batch share their facts")

    def env_method(self, method_name: str, *_: Any, indices: Any = None, **__: Any) -> list[Any]:  # noqa: ARG002
        """Refuse: the worlds are one batch and have no methods of their own."""
        raise AttributeError(f"cannot call {method_name!r}: the worlds of a batch act together")

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: Any = None) -> list[bool]:  # noqa: ARG002
        """Return False for each world: no world is wrapped by itself."""
        return [False] * len(self._which(indices))

    def _which(self, indices: Any) -> range | list[int]:
        if indices is None:
            return range(self.num_envs)
        return [indices] if isinstance(indices, int) else list(indices)
