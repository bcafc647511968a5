"""Move the hand along a ring to a target that is seen through noisy neurons.

What the subject sees: 16 units that are tuned to the place of the target on a ring of 16 places, a
von Mises bump of height 1 with noise of standard deviation 0.4 that stays the same during a reach;
and the place of the hand, one-hot.

What it may do: move one place to the left (0), stay (1), or move one place to the right (2).

How it is scored: each of 16 steps pays a sixteenth of the closeness of hand and target after the
move, which is 1 at the target and 0 on the other side of the ring; the mean return of a reach.

When it ends: after 16 steps.

Chance and ceiling: hand and target begin anywhere, so that to stay earns one half, and so do all
answers that ignore the units. As the noise stays, all there is to know is known at once: the ideal
observer computes the posterior over targets, the expected closeness of each place, and by dynamic
programming the path of the greatest sum. It may stop between two likely targets. Its value is the
mean over 800,000 draws of the noise. In stage "shift" the bump is fainter.

Source: Georgopoulos, Schwartz, Kettner (1986), Science 233:1416 (populations of tuned neurons code
where the arm goes); after NeuroGym's task of the same name, with its optimum.
"""

from __future__ import annotations

from dataclasses import dataclass
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

PLACES, STEPS = 16, 16
SHARPNESS = 2.0  # von Mises width of the tuning
NOISE = 0.4  # standard deviation of a unit's response
LEFT, STAY, RIGHT = 0, 1, 2
REACH = 5.0  # no response lies further from 0

CARD = TaskCard(
    name="Reaching1D",
    version=0,
    form="control",
    topic="control",
    courses=("Neuromatch Academy", "Neuromatch Academy Deep Learning"),
    summary="Move the hand along a ring to a target that is seen through noisy neurons.",
    metric=RETURN,
    ceiling="monte-carlo",
    ceiling_source="dynamic programming under the posterior; mean value of 800,000 reaches",
    chance_source="to stay, exact; any moves that ignore the units earn the same",
    steps=STEPS,
    stages={
        "test": Stage(
            trials=4000,
            chance=0.5,
            ceiling=0.885229,
            ceiling_error=2.5e-05,
            parameters={"contrast": 1.0},
        ),
        "shift": Stage(
            trials=4000,
            chance=0.5,
            ceiling=0.821175,
            ceiling_error=7e-05,
            parameters={"contrast": 0.6},
        ),
    },
    splits={},
    licence="generated; MIT",
    citation="Georgopoulos, Schwartz, Kettner (1986), Science 233:1416",
    tags=("control", "motor", "population code"),
)


class Arm(NamedTuple):
    """The state of B reaches."""

    hand: Array  # (B,) int64: its place
    target: Array  # (B,) int64
    units: Array  # (B, 16) float64: their response to the target


@register(CARD)
class Reaching1D(ControlTask[Arm]):
    """A hand and a target on a ring."""

    observation_space = spaces.Box(-REACH, REACH, (2 * PLACES,), np.float32)
    action_space = spaces.Discrete(3)

    def initial(self, draw: Draw, *, contrast: float) -> Arm:
        """Draw the places of hand and target, then the noise."""
        xp = draw.xp
        target = draw.integers("target", PLACES)
        noise = xp.astype(draw.normal("noise", (PLACES,)), xp.float64)
        units = contrast * draw.asarray(tuning())[target] + NOISE * noise
        return Arm(draw.integers("hand", PLACES), target, units)

    def observe(self, state: Arm) -> Array:
        """Return the responses of the units, then the place of the hand."""
        xp = namespace(state.units)
        places = xp.arange(PLACES, device=state.hand.device)
        hand = xp.astype(state.hand[:, None] == places, xp.float64)
        return xp.astype(xp.concat((state.units, hand), axis=1), xp.float32)

    def step(
        self,
        state: Arm,
        action: Array,
        draw: Draw,
        *,
        contrast: float,  # noqa: ARG002 - the units hold it already
    ) -> tuple[Arm, Array, Array]:
        """Move the hands and pay for closeness."""
        hand = (state.hand + action - STAY) % PLACES
        reward = draw.asarray(closeness())[hand, state.target] / STEPS
        return state._replace(hand=hand), reward, reward < 0.0  # the time limit alone ends it

    def trivial(self, stage: str = "test") -> Agent:
        """Stay."""
        self.card.stage(stage)
        return Policy(lambda x: np.full(x.shape[:2], STAY))

    def ideal(self, stage: str = "test") -> Agent:
        """Take the path of the greatest expected closeness."""
        return _Planner(float(self.card.stage(stage).parameters["contrast"]))


def tuning() -> NDArray[np.float64]:
    """Return the mean response of each unit to each target, (16, 16)."""
    angle = np.arange(PLACES) * (2.0 * np.pi / PLACES)
    return np.exp(SHARPNESS * (np.cos(angle[:, None] - angle) - 1.0))


def closeness() -> NDArray[np.float64]:
    """Return 1 for the same place down to 0 for the opposite one, (16, 16)."""
    distance = np.abs(np.arange(PLACES)[:, None] - np.arange(PLACES))
    return 1.0 - np.minimum(distance, PLACES - distance) / (PLACES / 2.0)


def posterior(units: NDArray[np.float64], contrast: float) -> NDArray[np.float64]:
    """Return the probability of each target given the responses, both (B, 16)."""
    log_p = units @ (contrast / NOISE**2 * tuning())  # the bump's sum of squares is constant
    p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


class Plan(NamedTuple):
    """The best moves under a belief, and what they earn."""

    value: NDArray[np.float64]  # (B, 16): expected return from each first place of the hand
    moves: NDArray[np.int64]  # (steps, B, 16): the move at each step and place


def plan(belief: NDArray[np.float64], steps: int = STEPS) -> Plan:
    """Solve the reach backwards in time, for beliefs over targets (B, 16)."""
    pay = belief @ closeness() / STEPS
    value = np.zeros_like(pay)
    moves = np.empty((steps, *pay.shape), dtype=np.int64)
    for step in reversed(range(steps)):
        there = pay + value
        options = np.stack([np.roll(there, STAY - move, axis=1) for move in (LEFT, STAY, RIGHT)])
        moves[step] = options.argmax(axis=0)
        value = options.max(axis=0)
    return Plan(value, moves)


@dataclass(frozen=True)
class _Planner:
    """Plans at the first step; its state is (the planned moves, the steps made)."""

    contrast: float

    def act(
        self, observation: Array, state: tuple[NDArray[np.int64], int] | None
    ) -> tuple[Array, tuple[NDArray[np.int64], int]]:
        """Move as planned from where the hand is."""
        seen = np.asarray(observation, dtype=np.float64)
        if state is None:
            state = plan(posterior(seen[:, 0, :PLACES], self.contrast)).moves, 0
        moves, done = state
        hand = seen[..., PLACES:].argmax(axis=-1)
        steps = np.minimum(done + np.arange(seen.shape[1]), STEPS - 1)
        return moves[steps, np.arange(len(seen))[:, None], hand], (moves, done + seen.shape[1])
