"""Balance four kinds of poles, one kind after the other, and forget none.

What the subject sees: position (m) and velocity (m/s) of the cart, angle (rad) and angular velocity
(rad/s) of the pole, and a one-hot vector that tells which of the four carts it is, as float32:

    plain     the cart and the pole of CartPole
    short     half the pole and half the force: it falls faster
    mirrored  pushes go the other way
    long      twice the pole

What it may do: push the cart to the left (0) or to the right (1), with a fixed force, every 20 ms.

How it is scored: 1 for every step; the mean return over the four kinds, after the last of them was
learned. The whole matrix (return with kind j after kind i) stays in the result. As an environment
the kinds come by turns: episode k has kind k modulo 4.

When it ends: when the pole leans by more than 12 degrees, when the cart is 2.4 m from the middle,
or after 500 steps; the stream ends after its fourth kind.

Chance and ceiling: chance is a fair coin. The ceiling is the time limit, 500: a linear controller,
mirrored where the pushes are, attains it from every start.

Source: cart and pole of Barto, Sutton, Anderson (1983); a stream of control problems, games, after
Kirkpatrick et al. (2017), "Overcoming catastrophic forgetting in neural networks".
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import numpy as np
from gymnasium import spaces

from neurotasks.agent import Agent, Policy, RandomPolicy
from neurotasks.arrays import Array, namespace
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import AVERAGE_RETURN
from neurotasks.registry import load, register
from neurotasks.rng import Draw
from neurotasks.task import ControlTask

KINDS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "plain": {"length": 0.5, "force": 10.0},
        "short": {"length": 0.25, "force": 5.0},
        "mirrored": {"length": 0.5, "force": -10.0},
        "long": {"length": 1.0, "force": 10.0},
    }
)
"""Half the length of the pole in m, and the force of a push to the right in N."""

MIRRORED = list(KINDS).index("mirrored")
MOTION = 4  # numbers that describe a cart and its pole
FASTEST = 100.0

CARD = TaskCard(
    name="ContinualCartPole",
    version=0,
    form="control",
    topic="continual learning",
    courses=("Neuromatch Academy Deep Learning, W3D4 Tutorial 1",),
    summary="Balance four kinds of poles, one kind after the other, and forget none.",
    metric=AVERAGE_RETURN,
    ceiling="exact",
    ceiling_source="the time limit of 500 steps; a linear controller attains it from every start",
    chance_source="uniformly random pushes, 200,000 episodes of each kind",
    steps=500,
    stages={
        "test": Stage(
            trials=400,
            chance=24.470,
            chance_error=0.015,
            ceiling=500.0,
            parameters={"world": None},
        ),
    },
    splits={},
    licence="generated; MIT",
    citation="Barto, Sutton, Anderson (1983), IEEE Trans. Systems, Man, and Cybernetics 13:834",
    tags=("control", "motor", "reinforcement learning", "task-incremental"),
)


class Carts(NamedTuple):
    """The state of B carts.

    Attributes:
        motion: (B, 4) float64: position (m), velocity (m/s), angle (rad), angular velocity (rad/s).
        kind: (B,) int64, the place in `KINDS`.
    """

    motion: Array
    kind: Array


@register(CARD)
class ContinualCartPole(ControlTask[Carts]):
    """Carts and poles of four kinds; their physics is that of the task CartPole."""

    _high = np.array([4.8, FASTEST, 0.42, FASTEST, *[1.0] * len(KINDS)], dtype=np.float32)
    observation_space = spaces.Box(
        np.where(np.arange(len(_high)) < MOTION, -_high, np.float32(0.0)), _high, dtype=np.float32
    )
    action_space = spaces.Discrete(2)
    experiences = len(KINDS)

    def initial(self, draw: Draw, *, world: int | None) -> Carts:
        """Draw all four numbers close to 0; the kinds come by turns, or are the one asked for."""
        motion = _carts().initial(draw, **KINDS["plain"]).motion
        kind = draw.trials % len(KINDS) if world is None else draw.trials * 0 + world
        return Carts(motion, kind)

    def observe(self, state: Carts) -> Array:
        """Return the four numbers and the kind."""
        xp = namespace(state.motion)
        told = xp.stack([state.kind == number for number in range(len(KINDS))], axis=1)
        parts = (state.motion, told)
        return xp.concat([xp.astype(part, xp.float32) for part in parts], axis=1)

    def step(
        self, state: Carts, action: Array, draw: Draw, *, world: int | None
    ) -> tuple[Carts, Array, Array]:
        """Move the carts of each kind by one time step."""
        if world is not None:
            kind = list(KINDS.values())[world]
            moved, reward, ended = _carts().step(state, action, draw, **kind)
            return Carts(moved.motion, state.kind), reward, ended
        xp = namespace(state.motion)
        motion, reward = xp.empty_like(state.motion), xp.empty_like(state.motion[:, 0])
        ended = xp.empty_like(state.kind, dtype=xp.bool)
        for number, kind in enumerate(KINDS.values()):
            here = state.kind == number
            carts = Carts(state.motion[here], state.kind[here])
            moved, reward[here], ended[here] = _carts().step(carts, action[here], draw, **kind)
            motion[here] = moved.motion
        return Carts(motion, state.kind), reward, ended

    def trivial(self, stage: str = "test") -> Agent:
        """Push at random."""
        self.card.stage(stage)
        return RandomPolicy(2)

    def ideal(self, stage: str = "test") -> Agent:
        """Push as CartPole's ideal controller does; mirrored carts the other way."""
        self.card.stage(stage)
        controller = _carts().ideal()

        def answer(x: Array) -> Array:
            push, _ = controller.act(x[..., :MOTION], None)
            return np.where(np.asarray(x[..., MOTION + MIRRORED]) > 0, 1 - push, push)

        return Policy(answer)


def _carts() -> ControlTask[Any]:
    return cast("ControlTask[Any]", load("CartPole-v0"))
