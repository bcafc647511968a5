"""Harvest a patch that runs dry, or leave it and travel to a fresh one.

What the subject sees: whether it stands at a patch (1) or travels (0), what the last step's harvest
yielded (0 if there was none), and the part of the session that is left (1 to 0).

What it may do: harvest (0) or leave (1). A harvest takes one step, and so does each step of the
journey to the next patch, on which either action is the same.

How it is scored: the total yield of all harvests; the mean return of a session. The first harvest
of a patch yields between 0.4 and 1.6, uniformly. Each following one yields a random part of the one
before, Beta(15, 2) with mean 0.88.

When it ends: after 200 steps.

Chance and ceiling: chance is a fair coin in every step; whoever always harvests or always leaves
earns less. The ceiling is the value of the optimal policy by dynamic programming over the last
yield and the time. While much of the session is left, its rule is the marginal value theorem: leave
when the next harvest is expected to yield less than a step yields on the average over patches and
journeys. Towards the end a journey no longer pays, and the poorest patch is worth harvesting. A
journey takes 5 steps; in stage "shift" it takes 10, so that one should stay longer.

Source: Charnov (1976), "Optimal foraging, the marginal value theorem", Theor. Popul. Biol. 9:129;
as an experiment with people in Constantino, Daw (2015), Cogn. Affect. Behav. Neurosci. 15:837. Here
patches differ more, so that counting harvests does not replace watching what they yield.
"""

from __future__ import annotations

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

STEPS = 200
HARVEST, LEAVE = 0, 1
POOREST, RICHEST = 0.4, 1.6  # first yields of a patch
DRAWS = 16  # the second largest of so many uniform numbers has the distribution Beta(15, 2)
DECAY = 15 / 17  # mean of the part that remains
SPACING = 0.002  # of the grid over the yield
NODES = 48  # of the quadratures over what remains and over fresh patches

CARD = TaskCard(
    name="Foraging",
    version=0,
    form="control",
    topic="reward and choice",
    courses=("Neuromatch Academy, W3D4",),
    summary="Decide when to leave a patch that runs dry for a fresh one that is a journey away.",
    metric=RETURN,
    ceiling="exact",
    ceiling_source="dynamic programming over last yield and time, grid of 0.002; error below 1e-3",
    chance_source="harvesting and leaving at random; exact",
    steps=STEPS,
    stages={
        "test": Stage(trials=1000, chance=30.104494, ceiling=89.5139, parameters={"journey": 5}),
        "shift": Stage(trials=1000, chance=16.618528, ceiling=65.7723, parameters={"journey": 10}),
    },
    splits={},
    licence="generated; MIT",
    citation="Constantino, Daw (2015), Cognitive, Affective, & Behavioral Neuroscience 15:837",
    tags=("control", "decision", "foraging", "reinforcement learning"),
)


class Patch(NamedTuple):
    """The state of B foragers, (B,) each."""

    stock: Array  # float64: what the next harvest yields
    way: Array  # int64: steps to go to the patch, 0 when there
    harvest: Array  # float64: the yield of the last step
    time: Array  # int64: steps so far


@register(CARD)
class Foraging(ControlTask[Patch]):
    """Patches that run dry."""

    observation_space = spaces.Box(
        np.zeros(3, np.float32), np.array([1.0, RICHEST, 1.0], np.float32), dtype=np.float32
    )
    action_space = spaces.Discrete(2)

    def initial(self, draw: Draw, *, journey: int) -> Patch:  # noqa: ARG002
        """Begin at a fresh patch."""
        time = draw.trials * 0
        return Patch(
            _first(draw.uniform("patch")), time + 0, draw.xp.astype(time, draw.xp.float64), time
        )

    def observe(self, state: Patch) -> Array:
        """Return where the forager is, the yield, and the part of the session that is left."""
        xp = namespace(state.stock)
        there = xp.astype(state.way == 0, xp.float64)
        seen = xp.stack((there, state.harvest, 1.0 - state.time / STEPS), axis=-1)
        return xp.astype(seen, xp.float32)

    def step(
        self, state: Patch, action: Array, draw: Draw, *, journey: int
    ) -> tuple[Patch, Array, Array]:
        """Harvest, or travel on; who arrives finds a fresh patch."""
        xp = namespace(state.stock)
        harvests = (state.way == 0) & (action == HARVEST)
        way = xp.where(harvests, 0, xp.where(state.way == 0, journey, state.way) - 1)
        arrives = ~harvests & (way == 0)
        reward = xp.where(harvests, state.stock, 0.0)
        luck = draw.uniform("luck", (3,))  # of the part that remains, and of the fresh patch
        left = xp.where(harvests, state.stock * _part(luck[:, :2]), state.stock)
        stock = xp.where(arrives, _first(luck[:, 2]), left)
        time = state.time + 1
        # The state may be written into later, and the reward belongs to the caller by then.
        return Patch(stock, way, xp.asarray(reward, copy=True), time), reward, time >= STEPS

    def trivial(self, stage: str = "test") -> Agent:
        """Toss a coin."""
        self.card.stage(stage)
        return RandomPolicy(2)

    def ideal(self, stage: str = "test") -> Agent:
        """Leave when the last yield has fallen below the threshold of the time."""
        threshold = solve(int(self.card.stage(stage).parameters["journey"])).threshold
        return Policy(lambda x: _leave_below(threshold, np.asarray(x, dtype=np.float64)))


def _first(luck: Array) -> Array:
    """Return the first yield of a patch from a uniform number, (B,)."""
    return POOREST + (RICHEST - POOREST) * luck


def _part(luck: Array) -> Array:
    """Return a number of the distribution Beta(15, 2) from two uniform ones, (B, 2) to (B,).

    The largest of n uniform numbers is u^(1/n), and the next one a like part of the largest.
    """
    return luck[:, 0] ** (1 / DRAWS) * luck[:, 1] ** (1 / (DRAWS - 1))


def _leave_below(threshold: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the actions (B, T) to observations (B, T, 3)."""
    time = np.rint((1.0 - x[..., 2]) * STEPS).astype(np.int64)
    harvest, bound = x[..., 1], threshold[np.clip(time, 0, STEPS - 1)]
    return np.where((harvest > 0.0) & (harvest < bound), LEAVE, HARVEST)  # 0: on the way, or fresh


class Solution(NamedTuple):
    """The optimal policy and what it earns."""

    value: float  # expected return
    threshold: NDArray[np.float64]  # (steps,): leave when the last harvest yielded less; 0 is never


@lru_cache(maxsize=8)
def solve(journey: int, spacing: float = SPACING, steps: int = STEPS) -> Solution:
    """Solve the session backwards in time on a grid over the last yield.

    Whoever leaves at time t arrives at t + journey and finds a patch of unknown yield.
    """
    last = np.arange(0.0, RICHEST + spacing / 2, spacing)
    (part, part_weight), (fresh, fresh_weight) = _parts(), _first_yields()
    value = np.zeros_like(last)  # at a patch that yielded so much last, one step later
    arrival = np.zeros(steps + journey)  # value at a fresh patch, by time
    threshold = np.empty(steps)
    for t in reversed(range(steps)):
        leave = arrival[t + journey]
        stay = DECAY * last + np.interp(last[:, None] * part, last, value) @ part_weight
        harvest = (fresh + np.interp(fresh, last, value)) @ fresh_weight
        arrival[t] = max(harvest, leave)
        threshold[t] = np.interp(leave, stay, last)
        value = np.maximum(stay, leave)
    return Solution(float(arrival[0]), threshold)


def _parts() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return nodes and weights for a mean over Beta(15, 2)."""
    part, weight = _uniform(0.0, 1.0)
    return part, weight * DRAWS * (DRAWS - 1) * part ** (DRAWS - 2) * (1.0 - part)


def _first_yields() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return nodes and weights for a mean over the first yields of patches."""
    return _uniform(POOREST, RICHEST)


def _uniform(low: float, high: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    node, weight = np.polynomial.legendre.leggauss(NODES)
    return low + (high - low) * (node + 1.0) / 2.0, weight / 2.0
