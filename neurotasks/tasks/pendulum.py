"""Swing a pendulum up with a motor that is too weak to lift it, and hold it there.

What the subject sees: cosine and sine of the angle from the upright, and the angular velocity
(rad/s), as float32.

What it may do: turn with a torque of up to 2 N m, every 50 ms. A stronger one is cut to that.

How it is scored: minus the sum over the steps of angle^2 + 0.1 velocity^2 + 0.001 torque^2, with
the angle from -pi to pi; the mean return of an episode.

When it ends: after 200 steps.

Chance and ceiling: chance is to leave the motor off; random torques are worse. The ceiling is the
return of the optimal policy by value iteration on a grid of angle and velocity; a grid three times
as fine earns about 1 more, of a range of 1,000. In stage "shift" the pendulum is heavier, and the
motor is weaker for it: most starts need another swing.

Source: the task is older than any paper on it known to us; as a benchmark of learning, Doya (2000),
"Reinforcement learning in continuous time and space", Neural Computation 12:219. Every step is that
of Gymnasium's Pendulum-v1 to a relative 1e-12.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from neurotasks.agent import Agent, Policy
from neurotasks.arrays import Array, namespace
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import RETURN
from neurotasks.registry import register
from neurotasks.rng import Draw
from neurotasks.task import ControlTask

GRAVITY, LENGTH = 10.0, 1.0  # m/s^2, m
TAU = 0.05  # seconds between steps; velocity first, then the angle with the new velocity
MAX_SPEED, MAX_TORQUE = 8.0, 2.0  # rad/s, N m
STEPS = 200
ANGLES, SPEEDS, TORQUES = 240, 221, 5  # the grid of value iteration
CHOICES = 21  # torques among which the policy chooses

CARD = TaskCard(
    name="Pendulum",
    version=0,
    form="control",
    topic="control",
    courses=("Bonn deep learning course",),
    summary="Swing a pendulum up with a weak motor, and hold it upright.",
    metric=RETURN,
    ceiling="monte-carlo",
    ceiling_source="value iteration on a grid of 240 angles and 221 velocities, 100,000 episodes",
    chance_source="no torque, 100,000 episodes; random torques are worse",
    steps=STEPS,
    stages={
        "test": Stage(
            trials=500, chance=-1218.4, chance_error=1.1, ceiling=-138.2, ceiling_error=0.24,
            parameters={"mass": 1.0},
        ),
        "shift": Stage(
            trials=500, chance=-1219.2, chance_error=1.1, ceiling=-164.2, ceiling_error=0.3,
            parameters={"mass": 1.25},
        ),
    },
    splits={},
    licence="generated; MIT",
    citation="Doya (2000), Reinforcement learning in continuous time and space, "
    "Neural Computation 12:219",
    tags=("control", "motor", "reinforcement learning", "continuous actions"),
)  # fmt: skip


class Swing(NamedTuple):
    """The state of B pendulums, (B,) float64 each."""

    angle: Array  # rad from the upright, not wrapped
    speed: Array  # rad/s


@register(CARD)
class Pendulum(ControlTask[Swing]):
    """Pendulums and their motors."""

    _high = np.array([1.0, 1.0, MAX_SPEED], dtype=np.float32)
    observation_space = spaces.Box(-_high, _high, dtype=np.float32)
    action_space = spaces.Box(-MAX_TORQUE, MAX_TORQUE, (1,), np.float32)

    def initial(self, draw: Draw, *, mass: float) -> Swing:  # noqa: ARG002
        """Draw any angle and a speed of up to 1 rad/s."""
        angle = draw.uniform("angle", low=-math.pi, high=math.pi)
        return Swing(angle, draw.uniform("speed", low=-1.0, high=1.0))

    def observe(self, state: Swing) -> Array:
        """Return the direction and the speed."""
        xp = namespace(state.angle)
        seen = xp.stack((xp.cos(state.angle), xp.sin(state.angle), state.speed), axis=-1)
        return xp.astype(seen, xp.float32)

    def step(
        self,
        state: Swing,
        action: Array,
        draw: Draw,  # noqa: ARG002 - a pendulum swings without chance
        *,
        mass: float,
    ) -> tuple[Swing, Array, Array]:
        """Let the pendulums swing for one time step."""
        xp = namespace(state.angle)
        after, cost = swing(state, xp.astype(action[:, 0], xp.float64), mass)
        return after, -cost, xp.zeros_like(cost, dtype=xp.bool)

    def trivial(self, stage: str = "test") -> Agent:
        """Leave the motor off."""
        self.card.stage(stage)
        return Policy(lambda x: np.zeros((*x.shape[:2], 1), np.float32))

    def ideal(self, stage: str = "test") -> Agent:
        """Choose the torque of the least cost to go."""
        mass = float(self.card.stage(stage).parameters["mass"])
        return _Greedy(solve(mass), mass)


def swing(state: Swing, torque: Array, mass: float) -> tuple[Swing, Array]:
    """Return the next state and the cost of a step.

    Args:
        state: Any number of pendulums.
        torque: N m, float64, of a shape that broadcasts with the state's.
        mass: kg.
    """
    xp = namespace(state.angle)
    torque = xp.clip(torque, -MAX_TORQUE, MAX_TORQUE)
    away = (state.angle + math.pi) % (2 * math.pi) - math.pi
    cost = away**2 + 0.1 * state.speed**2 + 0.001 * torque**2
    gravity = 3.0 * GRAVITY / (2.0 * LENGTH) * xp.sin(state.angle)
    speed = state.speed + (gravity + 3.0 / (mass * LENGTH**2) * torque) * TAU
    speed = xp.clip(speed, -MAX_SPEED, MAX_SPEED)
    return Swing(state.angle + speed * TAU, speed), cost


@lru_cache(maxsize=8)
def solve(mass: float, angles: int = ANGLES, speeds: int = SPEEDS) -> NDArray[np.float64]:
    """Return the least cost to go, (angles, speeds), by value iteration.

    At the upright rest no step costs anything, so that the sum of the costs stays finite without a
    limit of time, and 200 steps are enough to get there from everywhere.
    """
    from scipy.sparse import csr_array  # noqa: PLC0415 - `import neurotasks` does not need it

    angle = np.arange(angles) * (2 * math.pi / angles) - math.pi
    speed = np.linspace(-MAX_SPEED, MAX_SPEED, speeds)
    grid = Swing(*np.meshgrid(angle, speed, indexing="ij"))
    moves = []
    for torque in np.linspace(-MAX_TORQUE, MAX_TORQUE, TORQUES):
        after, cost = swing(grid, torque, mass)
        corner, weight = _corners(after, angles, speeds)
        rows = np.arange(0, corner.size + 1, 4)
        matrix = csr_array((weight.ravel(), corner.ravel(), rows), shape=(len(rows) - 1,) * 2)
        moves.append((matrix, cost.ravel()))
    value = np.zeros(angles * speeds)
    for _ in range(STEPS):
        before = value
        value = np.min([cost + matrix @ before for matrix, cost in moves], axis=0)
        if np.abs(value - before).max() < 1e-2:  # noqa: PLR2004 - in units of return
            break
    return value.reshape(angles, speeds)


def _corners(
    state: Swing, angles: int, speeds: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the four grid points round each state and their weights, both (..., 4)."""
    x = (state.angle + math.pi) % (2 * math.pi) * (angles / (2 * math.pi))
    y = (state.speed + MAX_SPEED) * ((speeds - 1) / (2 * MAX_SPEED))
    i, j = x.astype(np.int64), np.minimum(y.astype(np.int64), speeds - 2)
    right, up = x - i, y - j
    low, high = i % angles * speeds + j, (i + 1) % angles * speeds + j
    left, down = 1.0 - right, 1.0 - up
    weight = np.stack((left * down, left * up, right * down, right * up), axis=-1)
    return np.stack((low, low + 1, high, high + 1), axis=-1), weight


@dataclass(frozen=True)
class _Greedy:
    """The torque with the least cost of this step and of those to come."""

    value: NDArray[np.float64]
    mass: float

    def act(self, observation: Array, state: None) -> tuple[Array, None]:
        """Look one step ahead."""
        x = np.asarray(observation, dtype=np.float64)[..., None, :]
        torque = np.linspace(-MAX_TORQUE, MAX_TORQUE, CHOICES)
        after, cost = swing(Swing(np.arctan2(x[..., 1], x[..., 0]), x[..., 2]), torque, self.mass)
        corner, weight = _corners(after, *self.value.shape)
        ahead = (self.value.ravel()[corner] * weight).sum(axis=-1)
        return torque[(cost + ahead).argmin(axis=-1)][..., None].astype(np.float32), state
