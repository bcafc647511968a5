"""Drive a car out of a valley that is steeper than its engine is strong, by swinging to and fro.

What the subject sees: position and velocity of the car, as float32. The road has the height
sin(3 position); the left end, at -1.2, is a wall that stops the car.

What it may do: in MountainCar push to the left (0), not at all (1) or to the right (2); in
MountainCarContinuous push with a force from -1 to 1, where a stronger one is cut to that.

How it is scored: MountainCar pays -1 for every step, MountainCarContinuous 100 for the arrival and
-0.1 force^2 for every step; the mean return of an episode.

When it ends: on the hill to the right, at 0.5 (continuous: 0.45) or beyond and not on the way back;
or after 200 (continuous: 999) steps.

Chance and ceiling: no constant and no random policy arrives. Chance is therefore -200 in
MountainCar; and 0, the return of an engine that is off, in MountainCarContinuous. The ceiling of
MountainCar is the return of the optimal policy by value iteration on a grid of positions and
velocities; a grid twice as fine saves a sixth of a step. That of MountainCarContinuous is the
return of a controller which pumps energy with little force, as long as time allows, and a little
harder in the last swing, which begins at the wall; nobody has proved that there is no better one,
but force is cheap enough that less than half a point is left to gain. In stage "shift" the road is
steeper.

Source: Moore (1990), "Efficient memory-based learning for robot control", PhD thesis, University of
Cambridge. Every step is that of Gymnasium's MountainCar-v0 to a relative 1e-12, and that of its
MountainCarContinuous-v0, which keeps its state in single precision, to 1e-6.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

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

LEFT_END, RIGHT_END, MAX_SPEED = -1.2, 0.6, 0.07
POSITIONS, SPEEDS = 361, 281  # the grid of value iteration
LEFT, NONE, RIGHT = 0, 1, 2


class Engine(NamedTuple):
    """What the two cars differ in."""

    push: float  # acceleration of a full push
    goal: float  # position


DISCRETE, CONTINUOUS = Engine(0.001, 0.5), Engine(0.0015, 0.45)

_COMMON: dict[str, Any] = {
    "version": 0,
    "form": "control",
    "topic": "control",
    "courses": ("Bonn deep learning course",),
    "metric": RETURN,
    "splits": {},
    "licence": "generated; MIT",
    "citation": "Moore (1990), Efficient memory-based learning for robot control, "
    "PhD thesis, University of Cambridge",
}

CARD = TaskCard(
    name="MountainCar",
    summary="Drive a car with a weak engine out of a valley, in as few steps as can be.",
    ceiling="monte-carlo",
    ceiling_source="value iteration on a grid of 361 by 281, measured in 100,000 episodes",
    chance_source="no push at all: it never arrives; nor does a random policy in 200 steps",
    steps=200,
    stages={
        "test": Stage(
            trials=500, chance=-200.0, ceiling=-97.79, ceiling_error=0.023,
            parameters={"gravity": 0.0025},
        ),
        "shift": Stage(
            trials=500, chance=-200.0, ceiling=-105.34, ceiling_error=0.013,
            parameters={"gravity": 0.0028},
        ),
    },
    tags=("control", "motor", "reinforcement learning", "sparse reward"),
    **_COMMON,
)  # fmt: skip

CONTINUOUS_CARD = TaskCard(
    name="MountainCarContinuous",
    summary="Drive a car with a weak engine out of a valley, with as little force as can be.",
    ceiling="reference",
    ceiling_source="our controller by energy, 100,000 episodes; the optimum is not known",
    chance_source="no push at all: it never arrives, and pays nothing",
    steps=999,
    stages={
        "test": Stage(
            trials=500, chance=0.0, ceiling=99.528, ceiling_error=0.0002,
            parameters={"gravity": 0.0025},
        ),
        "shift": Stage(
            trials=500, chance=0.0, ceiling=99.444, ceiling_error=0.0002,
            parameters={"gravity": 0.0028},
        ),
    },
    tags=("control", "motor", "reinforcement learning", "sparse reward", "continuous actions"),
    **_COMMON,
)  # fmt: skip


class Car(NamedTuple):
    """The state of B cars, (B,) float64 each."""

    position: Array
    velocity: Array


class _MountainCar(ControlTask[Car]):
    """What both cars have in common."""

    engine: Engine
    _prize: float  # for the arrival
    observation_space = spaces.Box(
        np.array([LEFT_END, -MAX_SPEED], np.float32), np.array([RIGHT_END, MAX_SPEED], np.float32)
    )

    def initial(self, draw: Draw, *, gravity: float) -> Car:  # noqa: ARG002
        """Draw a place near the bottom, at rest."""
        position = draw.uniform("position", low=-0.6, high=-0.4)
        return Car(position, draw.xp.zeros_like(position))

    def observe(self, state: Car) -> Array:
        """Return position and velocity."""
        xp = namespace(state.position)
        return xp.astype(xp.stack(state, axis=-1), xp.float32)

    def step(
        self,
        state: Car,
        action: Array,
        draw: Draw,  # noqa: ARG002 - a car drives without chance
        *,
        gravity: float,
    ) -> tuple[Car, Array, Array]:
        """Drive for one time step."""
        xp = namespace(state.position)
        force, reward = self._price(action)
        after, arrived = drive(state, force, gravity, self.engine)
        return after, reward + self._prize * xp.astype(arrived, xp.float64), arrived

    @abstractmethod
    def _price(self, action: Array) -> tuple[Array, Array]:
        """Return the force and the reward for it, (B,) float64 each."""


@register(CARD)
class MountainCar(_MountainCar):
    """A car that is pushed fully or not at all, and pays for time."""

    engine, _prize = DISCRETE, 0.0
    action_space = spaces.Discrete(3)

    def _price(self, action: Array) -> tuple[Array, Array]:
        xp = namespace(action)
        force = xp.astype(action, xp.float64) - NONE
        return force, xp.full_like(force, -1.0)

    def trivial(self, stage: str = "test") -> Agent:
        """Do not push."""
        self.card.stage(stage)
        return Policy(lambda x: np.full(x.shape[:2], NONE))

    def ideal(self, stage: str = "test") -> Agent:
        """Push to where the goal is fewest steps away."""
        gravity = float(self.card.stage(stage).parameters["gravity"])
        return _Greedy(solve(gravity), gravity)


@register(CONTINUOUS_CARD)
class MountainCarContinuous(_MountainCar):
    """A car that is pushed by degrees, and pays for force."""

    engine, _prize = CONTINUOUS, 100.0
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def _price(self, action: Array) -> tuple[Array, Array]:
        xp = namespace(action)
        force = xp.astype(action[:, 0], xp.float64)
        return force, -0.1 * force**2

    def trivial(self, stage: str = "test") -> Agent:
        """Do not push."""
        self.card.stage(stage)
        return Policy(lambda x: np.zeros((*x.shape[:2], 1), np.float32))

    def ideal(self, stage: str = "test") -> Agent:
        """Pump energy with little force, then swing out of the valley."""
        gravity = float(self.card.stage(stage).parameters["gravity"])
        return Policy(lambda x: pump(np.asarray(x, dtype=np.float64), gravity))


def drive(state: Car, force: Array, gravity: float, engine: Engine) -> tuple[Car, Array]:
    """Return the next state and who has arrived.

    Args:
        state: Any number of cars.
        force: From -1 to 1, float64, of a shape that broadcasts with the state's.
        gravity: Steepness of the road.
        engine: The car's.
    """
    xp = namespace(state.position)
    pushed = xp.clip(force, -1.0, 1.0) * engine.push
    velocity = state.velocity + pushed - gravity * xp.cos(3.0 * state.position)
    velocity = xp.clip(velocity, -MAX_SPEED, MAX_SPEED)
    position = xp.clip(state.position + velocity, LEFT_END, RIGHT_END)
    velocity = xp.where((position == LEFT_END) & (velocity < 0.0), 0.0, velocity)
    return Car(position, velocity), (position >= engine.goal) & (velocity >= 0.0)


PUMP = 0.088  # force of the first swings, found by a scan
LAST_SWING = 2000.0  # force for each unit of velocity and of gravity, found by a scan
ENOUGH = 0.97  # of the energy at the wall


def pump(x: NDArray[np.float64], gravity: float) -> NDArray[np.float32]:
    """Return the reference controller's force, (..., 2) to (..., 1).

    Energy grows by force times velocity, and force costs its square, so that the force should go
    with the velocity; to make the growth even over time, its amplitude is the same in every swing.
    The wall takes whatever a car brings there, so that the last swing begins at the wall's height.
    """
    position, velocity = x[..., 0], x[..., 1]
    depth = gravity / 3.0  # of the road's sine in units of energy
    energy = velocity**2 / 2.0 + depth * (np.sin(3.0 * position) + 1.0)
    wall = depth * (math.sin(3.0 * LEFT_END) + 1.0)
    small = PUMP * velocity / np.sqrt(2.0 * energy + 1e-9)
    last = (energy > ENOUGH * wall) & (velocity > 0.0)
    force = np.where(last, LAST_SWING * gravity * velocity, small)
    return force[..., None].astype(np.float32)


@lru_cache(maxsize=8)
def solve(gravity: float, positions: int = POSITIONS, speeds: int = SPEEDS) -> NDArray[np.float64]:
    """Return the least number of steps to the goal, (positions, speeds), by value iteration."""
    from scipy.sparse import csr_array  # noqa: PLC0415 - `import neurotasks` does not need it

    position = np.linspace(LEFT_END, RIGHT_END, positions)
    speed = np.linspace(-MAX_SPEED, MAX_SPEED, speeds)
    grid = Car(*np.meshgrid(position, speed, indexing="ij"))
    moves = []
    for force in (-1.0, 0.0, 1.0):
        after, arrived = drive(grid, np.asarray(force), gravity, DISCRETE)
        corner, weight = _corners(after, positions, speeds)
        weight[arrived] = 0.0
        rows = np.arange(0, corner.size + 1, 4)
        moves.append(csr_array((weight.ravel(), corner.ravel(), rows), shape=(len(rows) - 1,) * 2))
    steps = np.zeros(positions * speeds)
    for _ in range(CARD.steps):
        steps = 1.0 + np.min([matrix @ steps for matrix in moves], axis=0)
    return steps.reshape(positions, speeds)


def _corners(
    state: Car, positions: int, speeds: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the four grid points round each state and their weights, both (..., 4)."""
    x = (state.position - LEFT_END) * ((positions - 1) / (RIGHT_END - LEFT_END))
    y = (state.velocity + MAX_SPEED) * ((speeds - 1) / (2 * MAX_SPEED))
    i = np.minimum(x.astype(np.int64), positions - 2)
    j = np.minimum(y.astype(np.int64), speeds - 2)
    right, up, low = x - i, y - j, i * speeds + j
    left, down = 1.0 - right, 1.0 - up
    weight = np.stack((left * down, left * up, right * down, right * up), axis=-1)
    return np.stack((low, low + 1, low + speeds, low + speeds + 1), axis=-1), weight


@dataclass(frozen=True)
class _Greedy:
    """The push after which the goal is nearest."""

    steps: NDArray[np.float64]
    gravity: float

    def act(self, observation: Array, state: None) -> tuple[Array, None]:
        """Look one step ahead."""
        x = np.asarray(observation, dtype=np.float64)[..., None, :]
        after, arrived = drive(
            Car(x[..., 0], x[..., 1]), np.array([-1.0, 0.0, 1.0]), self.gravity, DISCRETE
        )
        corner, weight = _corners(after, *self.steps.shape)
        ahead = (self.steps.ravel()[corner] * weight).sum(axis=-1)
        return np.where(arrived, 0.0, ahead).argmin(axis=-1), state
