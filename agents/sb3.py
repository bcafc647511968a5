"""A learner that trains with Stable-Baselines3 (Raffin et al., 2021) and its contributed part."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

import gymnasium as gym

from agents.devices import choose_device, one_thread
from agents.isolation import isolated
from agents.sb3_actors import Actor, actor
from agents.sb3_env import TaskVecEnv
from agents.training import TorchAgent, TrainingDiverged
from agents.zoo import preset
from neurotasks.agent import Budget, Log
from neurotasks.errors import MissingExtra
from neurotasks.vector import TaskVectorEnv

try:
    from stable_baselines3 import A2C, DQN, PPO, SAC
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.logger import Logger
    from stable_baselines3.common.utils import safe_mean
    from stable_baselines3.common.vec_env import VecNormalize
except ModuleNotFoundError as missing:
    raise MissingExtra("stable-baselines3", "sb3") from missing

from torch import nn

__all__ = ["FAST", "Actor", "SB3Learner", "TaskVecEnv", "actor", "zoo"]

_ALGORITHMS: Mapping[str, type[BaseAlgorithm]] = MappingProxyType(
    {"A2C": A2C, "DQN": DQN, "PPO": PPO, "SAC": SAC}
)
_RECURRENT = "RecurrentPPO"
_STEPS_OF_UPDATE = MappingProxyType({"DQN": 4, "SAC": 1})
_BATCHES = MappingProxyType({"PPO": 64, "RecurrentPPO": 128})
"""Steps of a world between two updates, and of a batch, where the settings say nothing."""

FAST: Mapping[str, Any] = MappingProxyType(
    {"batch_size": 1024, "n_epochs": 8, "learning_rate": 3e-3}
)
"""Settings of PPO for small tasks: few large batches from many worlds."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_LINEAR = "lin_"  # before a number that falls to zero in a line, as the zoo writes it
_REPORTS = 50  # of one seed, at most


@dataclass(frozen=True)
class SB3Learner:
    """An algorithm of Stable-Baselines3.

    Attributes:
        algorithm: "PPO", "A2C", "DQN", "SAC" or "RecurrentPPO".
        policy: Name of the policy, "MlpPolicy" or "CnnPolicy", of RecurrentPPO "MlpLstmPolicy".
        n_envs: Worlds side by side; seed s plays the worlds s * n_envs to (s + 1) * n_envs - 1.
        n_steps: Steps in each world between two updates; DQN and SAC have `train_freq` instead.
        settings: Other keywords of the algorithm; None for `FAST` with PPO, else for none. The text
            "lin_0.001" stands for a number that falls from there to zero in a line, and the name of
            a module of torch for itself in `policy_kwargs`.
        normalize: Whether observations and rewards are normalised by their running statistics.
        device: Where the policy lives; for small ones the CPU is the fastest place.
    """

    algorithm: str = "PPO"
    policy: str = "MlpPolicy"
    n_envs: int = 64
    n_steps: int = 64
    settings: Mapping[str, Any] | None = None
    normalize: bool = False
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Refuse an algorithm that does not exist."""
        known = (*_ALGORITHMS, _RECURRENT)
        if self.algorithm not in known:
            raise ValueError(
                f"there is no algorithm {self.algorithm!r}; there are {', '.join(known)}"
            )
        if self.settings is None:
            object.__setattr__(self, "settings", FAST if self.algorithm == "PPO" else _NOTHING)

    def learn(
        self, task: Any, *, seeds: Sequence[int], budget: Budget, log: Log
    ) -> list[TorchAgent]:
        """Learn a control task (or a trial task, as a game of one trial), seed after seed.

        Args:
            task: The task.
            seeds: One for each agent.
            budget: Environment steps, rounded down to whole rollouts.
            log: Gets the mean "return" of the last 100 training episodes and the "cpu_seconds" so
                far, after a rollout, but not more than 50 times.

        Raises:
            MissingExtra: RecurrentPPO without sb3-contrib.
            TrainingDiverged: The weights of a seed are no longer numbers; all others have learned.
        """
        agents, failures = {}, {}
        for seed in seeds:
            agent = self._learn_one(task.card.id, seed, budget.samples, log)
            if _finite(agent.network):
                agents[seed] = agent
            else:
                failures[seed] = "weights are no longer numbers"
        if failures:
            raise TrainingDiverged(
                f"training on {task.card.id} failed, weights are no longer numbers for seed "
                f"{', '.join(map(str, failures))}: lower the learning rate",
                agents,
                failures,
            )
        return [agents[seed] for seed in seeds]

    def _learn_one(self, task: str, seed: int, samples: int, log: Log) -> TorchAgent:
        told, steps = self._told(samples)
        rollout = steps * self.n_envs
        vector = gym.make_vec(task, num_envs=self.n_envs, autoreset_mode="SameStep")
        env: Any = TaskVecEnv(cast("TaskVectorEnv", vector.unwrapped))
        env.seed(seed * self.n_envs)
        env.action_space.seed(seed)
        if self.normalize:
            env = VecNormalize(env, gamma=told.get("gamma", 0.99))
        total = max(samples // rollout, 1) * rollout
        with one_thread(), isolated(seed):
            device = choose_device(self.device)
            model = _class_of(self.algorithm)(self.policy, env, device=device, **told)
            model.set_logger(Logger(folder=None, output_formats=[]))
            try:
                model.learn(total, callback=_Report(log, total))
            except (ValueError, RuntimeError):  # torch's, where weights are no longer numbers
                if _finite(model.policy):
                    raise
        env.close()
        return actor(model.policy, env if self.normalize else None, model.num_timesteps)

    def _told(self, samples: int) -> tuple[dict[str, Any], int]:
        """Return what the algorithm is told, and the steps of each world between two updates."""
        told = {name: _meant(value) for name, value in (self.settings or {}).items()}
        room = max(samples // self.n_envs, 1)
        if self.algorithm in _STEPS_OF_UPDATE:
            steps = min(told.get("train_freq", _STEPS_OF_UPDATE[self.algorithm]), room)
            return {**told, "train_freq": steps}, steps
        steps = min(self.n_steps, room)
        if self.algorithm in _BATCHES:  # a batch is never larger than a rollout
            batch = told.get("batch_size", _BATCHES[self.algorithm])
            told["batch_size"] = min(batch, steps * self.n_envs)
        return {**told, "n_steps": steps}, steps


def zoo(algorithm: str, task: str, device: str = "cpu") -> SB3Learner:
    """Return the learner with the settings that RL Baselines3 Zoo publishes; see `agents.zoo`.

    Args:
        algorithm: "PPO", "A2C", "DQN", "SAC" or "RecurrentPPO".
        task: Name of the task, without its version.
        device: Where the policy lives.

    Raises:
        ValueError: There are none.
    """
    found = preset(algorithm, task)
    return SB3Learner(
        algorithm,
        policy="MlpLstmPolicy" if algorithm == _RECURRENT else "MlpPolicy",
        n_envs=found.n_envs,
        n_steps=found.n_steps,
        settings=found.settings,
        normalize=found.normalize,
        device=device,
    )


def _class_of(algorithm: str) -> Any:
    if algorithm != _RECURRENT:
        return _ALGORITHMS[algorithm]
    try:
        from sb3_contrib import RecurrentPPO  # noqa: PLC0415 - the others do without
    except ModuleNotFoundError as error:
        raise MissingExtra("sb3-contrib", "sb3") from error
    return RecurrentPPO


def _meant(value: Any) -> Any:
    """Return what a setting stands for."""
    if isinstance(value, str) and value.startswith(_LINEAR):
        return _falling(float(value.removeprefix(_LINEAR)))
    if not isinstance(value, Mapping):
        return value
    told = {name: _meant(item) for name, item in value.items()}
    if isinstance(told.get("activation_fn"), str):
        told["activation_fn"] = getattr(nn, told["activation_fn"])
    return told


def _falling(first: float) -> Callable[[float], float]:
    """Return the schedule from the part of the budget that is left to a number."""
    return lambda left: left * first


def _finite(module: nn.Module) -> bool:
    return all(bool(value.isfinite().all()) for value in module.parameters())


class _Report(BaseCallback):
    """Hands the mean return and the CPU time on, after a rollout now and then."""

    def __init__(self, log: Log, total: int) -> None:
        super().__init__()
        self._log, self._every = log, total / _REPORTS
        self._begun, self._told = time.process_time(), 0

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if self.num_timesteps - self._told < self._every:
            return
        self._told = self.num_timesteps
        scalars = {"cpu_seconds": time.process_time() - self._begun}
        episodes = self.model.ep_info_buffer
        if episodes:
            scalars["return"] = float(safe_mean([episode["r"] for episode in episodes]))
        self._log(self.num_timesteps, **scalars)
