"""The recipes of control tasks: tables, native learners, and Stable-Baselines3."""

from __future__ import annotations

from typing import Any

from baselines.recipe import Factory, Recipe, samples

__all__ = ["CONTROL"]


def _tabular(rule: str = "q-learning", **settings: Any) -> Factory:
    return Factory("agents.tabular", "TabularLearner", {"rule": rule, **settings}, together=True)


def _native(module: str, name: str, **settings: Any) -> Factory:
    # Small networks are fastest on the processor, where the worlds are.
    told = {"device": "cpu", **settings}
    return Factory(f"agents.{module}", name, told, together=True, libraries=("torch",))


def _ppo(**settings: Any) -> Factory:
    return _native("ppo", "PPOLearner", **settings)


def _sb3(algorithm: str, **settings: Any) -> Factory:
    told = {"algorithm": algorithm, **settings}
    return Factory("agents.sb3", "SB3Learner", told, libraries=("torch", "stable-baselines3"))


def _zoo(algorithm: str, task: str) -> Factory:
    told = {"algorithm": algorithm, "task": task}
    return Factory("agents.sb3", "zoo", told, libraries=("torch", "stable-baselines3"))


_CART = ("CartPole-v0",)
_GRID = ("GridWorld-v0",)
_CARS = ("MountainCar-v0",)
_CAR = ("MountainCarContinuous-v0",)
_PENDULUM = ("Pendulum-v0",)
_ACROBOT = ("Acrobot-v0",)
_EVIDENCE = ("EvidenceAccumulation-v0",)
_CHOICES = ("ProbabilisticBandit-v0", "ReversalBandit-v0", "TwoStep-v0")
_FORAGING = ("Foraging-v0",)
_REACHING = ("Reaching1D-v0",)
_WALKERS = ("Hopper-v0", "HalfCheetah-v0")
_LANDER = ("LunarLander-v0",)

# Bins of cart-pole: position, speed, angle, angular speed.
_EDGES = ((-0.8, 0.8), (-0.5, 0.5), (-0.105, -0.0175, 0.0, 0.0175, 0.105), (-0.87, 0.87))
_CART_BINS: dict[str, Any] = {"edges": _EDGES, "worlds": 8, "final_epsilon": 0.01}
_CAR_BINS: dict[str, Any] = {"bins": 20, "discount": 1.0, "epsilon": 0.0}
_FAST_CART = {
    "width": 32, "worlds": 32, "steps": 32, "batch": 128, "epochs": 3, "learning_rate": 7e-3,
    "discount": 0.99, "trace": 0.9,
}  # fmt: skip
_SWING = {"discount": 0.9, "trace": 0.95, "standardised": True}
_LONG = {"discount": 0.99, "trace": 0.95, "standardised": True, "learning_rate": 3e-4}
_MEMORY = {
    "network": "gru", "width": 32, "worlds": 64, "steps": 64, "batch": 1024, "epochs": 4,
    "learning_rate": 3e-3, "discount": 1.0, "trace": 0.95,
}  # fmt: skip
_HARVEST = {
    "worlds": 16, "steps": 100, "batch": 256, "epochs": 8, "discount": 0.9, "trace": 0.8,
    "standardised": True, "entropy": 0.05,
}  # fmt: skip
_REACH = {
    "worlds": 64, "steps": 32, "batch": 512, "epochs": 8, "discount": 0.95, "trace": 0.9,
    "learning_rate": 2e-3,
}  # fmt: skip
_CHOICE = {**_MEMORY, "steps": 80, "discount": 0.8, "trace": 0.9, "entropy": 0.01}
_SHORT = {"worlds": 64, "steps": 64, "batch": 1024, "epochs": 4, "discount": 1.0, "trace": 0.95}
_A2C = {"n_envs": 8, "n_steps": 16, "settings": {"learning_rate": 2e-3}}

CONTROL: tuple[Recipe, ...] = (
    Recipe("q-learning", _GRID, _tabular(one_hot=90), samples(2_000, 40_000, 200_000)),
    Recipe("sarsa", _GRID, _tabular("sarsa", one_hot=90), samples(2_000, 40_000, 200_000)),
    Recipe("dyna-q", _GRID, _tabular(planning=5, one_hot=90), samples(1_000, 10_000, 40_000)),
    Recipe(
        "q-learning",
        _CART,
        _tabular(learning_rate=0.3, **_CART_BINS),
        samples(4_000, 200_000, 1_000_000),
    ),
    Recipe("q-learning", _CARS, _tabular(**_CAR_BINS), samples(4_000, 400_000, 2_000_000)),
    Recipe("sarsa", _CARS, _tabular("sarsa", **_CAR_BINS), samples(4_000, 400_000, 2_000_000)),
    Recipe(
        "reinforce",
        (*_CART, *_GRID, *_REACHING),
        _native("reinforce", "ReinforceLearner"),
        samples(4_000, 65_536, 500_000),
    ),
    Recipe(
        "dqn",
        (*_CART, *_GRID, *_ACROBOT, *_LANDER),
        _native("dqn", "DQNLearner"),
        samples(2_000, 32_000, 32_000),
    ),
    Recipe(
        "dqn",
        _FORAGING,
        _native("dqn", "DQNLearner", discount=0.9),
        samples(2_000, 32_000, 100_000),
    ),
    # proximal policy optimisation
    Recipe("ppo", _CART, _ppo(**_FAST_CART), samples(4_096, 65_536, 262_144)),
    Recipe("ppo", _PENDULUM, _ppo(**_SWING), samples(4_096, 200_000, 1_000_000)),
    Recipe(
        "ppo", _ACROBOT, _ppo(**{**_LONG, "learning_rate": 1e-3}), samples(4_096, 200_000, 500_000)
    ),
    Recipe("ppo", _CAR, _ppo(**_LONG), samples(4_096, 100_000, 500_000)),
    Recipe(
        "ppo", _LANDER, _ppo(**{**_LONG, "learning_rate": 1e-3}), samples(4_096, 65_536, 1_000_000)
    ),
    Recipe("ppo", _WALKERS, _ppo(**_LONG), samples(4_096, 65_536, 2_000_000)),
    Recipe("ppo", _FORAGING, _ppo(**_HARVEST), samples(8_000, 131_072, 400_000)),
    Recipe("ppo", _REACHING, _ppo(**_REACH), samples(8_192, 131_072, 400_000)),
    Recipe("ppo", (*_CHOICES, *_EVIDENCE), _ppo(**_SHORT), samples(8_192, 131_072, 400_000)),
    Recipe("recurrent-ppo", _EVIDENCE, _ppo(**_MEMORY), samples(8_192, 200_000, 800_000)),
    Recipe("recurrent-ppo", _CHOICES, _ppo(**_CHOICE), samples(8_192, 200_000, 800_000)),
    # Stable-Baselines3, with the settings of RL Baselines3 Zoo where it has the task
    Recipe("sb3-ppo", _CART, _zoo("PPO", "CartPole"), samples(2_048, 20_480, 102_400)),
    Recipe("sb3-ppo", _EVIDENCE, _sb3("PPO"), samples(8_192, 65_536, 262_144)),
    Recipe("sb3-ppo", _PENDULUM, _zoo("PPO", "Pendulum"), samples(4_096, 20_480, 102_400)),
    Recipe(
        "sb3-ppo", _WALKERS, _sb3("PPO", n_envs=8, n_steps=512), samples(4_096, 8_192, 1_000_000)
    ),
    Recipe("sb3-a2c", (*_CART, *_EVIDENCE), _sb3("A2C", **_A2C), samples(8_192, 65_536, 262_144)),
    Recipe("sb3-dqn", _CART, _zoo("DQN", "CartPole"), samples(1_500, 4_096, 50_000)),
    Recipe("sb3-sac", _CAR, _zoo("SAC", "MountainCarContinuous"), samples(500, 2_000, 50_000)),
    Recipe(
        "sb3-recurrent-ppo",
        _CART,
        _zoo("RecurrentPPO", "CartPole"),
        samples(512, 4_096, 100_000),
    ),
)
