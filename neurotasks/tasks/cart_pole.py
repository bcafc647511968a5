"""Balance a pole on a cart: the first control problem of every course on reinforcement learning.

What the subject sees: position (m) and velocity (m/s) of the cart, angle (rad) and angular velocity
(rad/s) of the pole, as float32.

What it may do: push the cart to the left (0) or to the right (1), with a fixed force, every 20 ms.

How it is scored: 1 for every step, the last one included; the mean return of an episode.

When it ends: when the pole leans by more than 12 degrees, when the cart is 2.4 m from the middle,
or after 500 steps.

Chance and ceiling: chance is a fair coin; always pushing one way is worse. The ceiling is the time
limit, 500. A linear feedback controller attains it from every start. In stage "shift" the pole has
half the length, so that it falls faster, and the force is halved.

Source: Barto, Sutton, Anderson (1983), IEEE Transactions on Systems, Man, and Cybernetics 13:834;
equations without friction after Florian (2007), "Correct equations for the dynamics of the
cart-pole system". Every step is that of Gymnasium's CartPole-v1 to a relative 1e-12.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from neurotasks.agent import Agent, Policy, RandomPolicy
from neurotasks.arrays import Array, namespace
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import RETURN
from neurotasks.registry import register
from neurotasks.rng import Draw
from neurotasks.task import ControlTask

GRAVITY = 9.8  # m/s^2
POLE_MASS, TOTAL_MASS = 0.1, 0.1 + 1.0  # kg
TAU = 0.02  # seconds between steps, integrated by Euler's explicit method
MAX_POSITION = 2.4  # m
MAX_ANGLE = 12 * 2 * math.pi / 360
FASTEST = 100.0  # m/s and rad/s; an episode ends long before
COAST = np.array([[1, TAU, 0, 0], [0, 1, 0, 0], [0, 0, 1, TAU], [0, 0, 0, 1]])  # without forces
ENDS = np.array([[MAX_POSITION], [MAX_ANGLE]])
START = 0.05  # every number of the first state lies within this distance of 0
GAIN = (0.5, 1.2, 12.0, 3.5)  # of the controller: position, velocity, angle, angular velocity

CARD = TaskCard(
    name="CartPole",
    version=0,
    form="control",
    topic="control",
    courses=("Neuromatch Academy Deep Learning, W3D4", "Bonn deep learning course"),
    summary="Balance a pole on a cart by pushing the cart to the left or to the right.",
    metric=RETURN,
    ceiling="exact",
    ceiling_source="the time limit of 500 steps; a linear controller attains it from every start",
    chance_source="uniformly random pushes, 200,000 episodes; constant pushes are worse",
    steps=500,
    stages={
        "test": Stage(
            trials=1000,
            chance=22.253,
            chance_error=0.026,
            ceiling=500.0,
            parameters={"length": 0.5, "force": 10.0},
        ),
        "shift": Stage(
            trials=1000,
            chance=19.928,
            chance_error=0.021,
            ceiling=500.0,
            parameters={"length": 0.25, "force": 5.0},
        ),
    },
    splits={},
    licence="generated; MIT",
    citation="Barto, Sutton, Anderson (1983), IEEE Trans. Systems, Man, and Cybernetics 13:834",
    tags=("control", "motor", "reinforcement learning"),
)


class Cart(NamedTuple):
    """The state of B carts.

    Attributes:
        motion: (B, 4) float64: position (m), velocity (m/s), angle (rad), angular velocity (rad/s).
    """

    motion: Array


@register(CARD)
class CartPole(ControlTask[Cart]):
    """Carts and their poles."""

    _high = np.array([MAX_POSITION * 2, FASTEST, MAX_ANGLE * 2, FASTEST], dtype=np.float32)
    observation_space = spaces.Box(-_high, _high, dtype=np.float32)
    action_space = spaces.Discrete(2)

    def initial(self, draw: Draw, *, length: float, force: float) -> Cart:  # noqa: ARG002
        """Draw all four numbers close to 0."""
        return Cart(draw.uniform("start", (4,), low=-START, high=START))

    def observe(self, state: Cart) -> Array:
        """Return the four numbers."""
        xp = namespace(state.motion)
        return xp.astype(state.motion, xp.float32)

    def step(
        self,
        state: Cart,
        action: Array,
        draw: Draw,
        *,
        length: float,
        force: float,
    ) -> tuple[Cart, Array, Array]:
        """Move carts and poles by one time step."""
        xp = namespace(state.motion)
        before = state.motion.T
        angle, spin = before[2], before[3]
        cart = _constants(length, force)
        sine = xp.sin(angle)
        square = sine * sine
        cosine = xp.sqrt(1.0 - square)  # positive, as the pole stands; xp.cos would cost more
        drive = spin * spin * sine  # on the cart, for each unit of lever
        drive += draw.asarray(cart.push)[action]
        turn = sine * cart.weight
        turn -= cosine * drive
        square += cart.inertia
        turn /= square
        cosine *= turn
        drive -= cosine
        drive *= cart.lever * TAU
        turn *= TAU
        after = draw.asarray(COAST) @ before
        velocity, spin = after[1], after[3]
        velocity += drive
        spin += turn
        reward = xp.empty_like(angle)
        reward[:] = 1.0
        outside = xp.abs(after[::2]) > draw.asarray(ENDS)
        return Cart(after.T), reward, outside[0] | outside[1]

    def trivial(self, stage: str = "test") -> Agent:
        """Push at random."""
        self.card.stage(stage)
        return RandomPolicy(2)

    def ideal(self, stage: str = "test") -> Agent:
        """Push to the side to which cart and pole tend, weighted by the gains."""
        self.card.stage(stage)
        return Policy(lambda x: (np.asarray(x) @ np.array(GAIN, np.float32) > 0).astype(np.int64))


class _Constants(NamedTuple):
    """What one cart is made of."""

    lever: float  # m: the pole's part of the mass, times its half length
    push: NDArray[np.float64]  # (2,), acceleration by each action, for each unit of lever
    weight: float  # gravity, for each unit of lever
    inertia: float  # of the pole at rest, for each unit of lever


@lru_cache(maxsize=8)
def _constants(length: float, force: float) -> _Constants:
    lever = POLE_MASS * length / TOTAL_MASS
    push = np.array([-force, force]) / (TOTAL_MASS * lever)
    return _Constants(lever, push, GRAVITY / lever, length * 4.0 / (3.0 * lever) - 1.0)
