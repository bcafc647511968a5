"""Swing the tip of two hanging links above a line, with a motor at the joint between them.

What the subject sees: cosine and sine of the first link's angle from hanging down, cosine and sine
of the second link's angle from the first, and both angular velocities (rad/s), as float32.

What it may do: a torque of -1 (0), 0 (1) or 1 N m (2) between the links, every 0.2 s.

How it is scored: -1 for every step but the one that reaches the line; mean return of an episode.

When it ends: when the tip is more than one link's length above the upper pivot, or after 500 steps.

Chance and ceiling: chance is a random torque, which hardly ever arrives in time; no constant one
does. The best policy is not known. The ceiling is that of a planner which knows the equations: a
beam search keeps, of the states that can be reached, those of the most energy, no two of them
alike, until one is above the line; a beam of 3,000 saves 3 to 4 steps more. In stage "shift" the
lower link is heavier, so that the swings come slower.

Source: Sutton (1996), "Generalization in reinforcement learning: successful examples using sparse
coarse coding", NeurIPS 8, with the equations of Sutton, Barto (2018), "Reinforcement learning: an
introduction", chapter 11 of the first edition. Every step is that of Gymnasium's Acrobot-v1 to a
relative 1e-9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from neurotasks.agent import Agent, RandomPolicy
from neurotasks.arrays import Array, Namespace, namespace
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import RETURN
from neurotasks.registry import register
from neurotasks.rng import Draw
from neurotasks.task import ControlTask

GRAVITY = 9.8  # m/s^2
MASS, LENGTH, CENTRE, INERTIA = 1.0, 1.0, 0.5, 1.0  # kg, m, m to the centre, kg m^2: each link
TAU = 0.2  # seconds between steps, one step of Runge and Kutta's fourth order
MAX_SPEEDS = (4 * math.pi, 9 * math.pi)  # rad/s
STEPS = 500
BEAM, CELL, HORIZON = 100, 8.0, 150  # states kept; cells per rad; steps planned

CARD = TaskCard(
    name="Acrobot",
    version=0,
    form="control",
    topic="control",
    courses=("Bonn deep learning course",),
    summary="Swing the tip of two links above a line, driving only the joint between them.",
    metric=RETURN,
    ceiling="reference",
    ceiling_source="our planner, a beam search over 100 states, 3,000 episodes",
    chance_source="uniformly random torques, 10,000 episodes; constant ones never arrive",
    steps=STEPS,
    stages={
        "test": Stage(
            trials=100, chance=-498.74, chance_error=0.12, ceiling=-63.92, ceiling_error=0.06,
            parameters={"lower_mass": 1.0},
        ),
        "shift": Stage(
            trials=100, chance=-499.81, chance_error=0.05, ceiling=-71.63, ceiling_error=0.03,
            parameters={"lower_mass": 1.25},
        ),
    },
    splits={},
    licence="generated; MIT",
    citation="Sutton (1996), Generalization in reinforcement learning: successful examples using "
    "sparse coarse coding, NeurIPS 8",
    tags=("control", "motor", "reinforcement learning", "sparse reward"),
)  # fmt: skip


class Links(NamedTuple):
    """The state of B pairs of links.

    Attributes:
        motion: (B, 4) float64: angle of the first link from hanging down, of the second from the
            first (rad, -pi to pi), and their velocities (rad/s).
    """

    motion: Array


@register(CARD)
class Acrobot(ControlTask[Links]):
    """Gymnasts on a bar."""

    _high = np.array([1.0, 1.0, 1.0, 1.0, *MAX_SPEEDS], dtype=np.float32)
    observation_space = spaces.Box(-_high, _high, dtype=np.float32)
    action_space = spaces.Discrete(3)

    def initial(self, draw: Draw, *, lower_mass: float) -> Links:  # noqa: ARG002
        """Draw all four numbers close to 0."""
        return Links(draw.uniform("start", (4,), low=-0.1, high=0.1))

    def observe(self, state: Links) -> Array:
        """Return directions and velocities."""
        xp = namespace(state.motion)
        first, second = state.motion[:, 0], state.motion[:, 1]
        directions = (xp.cos(first), xp.sin(first), xp.cos(second), xp.sin(second))
        seen = xp.stack((*directions, state.motion[:, 2], state.motion[:, 3]), axis=-1)
        return xp.astype(seen, xp.float32)

    def step(
        self,
        state: Links,
        action: Array,
        draw: Draw,  # noqa: ARG002 - links swing without chance
        *,
        lower_mass: float,
    ) -> tuple[Links, Array, Array]:
        """Let the links swing for one time step."""
        xp = namespace(state.motion)
        motion = swing(state.motion.T, xp.astype(action, xp.float64) - 1.0, lower_mass)
        arrived = above(motion)
        return Links(motion.T), xp.astype(arrived, xp.float64) - 1.0, arrived

    def trivial(self, stage: str = "test") -> Agent:
        """Drive at random."""
        self.card.stage(stage)
        return RandomPolicy(3)

    def ideal(self, stage: str = "test") -> Agent:
        """Plan at the first step, and follow the plan."""
        return _Planner(float(self.card.stage(stage).parameters["lower_mass"]))


def swing(motion: Array, torque: Array, lower_mass: float) -> Array:
    """Return the motion after a step.

    Args:
        motion: (4, ...) float64, as in `Links` but with the four numbers first.
        torque: (...) float64, N m at the joint.
        lower_mass: kg.
    """
    xp = namespace(motion)
    k1 = _change(motion, torque, lower_mass)
    k2 = _change(motion + TAU / 2 * k1, torque, lower_mass)
    k3 = _change(motion + TAU / 2 * k2, torque, lower_mass)
    k4 = _change(motion + TAU * k3, torque, lower_mass)
    after = motion + TAU / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    angle = (after[:2] + math.pi) % (2 * math.pi) - math.pi
    speeds = [xp.clip(after[2 + k], -limit, limit) for k, limit in enumerate(MAX_SPEEDS)]
    return xp.concat((angle, xp.stack(speeds)))


def _change(motion: Array, torque: Array, lower_mass: float) -> Array:
    """Return the derivative in time: velocities and accelerations, (4, ...)."""
    xp = namespace(motion)
    second, v1, v2 = motion[1], motion[2], motion[3]
    lever = lower_mass * LENGTH * CENTRE
    bend, sine = lever * xp.cos(second), lever * xp.sin(second)
    own = lower_mass * CENTRE**2 + INERTIA  # of the lower link, about the joint
    both = MASS * CENTRE**2 + INERTIA + lower_mass * LENGTH**2 + own + 2.0 * bend
    shared = own + bend
    lower = lower_mass * CENTRE * GRAVITY * xp.sin(motion[0] + second)
    upper = (MASS * CENTRE + lower_mass * LENGTH) * GRAVITY * xp.sin(motion[0]) + lower
    upper = upper - sine * v2 * (v2 + 2.0 * v1)
    a2 = torque + shared / both * upper - sine * v1**2 - lower
    a2 = a2 / (own - shared**2 / both)
    return xp.stack((v1, v2, -(shared * a2 + upper) / both, a2))


def above(motion: Array) -> Array:
    """Return whether the tip is above the line, (4, ...) to (...) bool."""
    xp: Namespace = namespace(motion)
    return -xp.cos(motion[0]) - xp.cos(motion[0] + motion[1]) > 1.0


def energy(motion: NDArray[np.float64], lower_mass: float) -> NDArray[np.float64]:
    """Return kinetic plus potential energy in joules, (4, ...) to (...)."""
    first, second, v1, v2 = motion
    own = lower_mass * CENTRE**2 + INERTIA
    bend = lower_mass * LENGTH * CENTRE * np.cos(second)
    both = MASS * CENTRE**2 + INERTIA + lower_mass * LENGTH**2 + own + 2.0 * bend
    kinetic = both * v1**2 / 2 + (own + bend) * v1 * v2 + own * v2**2 / 2
    upper = (MASS * CENTRE + lower_mass * LENGTH) * np.cos(first)
    return kinetic - GRAVITY * (upper + lower_mass * CENTRE * np.cos(first + second))


def plan(start: NDArray[np.float64], lower_mass: float, beam: int = BEAM) -> NDArray[np.int64]:
    """Return torques (as actions) that lead above the line, (B, HORIZON).

    Args:
        start: (4, B), as for `swing`.
        lower_mass: kg.
        beam: How many states are kept from step to step.
    """
    count = start.shape[1]
    states, plans = start[:, :, None], np.ones((count, 1, HORIZON), np.int8)
    best, arrived = plans[:, 0], np.zeros(count, dtype=np.bool_)
    for step in range(HORIZON):
        action = np.tile(np.arange(3), states.shape[2])
        states = swing(np.repeat(states, 3, axis=2), action - 1.0, lower_mass)
        plans = np.repeat(plans, 3, axis=1)
        plans[:, :, step] = action
        there = above(states)
        new = there.any(axis=1) & ~arrived
        best[new] = plans[new, there[new].argmax(axis=1)]
        arrived |= new
        if arrived.all():
            break
        worth = np.where(_doubles(states), -np.inf, energy(states, lower_mass))
        kept = np.argsort(-worth, axis=1, kind="stable")[:, :beam]
        states = np.take_along_axis(states, kept[None], axis=2)
        plans = np.take_along_axis(plans, kept[:, :, None], axis=1)
    return best.astype(np.int64)


def _doubles(states: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which states share a cell of the grid with an earlier one of their beam, (B, W)."""
    scale = np.array([CELL, CELL, CELL / 2, CELL / 2])[:, None, None]
    cells = np.floor(states * scale).astype(np.int64)
    beam = np.broadcast_to(np.arange(states.shape[1])[:, None], cells.shape[1:])
    key = np.zeros_like(beam)
    for part in (beam, *cells):
        key = key * 1000 + part  # no cell's number reaches 500
    double = np.ones(key.size, dtype=np.bool_)
    double[np.unique(key, return_index=True)[1]] = False
    return double.reshape(key.shape)


@dataclass(frozen=True)
class _Planner:
    """An agent that plans from what it sees first; its state is (plan, steps done)."""

    lower_mass: float

    def act(
        self, observation: Array, state: tuple[Array, int] | None
    ) -> tuple[Array, tuple[Array, int]]:
        """Follow the plan, and let go after its end."""
        steps = observation.shape[1]
        if state is None:
            x = np.asarray(observation[:, 0], dtype=np.float64).T
            start = np.stack((np.arctan2(x[1], x[0]), np.arctan2(x[3], x[2]), x[4], x[5]))
            state = plan(start, self.lower_mass), 0
        actions, done = state
        following = np.minimum(done + np.arange(steps), HORIZON - 1)
        return actions[:, following], (actions, done + steps)
