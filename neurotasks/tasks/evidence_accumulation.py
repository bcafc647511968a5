"""Judge the direction of moving dots, and decide when to stop looking.

What the subject sees: every 50 ms a sample of momentary evidence from a cloud of moving dots,
positive for motion to the right, with a standard deviation of 1; and how much of the time is over
(0 to 1). The mean of the samples is the coherence of the motion times the sensitivity of the eye.
The coherence is one of six, none at all among them, and does not change within a trial.

What it may do: wait for another sample (0), or answer left (1) or right (2).

How it is scored: 1 for the correct answer, 0 for the wrong one, less 0.001 for every step of
waiting; the mean return of a trial. Where no dots move together, a fair coin says what is correct.

When it ends: with the answer; or after 60 steps (3 s), without reward.

Chance and ceiling: to answer at once without looking is correct half of the time. The ceiling is
the value of the optimal policy by dynamic programming over the sum of the samples and the time:
answer when the sum reaches a bound, which falls in the end, because whoever has looked long and
knows little probably looks at little coherence. The samples are shown one by one, as a population
in area MT would send them, and adding them up is left to the agent: without memory it can only wait
for one strong sample, and earns about two thirds of the score. In stage "shift" the sensitivity is
half.

Source: Roitman, Shadlen (2002), J. Neurosci. 22:9475; optimal bounds by dynamic programming after
Drugowitsch, Moreno-Bote, Churchland, Shadlen, Pouget (2012), J. Neurosci. 32:3612.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from neurotasks.agent import Agent, Policy
from neurotasks.analysis import curve
from neurotasks.arrays import Array, namespace
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import RETURN
from neurotasks.registry import register
from neurotasks.rng import Draw
from neurotasks.task import ControlTask, Details, Episodes

COHERENCES = np.array([0.0, 0.032, 0.064, 0.128, 0.256, 0.512])
STEPS, COST = 60, 0.001  # time limit; price of a step of waiting
WAIT, LEFT, RIGHT = 0, 1, 2
STRONGEST = 7.0  # no sample lies further from 0
REACH, SPACING = 40.0, 0.02  # of the grid over the sum of the samples

CARD = TaskCard(
    name="EvidenceAccumulation",
    version=0,
    form="control",
    topic="perceptual decisions",
    courses=("Neuromatch Academy", "Neuromatch Academy Deep Learning, W3D4"),
    summary="Add up noisy evidence of motion, and decide when it suffices for an answer.",
    metric=RETURN,
    ceiling="exact",
    ceiling_source="dynamic programming over summed evidence and time, grid of 0.02",
    chance_source="answering at once, always to the same side; exact",
    steps=STEPS,
    stages={
        "test": Stage(trials=4000, chance=0.5, ceiling=0.773687, parameters={"sensitivity": 1.5}),
        "shift": Stage(trials=4000, chance=0.5, ceiling=0.697207, parameters={"sensitivity": 0.75}),
    },
    splits={},
    licence="generated; MIT",
    citation="Roitman, Shadlen (2002), Journal of Neuroscience 22:9475",
    tags=("control", "decision", "evidence accumulation", "reaction time"),
)


class Look(NamedTuple):
    """The state of B trials, (B,) each."""

    right: Array  # bool: the correct answer
    drift: Array  # float64: mean of the samples
    evidence: Array  # float64: the sample that is seen now
    time: Array  # int64: steps waited


@register(CARD)
class EvidenceAccumulation(ControlTask[Look]):
    """Moving dots."""

    observation_space = spaces.Box(
        np.array([-STRONGEST, 0.0], np.float32), np.array([STRONGEST, 1.0], np.float32)
    )
    action_space = spaces.Discrete(3)

    def initial(self, draw: Draw, *, sensitivity: float) -> Look:
        """Draw the side, the coherence and the first sample."""
        xp = draw.xp
        right = draw.integers("side", 2) == 1
        coherence = draw.asarray(COHERENCES)[draw.integers("coherence", len(COHERENCES))]
        drift = sensitivity * xp.where(right, coherence, -coherence)
        return Look(right, drift, _sample(draw, drift), draw.integers("side", 1))

    def observe(self, state: Look) -> Array:
        """Return the sample and the part of the time that is over."""
        xp = namespace(state.drift)
        seen = xp.stack((state.evidence, state.time / STEPS), axis=-1)
        return xp.astype(seen, xp.float32)

    def step(
        self,
        state: Look,
        action: Array,
        draw: Draw,
        *,
        sensitivity: float,  # noqa: ARG002 - the drift holds it already
    ) -> tuple[Look, Array, Array]:
        """Judge the answers; show another sample to those who wait."""
        xp = namespace(state.drift)
        correct = state.right == (action == RIGHT)
        reward = xp.where(action == WAIT, -COST, xp.astype(correct, xp.float64))
        time = state.time + 1
        ended = (action != WAIT) | (time >= STEPS)
        return state._replace(evidence=_sample(draw, state.drift), time=time), reward, ended

    def trivial(self, stage: str = "test") -> Agent:
        """Answer left at once."""
        self.card.stage(stage)
        return Policy(lambda x: np.full(x.shape[:2], LEFT))

    def ideal(self, stage: str = "test") -> Agent:
        """Answer when the sum of the samples reaches the optimal bound."""
        return _Bounded(solve(float(self.card.stage(stage).parameters["sensitivity"])).bounds)

    def details(self, episodes: Episodes) -> Details:
        """Return how often right is answered, and after how many steps, at each mean sample."""
        last = episodes.running.sum(axis=1) - 1
        answer = np.take_along_axis(episodes.action, last[:, None], axis=1)[:, 0]
        given = answer != WAIT
        drift = np.round(episodes.start.drift[given], 4)
        return {
            "psychometric": curve(drift, answer[given] == RIGHT),
            "chronometric": curve(drift, last[given] + 1),
        }


def _sample(draw: Draw, drift: Array) -> Array:
    return drift + draw.xp.astype(draw.normal("evidence"), draw.xp.float64)


class Solution(NamedTuple):
    """The optimal policy and what it earns."""

    value: float  # expected return
    bounds: NDArray[np.float64]  # (STEPS,), answer when the summed samples reach it


@lru_cache(maxsize=8)
def solve(sensitivity: float, spacing: float = SPACING) -> Solution:
    """Solve the stopping problem backwards in time on a grid over the sum of the samples.

    The sum x of n samples tells all about a drift m: its likelihood is proportional to
    exp(m x - m^2 n / 2). Let w(x, n) be that of all drifts together, weighted by their prior.
    Then the next sum has the density phi(x' - x) w(x', n + 1) / w(x, n), with phi the standard
    normal, so that w times value obeys a recursion with the same kernel everywhere.
    """
    x = np.arange(0.0, REACH + spacing / 2, spacing)  # what follows is even in x
    drifts = sensitivity * COHERENCES[:, None]
    kernel = _kernel(x, spacing)
    bounds = np.empty(STEPS)
    future = np.zeros_like(x)  # w times the value of having waited once more
    for n in range(STEPS, 0, -1):
        towards, away = (np.exp(s * drifts * x - drifts**2 * n / 2) for s in (1.0, -1.0))
        answer, weight = towards.mean(axis=0) / 2, (towards + away).mean(axis=0) / 2
        wait = future - COST * weight
        bounds[n - 1] = _crossing(x, answer - wait)
        future = kernel @ np.maximum(answer, wait)
    return Solution(float(future[0]), bounds)


def _kernel(x: NDArray[np.float64], spacing: float) -> NDArray[np.float64]:
    """Return the matrix that averages an even function over x plus a standard normal."""
    near, far = (np.exp(-0.5 * (x[:, None] - s * x) ** 2) for s in (1.0, -1.0))
    kernel = (near + far) * (spacing / np.sqrt(2.0 * np.pi))
    kernel[:, 0] /= 2.0  # zero is its own mirror image
    return kernel


def _crossing(x: NDArray[np.float64], gain: NDArray[np.float64]) -> float:
    """Return where the gain of an answer over waiting becomes positive."""
    k = int(np.argmax(gain >= 0.0))
    return (
        float(x[k])
        if k == 0
        else float(x[k] - (x[k] - x[k - 1]) * gain[k] / (gain[k] - gain[k - 1]))
    )


@dataclass(frozen=True)
class _Bounded:
    """An accumulator with a bound for each step; its state is (sum of the samples, steps)."""

    bounds: NDArray[np.float64]

    def act(
        self, observation: Array, state: tuple[Array, int] | None
    ) -> tuple[Array, tuple[Array, int]]:
        """Add up the samples, and answer where the sum has reached the bound."""
        samples = np.asarray(observation, dtype=np.float64)[..., 0]
        total, done = (0.0, 0) if state is None else state
        sums = np.cumsum(samples, axis=1)
        sums = sums + np.reshape(total, (-1, 1))
        steps = np.minimum(done + np.arange(samples.shape[1]), STEPS - 1)
        answer = np.where(sums > 0, RIGHT, LEFT)
        waits = np.abs(sums) < self.bounds[steps]
        return np.where(waits, WAIT, answer), (sums[:, -1], done + samples.shape[1])
