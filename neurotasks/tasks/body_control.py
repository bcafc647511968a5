"""Run: move a body of rigid parts forwards with the motors in its joints.

What the subject sees: Hopper, one leg in a plane, 11 numbers: height and lean of the trunk, three
joint angles (rad), the velocities of these and the forward one, cut at 10. HalfCheetah, two legs in
a plane, 17 numbers of the same kinds, not cut. All as float32.

What it may do: torques from -1 to 1 in the 3 (HalfCheetah: 6) joints, every 8 ms (50 ms).

How it is scored: the distance covered in a step by the time of a step, less 0.001 (0.1) times the
sum of the squared torques; Hopper earns 1 more for every step. The mean return of an episode.

When it ends: Hopper ends when it falls: trunk below 0.7 m, or leaning by more than 0.2 rad; both
end after 1000 steps.

Chance and ceiling: chance is the best constant torque, for Hopper one that turns the foot alone,
for HalfCheetah none; random torques are worse. The best gait is not known. The ceiling is a
published return of a trained agent, of one training run, on the third version of these
environments. The bodies are those of Gymnasium's Hopper-v5 and HalfCheetah-v5, simulated by MuJoCo;
between the steps all of a body's state lies in the arrays of the task.

Source: Todorov, Erez, Tassa (2012), "MuJoCo: a physics engine for model-based control", IROS;
Hopper: Erez, Tassa, Todorov (2011), Robotics: Science and Systems 7; HalfCheetah: Wawrzynski
(2009), Neural Networks 22:1484. Returns: Raffin (2020), RL Baselines3 Zoo, its table of trained
agents: TQC after a million steps, 150 episodes.
"""

from __future__ import annotations

import importlib
from abc import abstractmethod
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from neurotasks.agent import Agent, Policy
from neurotasks.arrays import Array, namespace
from neurotasks.card import Stage, TaskCard
from neurotasks.errors import MissingExtra
from neurotasks.metrics import RETURN
from neurotasks.registry import register
from neurotasks.rng import Draw
from neurotasks.task import ControlTask

FARTHEST = 1000.0  # rad, rad/s, m/s: no observation comes near

_COMMON: dict[str, Any] = {
    "version": 0,
    "form": "control",
    "topic": "body control",
    "courses": ("Neuromatch Academy Deep Learning, projects", "Bonn deep learning course"),
    "metric": RETURN,
    "ceiling": "published",
    "steps": 1000,
    "splits": {},
    "licence": "generated; MuJoCo and Gymnasium's models: Apache-2.0, MIT",
    "citation": "Todorov, Erez, Tassa (2012), MuJoCo: a physics engine for model-based control, "
    "IROS",
    "tags": ("control", "motor", "reinforcement learning", "continuous actions", "mujoco"),
}

HOPPER_CARD = TaskCard(
    name="Hopper",
    summary="Hop forwards on one leg with three motors.",
    ceiling_source="TQC, one run: 3754.2 +- 8.3 over episodes, Hopper-v3 (RL Baselines3 Zoo)",
    chance_source="torque in the foot alone, the best of 125 constant ones, 2,000 episodes",
    stages={"test": Stage(trials=100, chance=232.48, chance_error=0.05, ceiling=3754.199)},
    **_COMMON,
)

CHEETAH_CARD = TaskCard(
    name="HalfCheetah",
    summary="Run forwards on two legs with six motors.",
    ceiling_source="TQC, one run: 12089.9 +- 127.4 over episodes, HalfCheetah-v3 "
    "(RL Baselines3 Zoo)",
    chance_source="no torque, 1,000 episodes; 160 constant and random torques are worse",
    stages={"test": Stage(trials=100, chance=-0.191, chance_error=0.022, ceiling=12089.939)},
    **_COMMON,
)


class Body(NamedTuple):
    """The state of B bodies.

    Attributes:
        physics: (B, P) float64: MuJoCo's whole state of integration: the time, the positions, the
            velocities, and what the solver starts its next search from.
        fallen: (B,) bool: the episode has ended; such a body is no longer moved.
    """

    physics: Array
    fallen: Array


class _BodyControl(ControlTask[Body]):
    """What all bodies have in common."""

    label: str  # of Gymnasium's environment
    joints: int  # numbers of the position, and as many of the velocity
    fastest: float  # at which velocities are cut
    stiff: tuple[float, ...]  # the best constant torques

    def initial(self, draw: Draw) -> Body:
        """Draw bodies a little out of their posture."""
        body = simulator(self.label)
        # A fall magnifies the last bit, in which the array libraries' normal numbers differ.
        positions, velocities = self._posture(replace(draw, xp=np, device=None))
        physics = np.empty((draw.size, body.size))
        for row, position, velocity in zip(physics, positions, velocities, strict=True):
            body.place(position, velocity, row)
        return Body(draw.asarray(physics), draw.asarray(np.zeros(draw.size, dtype=np.bool_)))

    def observe(self, state: Body) -> Array:
        """Return positions, but not how far the body has come, and velocities."""
        xp = namespace(state.physics)
        position = state.physics[:, 2 : 1 + self.joints]  # the first number is the time
        velocity = state.physics[:, 1 + self.joints : 1 + 2 * self.joints]
        velocity = xp.clip(velocity, -self.fastest, self.fastest)
        seen = xp.concat((xp.clip(position, -FARTHEST, FARTHEST), velocity), axis=1)
        return xp.astype(seen, xp.float32)

    def step(self, state: Body, action: Array, draw: Draw) -> tuple[Body, Array, Array]:
        """Move the bodies one after the other; the simulator is put into each one's state."""
        physics, ended = (np.asarray(part).copy() for part in state)
        torques, reward = np.asarray(action, dtype=np.float64), np.zeros(len(ended))
        body = simulator(self.label)
        for k in np.flatnonzero(~ended).tolist():
            reward[k], ended[k] = body.move(physics[k], torques[k])
        after = Body(draw.asarray(physics), draw.asarray(ended.copy()))
        return after, draw.asarray(reward), draw.asarray(ended)

    def trivial(self, stage: str = "test") -> Agent:
        """Hold the best constant torques."""
        self.card.stage(stage)
        return Policy(lambda x: np.tile(np.array(self.stiff, np.float32), (*x.shape[:2], 1)))

    @abstractmethod
    def _posture(self, draw: Draw) -> tuple[Array, Array]:
        """Return how far positions and velocities begin from rest, (B, joints) each."""


@register(HOPPER_CARD)
class Hopper(_BodyControl):
    """One leg."""

    label, joints, fastest = "Hopper-v5", 6, 10.0
    stiff = (0.0, 0.0, 0.5)  # turns the foot alone
    observation_space = spaces.Box(-FARTHEST, FARTHEST, (11,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (3,), np.float32)

    def _posture(self, draw: Draw) -> tuple[Array, Array]:
        shape = (self.joints,)
        position = draw.uniform("position", shape, low=-5e-3, high=5e-3)
        return position, draw.uniform("velocity", shape, low=-5e-3, high=5e-3)


@register(CHEETAH_CARD)
class HalfCheetah(_BodyControl):
    """Two legs."""

    label, joints, fastest = "HalfCheetah-v5", 9, FARTHEST
    stiff = (0.0,) * 6
    observation_space = spaces.Box(-FARTHEST, FARTHEST, (17,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (6,), np.float32)

    def _posture(self, draw: Draw) -> tuple[Array, Array]:
        shape = (self.joints,)
        position = draw.uniform("position", shape, low=-0.1, high=0.1)
        return position, 0.1 * draw.normal("velocity", shape)


class Simulator:
    """One Gymnasium environment of MuJoCo, whose state is set before every step.

    Args:
        label: The id of the environment.

    Raises:
        MissingExtra: MuJoCo is not installed.
    """

    def __init__(self, label: str) -> None:
        self._mujoco = _mujoco()
        warn = self._mujoco.get_mju_user_warning()
        # Gymnasium's models use words that newer compilers call old, and MuJoCo would write that
        # into a file of the working directory.
        self._mujoco.set_mju_user_warning(lambda _: None)
        env: Any = gym.make(label).unwrapped
        self._env = env
        self._mujoco.set_mju_user_warning(warn)
        self._env.reset(seed=0)
        self._what = self._mujoco.mjtState.mjSTATE_INTEGRATION
        self.size = int(self._mujoco.mj_stateSize(self._env.model, self._what))

    def place(
        self,
        position: NDArray[np.float64],
        velocity: NDArray[np.float64],
        out: NDArray[np.float64],
    ) -> None:
        """Write the state of a body that begins this far from rest, (size,)."""
        env = self._env
        self._mujoco.mj_resetData(env.model, env.data)
        env.set_state(env.init_qpos + position, env.init_qvel + velocity)
        self._mujoco.mj_getState(env.model, env.data, out, self._what)

    def move(self, physics: NDArray[np.float64], torque: NDArray[np.float64]) -> tuple[float, bool]:
        """Write the next state over this one; return the reward and whether the body fell."""
        env = self._env
        self._mujoco.mj_setState(env.model, env.data, physics, self._what)
        _, reward, fallen, *_ = env.step(torque)
        self._mujoco.mj_getState(env.model, env.data, physics, self._what)
        return float(reward), bool(fallen)


@lru_cache(maxsize=4)
def simulator(label: str) -> Simulator:
    """Return the simulator of an environment; it remembers nothing from step to step."""
    return Simulator(label)


def _mujoco() -> Any:
    try:
        return importlib.import_module("mujoco")
    except ImportError as error:
        raise MissingExtra("MuJoCo", "mujoco") from error
