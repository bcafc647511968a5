"""Stable-Baselines3 on our tasks: an adapter for its vector environments, a learner, an agent.

Stable-Baselines3 has a vector interface of its own, older than Gymnasium's: four values from a
step, a list of info dictionaries, the first observation of the next episode in the place of the
last one of this. Our batched environments in mode "SameStep" carry the same facts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, cast

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from agents.devices import choose_device, one_thread
from agents.isolation import isolated
from agents.networks import Network, Readout
from agents.training import TorchAgent
from neurotasks.agent import Budget, Log
from neurotasks.arrays import Array
from neurotasks.errors import MissingExtra
from neurotasks.vector import TaskVectorEnv

try:
    from stable_baselines3 import A2C, PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.logger import Logger
    from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
    from stable_baselines3.common.policies import ActorCriticPolicy
    from stable_baselines3.common.preprocessing import preprocess_obs
    from stable_baselines3.common.utils import safe_mean
    from stable_baselines3.common.vec_env import VecEnv
except ModuleNotFoundError as missing:
    raise MissingExtra("stable-baselines3", "sb3") from missing

from torch import Tensor

__all__ = ["FAST", "Actor", "SB3Learner", "TaskVecEnv", "actor"]

_ALGORITHMS: Mapping[str, type[OnPolicyAlgorithm]] = MappingProxyType({"A2C": A2C, "PPO": PPO})

FAST: Mapping[str, Any] = MappingProxyType(
    {"batch_size": 1024, "n_epochs": 8, "learning_rate": 3e-3}
)
"""Settings of PPO for small tasks: few large batches from many worlds."""


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
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

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


class Actor(Network):
    """The half of an actor-critic that answers, with our signature; it has no memory.

    Its output is the logits of a Discrete space, or the mean action clipped to a Box space: what
    the policy itself answers when it is asked for its most likely action.

    Args:
        policy: Actor and critic.
    """

    low: Tensor
    high: Tensor

    def __init__(self, policy: ActorCriticPolicy) -> None:
        super().__init__(policy.observation_space)
        self.space, self.images = policy.observation_space, policy.normalize_images
        self.features = policy.pi_features_extractor
        self.hidden = policy.mlp_extractor.policy_net
        self.output = policy.action_net
        self.bounded = isinstance(policy.action_space, gym.spaces.Box)
        if isinstance(policy.action_space, gym.spaces.Box):
            self.register_buffer("low", torch.tensor(policy.action_space.low.reshape(-1)))
            self.register_buffer("high", torch.tensor(policy.action_space.high.reshape(-1)))

    def forward(
        self, observation: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Answer each step by itself."""
        flat = observation.flatten(0, 1)
        encoded = preprocess_obs(flat, self.space, normalize_images=self.images)
        output = self.output(self.hidden(self.features(encoded)))
        if self.bounded:
            output = torch.clamp(output, self.low, self.high)
        return output.unflatten(0, observation.shape[:2]), state


def actor(policy: ActorCriticPolicy) -> TorchAgent:
    """Return the agent that takes a policy's most likely action."""
    space = policy.action_space
    if isinstance(space, gym.spaces.Discrete):
        shape = Readout("cross-entropy", (), int(space.n), classes=True, start=int(space.start))
    else:
        dimensions = space.shape or ()
        shape = Readout("squared error", dimensions, math.prod(dimensions), classes=False)
    return TorchAgent(Actor(policy).eval(), shape)


@dataclass(frozen=True)
class SB3Learner:
    """An on-policy algorithm of Stable-Baselines3.

    Attributes:
        algorithm: "PPO" or "A2C".
        policy: Name of the policy, "MlpPolicy" or "CnnPolicy".
        n_envs: Worlds side by side; seed s plays the worlds s * n_envs to (s + 1) * n_envs - 1.
        n_steps: Steps in each world between two updates.
        settings: Other keywords of the algorithm.
        device: Where the policy lives; for small ones the CPU is the fastest place.
    """

    algorithm: str = "PPO"
    policy: str = "MlpPolicy"
    n_envs: int = 64
    n_steps: int = 64
    settings: Mapping[str, Any] = field(default_factory=lambda: FAST)
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Refuse an algorithm that does not exist."""
        if self.algorithm not in _ALGORITHMS:
            known = ", ".join(_ALGORITHMS)
            raise ValueError(f"there is no algorithm {self.algorithm!r}; there are {known}")

    def learn(
        self, task: Any, *, seeds: Sequence[int], budget: Budget, log: Log
    ) -> list[TorchAgent]:
        """Learn a control task (or a trial task, as a game of one trial), seed after seed.

        Args:
            task: The task.
            seeds: One for each agent.
            budget: Environment steps, rounded down to whole rollouts of n_envs * n_steps.
            log: Gets the mean return of the last 100 training episodes after each rollout.
        """
        return [self._learn_one(task.card.id, seed, budget.samples, log) for seed in seeds]

    def _learn_one(self, task: str, seed: int, samples: int, log: Log) -> TorchAgent:
        n_steps = min(self.n_steps, max(samples // self.n_envs, 1))
        rollout = n_steps * self.n_envs
        settings = dict(self.settings)
        if "batch_size" in settings:
            settings["batch_size"] = min(settings["batch_size"], rollout)
        vector = gym.make_vec(task, num_envs=self.n_envs, autoreset_mode="SameStep")
        env = TaskVecEnv(cast("TaskVectorEnv", vector.unwrapped))
        env.seed(seed * self.n_envs)
        with one_thread(), isolated(seed):
            model = _ALGORITHMS[self.algorithm](
                self.policy, env, n_steps=n_steps, device=choose_device(self.device), **settings
            )
            model.set_logger(Logger(folder=None, output_formats=[]))
            model.learn(max(samples // rollout, 1) * rollout, callback=_Report(log))
        env.close()
        return actor(model.policy)


class _Report(BaseCallback):
    """Hands the mean return on after each rollout."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        episodes = self.model.ep_info_buffer
        if episodes:
            mean = float(safe_mean([episode["r"] for episode in episodes]))
            self._log(self.num_timesteps, **{"return": mean})
