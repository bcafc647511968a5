"""Settings of Stable-Baselines3's algorithms as RL Baselines3 Zoo publishes them.

Facts from its folder `hyperparams` (Raffin, 2020, https://github.com/DLR-RM/rl-baselines3-zoo), for
the tasks that are here too; what is not said there is the library's own default. Those of
RecurrentPPO were found, but for Acrobot, on forms of the tasks that hide all velocities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

__all__ = ["ZOO", "Preset", "preset"]

_A2C_STEPS = 5  # the library's default


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What one algorithm is told on one task.

    Attributes:
        samples: Environment steps.
        settings: Keywords of the algorithm; "lin_0.001" falls from there to zero in a line.
        n_envs: Worlds side by side.
        n_steps: Steps in each of them between two updates; DQN and SAC have none.
        normalize: Whether observations and rewards are normalised.
    """

    samples: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    n_envs: int = 1
    n_steps: int = 1
    normalize: bool = False


_EXPLORING = {"log_std_init": -2, "ortho_init": False}
_LSTM = {
    "ortho_init": False,
    "activation_fn": "ReLU",
    "lstm_hidden_size": 64,
    "enable_critic_lstm": True,
    "net_arch": {"pi": [64], "vf": [64]},
}
_CART = {
    "batch_size": 256,
    "gae_lambda": 0.8,
    "gamma": 0.98,
    "n_epochs": 20,
    "ent_coef": 0.0,
    "learning_rate": "lin_0.001",
    "clip_range": "lin_0.2",
}
_PENDULUM = {
    "gae_lambda": 0.95,
    "gamma": 0.9,
    "n_epochs": 10,
    "ent_coef": 0.0,
    "learning_rate": 1e-3,
    "clip_range": 0.2,
    "use_sde": True,
    "sde_sample_freq": 4,
}
_CAR = {"gae_lambda": 0.98, "gamma": 0.99, "n_epochs": 4, "ent_coef": 0.0}
_ACROBOT = {"gae_lambda": 0.94, "gamma": 0.99, "n_epochs": 4, "ent_coef": 0.0}
_CAR_CONTINUOUS = {
    "batch_size": 256,
    "gamma": 0.9999,
    "learning_rate": 7.77e-5,
    "ent_coef": 0.00429,
    "clip_range": 0.1,
    "n_epochs": 10,
    "gae_lambda": 0.9,
    "max_grad_norm": 5,
    "vf_coef": 0.19,
    "use_sde": True,
}
_WIDE = {"net_arch": [256, 256]}

_PPO = {
    "CartPole": Preset(samples=100_000, n_envs=8, n_steps=32, settings=_CART),
    "Pendulum": Preset(samples=100_000, n_envs=4, n_steps=1024, settings=_PENDULUM),
    "MountainCar": Preset(samples=1_000_000, n_envs=16, n_steps=16, normalize=True, settings=_CAR),
    "MountainCarContinuous": Preset(
        samples=20_000,
        n_steps=8,
        normalize=True,
        settings={
            **_CAR_CONTINUOUS,
            "policy_kwargs": {"log_std_init": -3.29, "ortho_init": False},
        },
    ),
    "Acrobot": Preset(samples=1_000_000, n_envs=16, n_steps=256, normalize=True, settings=_ACROBOT),
}
_RECURRENT_PPO = {
    "CartPole": Preset(
        samples=100_000,
        n_envs=8,
        n_steps=32,
        normalize=True,
        settings={**_CART, "policy_kwargs": _LSTM},
    ),
    "Pendulum": Preset(
        samples=100_000,
        n_envs=4,
        n_steps=1024,
        normalize=True,
        settings={**_PENDULUM, "policy_kwargs": _LSTM},
    ),
    "MountainCar": Preset(samples=1_000_000, n_envs=16, n_steps=16, normalize=True, settings=_CAR),
    "MountainCarContinuous": Preset(
        samples=300_000,
        n_envs=8,
        n_steps=1024,
        normalize=True,
        settings={
            **_CAR_CONTINUOUS,
            "sde_sample_freq": 8,
            "policy_kwargs": {
                "log_std_init": 0.0,
                "ortho_init": False,
                "lstm_hidden_size": 32,
                "enable_critic_lstm": True,
                "net_arch": {"pi": [64], "vf": [64]},
            },
        },
    ),
    "Acrobot": Preset(samples=1_000_000, n_envs=16, n_steps=256, normalize=True, settings=_ACROBOT),
}
_A2C = {
    "CartPole": Preset(samples=500_000, n_envs=8, n_steps=_A2C_STEPS, settings={"ent_coef": 0.0}),
    "Pendulum": Preset(
        samples=1_000_000,
        n_envs=8,
        n_steps=8,
        normalize=True,
        settings={
            "ent_coef": 0.0,
            "max_grad_norm": 0.5,
            "gae_lambda": 0.9,
            "vf_coef": 0.4,
            "gamma": 0.9,
            "use_rms_prop": True,
            "normalize_advantage": False,
            "learning_rate": "lin_7e-4",
            "use_sde": True,
            "policy_kwargs": _EXPLORING,
        },
    ),
    "MountainCar": Preset(
        samples=1_000_000,
        n_envs=16,
        n_steps=_A2C_STEPS,
        normalize=True,
        settings={"ent_coef": 0.0},
    ),
    "MountainCarContinuous": Preset(
        samples=100_000,
        n_envs=4,
        n_steps=100,
        normalize=True,
        settings={
            "ent_coef": 0.0,
            "use_sde": True,
            "sde_sample_freq": 16,
            "policy_kwargs": {"log_std_init": 0.0, "ortho_init": False},
        },
    ),
    "Acrobot": Preset(
        samples=500_000, n_envs=16, n_steps=_A2C_STEPS, normalize=True, settings={"ent_coef": 0.0}
    ),
}
_DQN = {
    "CartPole": Preset(
        samples=50_000,
        settings={
            "learning_rate": 2.3e-3,
            "batch_size": 64,
            "buffer_size": 100_000,
            "learning_starts": 1_000,
            "gamma": 0.99,
            "target_update_interval": 10,
            "train_freq": 256,
            "gradient_steps": 128,
            "exploration_fraction": 0.16,
            "exploration_final_eps": 0.04,
            "policy_kwargs": _WIDE,
        },
    ),
    "MountainCar": Preset(
        samples=120_000,
        settings={
            "learning_rate": 4e-3,
            "batch_size": 128,
            "buffer_size": 10_000,
            "learning_starts": 1_000,
            "gamma": 0.98,
            "target_update_interval": 600,
            "train_freq": 16,
            "gradient_steps": 8,
            "exploration_fraction": 0.2,
            "exploration_final_eps": 0.07,
            "policy_kwargs": _WIDE,
        },
    ),
    "Acrobot": Preset(
        samples=100_000,
        settings={
            "learning_rate": 6.3e-4,
            "batch_size": 128,
            "buffer_size": 50_000,
            "learning_starts": 0,
            "gamma": 0.99,
            "target_update_interval": 250,
            "train_freq": 4,
            "gradient_steps": -1,
            "exploration_fraction": 0.12,
            "exploration_final_eps": 0.1,
            "policy_kwargs": _WIDE,
        },
    ),
}
_SAC = {
    "Pendulum": Preset(samples=20_000, settings={"learning_rate": 1e-3}),
    "MountainCarContinuous": Preset(
        samples=50_000,
        settings={
            "learning_rate": 3e-4,
            "buffer_size": 50_000,
            "batch_size": 512,
            "ent_coef": 0.1,
            "train_freq": 32,
            "gradient_steps": 32,
            "gamma": 0.9999,
            "tau": 0.01,
            "learning_starts": 0,
            "use_sde": True,
            "policy_kwargs": {"log_std_init": -3.67, "net_arch": [64, 64]},
        },
    ),
}

ZOO: Mapping[str, Mapping[str, Preset]] = MappingProxyType(
    {"PPO": _PPO, "RecurrentPPO": _RECURRENT_PPO, "A2C": _A2C, "DQN": _DQN, "SAC": _SAC}
)
"""The presets by algorithm and name of the task."""


def preset(algorithm: str, task: str) -> Preset:
    """Return the settings of an algorithm on a task.

    Raises:
        ValueError: The zoo has none.
    """
    found = ZOO.get(algorithm, {}).get(task)
    if found is None:
        known = ", ".join(f"{a} on {t}" for a, tasks in ZOO.items() for t in tasks)
        raise ValueError(f"the zoo has no settings of {algorithm} on {task}; it has {known}")
    return found
