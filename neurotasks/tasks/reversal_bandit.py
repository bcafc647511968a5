"""Choose between a good and a bad slot machine that change places now and then, unannounced.

What the subject sees: its last choice (two numbers, of which that of the chosen arm is 1, both 0 at
first), the reward that it brought (0 or 1), and the part of the episode that is left (1 to 0).

What it may do: pull the left arm (0) or the right arm (1).

How it is scored: the good arm pays 1 with probability 0.8, the bad arm with probability 0.2; the
mean total reward of an episode. After every pull the two change places with a fixed probability,
the hazard rate: 0.05, once in 20 pulls.

When it ends: after 80 pulls.

Chance and ceiling: whoever ignores what the arms pay gets half of the pulls paid. The ceiling is
the value of the optimal policy of this partially observable Markov decision process. All that is
known is the belief that the right arm is the good one: Bayes' rule weighs it by each reward, the
hazard rate draws it back towards one half. Dynamic programming over the belief shows that the arm
that is more probably good is always the one to pull, as either teaches equally much. The optimal
player stays after a single loss if it was sure before, unlike the rule "win-stay, lose-shift". In
stage "shift" the world is more stable: the hazard rate is 0.01.

Source: Costa, Tran, Turchi, Averbeck (2015), "Reversal learning and dopamine: a Bayesian
perspective", J. Neurosci. 35:2407; stable and volatile worlds in Behrens, Woolrich, Walton,
Rushworth (2007), Nat. Neurosci. 10:1214.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from neurotasks.agent import Agent, Policy
from neurotasks.analysis import history_weights
from neurotasks.arrays import Array, namespace
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import RETURN
from neurotasks.registry import register
from neurotasks.rng import Draw
from neurotasks.task import ControlTask, Details, Episodes

PULLS = 80
GOOD, BAD = 0.8, 0.2  # how often the arms pay; they add up to 1, which the optimal policy uses

CARD = TaskCard(
    name="ReversalBandit",
    version=0,
    form="control",
    topic="reward and choice",
    courses=("Neuromatch Academy, W3D4",),
    summary="Follow the better of two arms when they change places unannounced.",
    metric=RETURN,
    ceiling="exact",
    ceiling_source="dynamic programming over the belief on a grid of 0.00025; error below 2e-6",
    chance_source="always the same arm, or either at random; exact",
    steps=PULLS,
    stages={
        "test": Stage(trials=4000, chance=40.0, ceiling=55.961129, parameters={"hazard": 0.05}),
        "shift": Stage(trials=4000, chance=40.0, ceiling=60.733451, parameters={"hazard": 0.01}),
    },
    splits={},
    licence="generated; MIT",
    citation="Costa, Tran, Turchi, Averbeck (2015), Journal of Neuroscience 35:2407",
    tags=("control", "decision", "reversal learning", "reinforcement learning"),
)


class Arms(NamedTuple):
    """The state of B pairs of arms, (B,) each."""

    good: Array  # int64: which arm is the good one now
    choice: Array  # int64: the last one, -1 before the first
    won: Array  # bool: whether it paid
    time: Array  # int64: pulls so far


@register(CARD)
class ReversalBandit(ControlTask[Arms]):
    """Two arms that change places."""

    observation_space = spaces.Box(0.0, 1.0, (4,), np.float32)
    action_space = spaces.Discrete(2)

    def initial(self, draw: Draw, *, hazard: float) -> Arms:  # noqa: ARG002
        """Draw which arm is good at first."""
        time = draw.trials * 0
        return Arms(draw.integers("good", 2), time - 1, time > 0, time)

    def observe(self, state: Arms) -> Array:
        """Return the last choice, its reward, and the part of the pulls that is left."""
        xp = namespace(state.good)
        facts = xp.stack((state.choice == 0, state.choice == 1, state.won), axis=-1)
        left = 1.0 - state.time[:, None] / PULLS
        return xp.concat((xp.astype(facts, xp.float32), xp.astype(left, xp.float32)), axis=-1)

    def step(
        self, state: Arms, action: Array, draw: Draw, *, hazard: float
    ) -> tuple[Arms, Array, Array]:
        """Pull an arm; then the two may change places."""
        xp = namespace(state.good)
        luck = draw.uniform("luck", (2,))  # of the pull, and of the change
        won = xp.where(action == state.good, luck[:, 0] < GOOD, luck[:, 0] < BAD)
        good = xp.where(luck[:, 1] < hazard, 1 - state.good, state.good)
        time = state.time + 1
        after = Arms(good, xp.astype(action, xp.int64), won, time)
        return after, xp.astype(won, xp.float64), time >= PULLS

    def trivial(self, stage: str = "test") -> Agent:
        """Always pull the left arm."""
        self.card.stage(stage)
        return Policy(lambda x: np.zeros(x.shape[:2], dtype=np.int64))

    def ideal(self, stage: str = "test") -> Agent:
        """Pull the arm that is more probably the good one."""
        return _Believing(float(self.card.stage(stage).parameters["hazard"]))

    def details(self, episodes: Episodes) -> Details:
        """Return how choices depend on earlier choices and on what they were paid, in log odds."""
        weights = history_weights(episodes.action == 1, episodes.reward)
        return {
            f"weight of an earlier {name}": {
                f"{lag} back": weight for lag, weight in enumerate(weights[name], start=1)
            }
            for name in ("choice", "reward")
        }


def update(belief: Array, favours: Array, hazard: float) -> Array:
    """Return the belief that the right arm is good at the next pull.

    Args:
        belief: The belief that it is good at this pull, 0 to 1.
        favours: Whether the outcome speaks for the right arm: it paid, or the left one did not.
        hazard: Probability that the arms now change places.
    """
    right = belief * np.where(favours, GOOD, BAD)
    left = (1.0 - belief) * np.where(favours, BAD, GOOD)
    posterior = right / (right + left)
    return posterior + hazard * (1.0 - 2.0 * posterior)


class Solution(NamedTuple):
    """What the optimal policy earns, and what the right arm is worth more than the left one."""

    value: float  # expected return
    gain: NDArray[np.float64]  # (pulls, points), over beliefs evenly spaced from 0 to 1


@lru_cache(maxsize=8)
def solve(hazard: float, points: int = 4001, pulls: int = PULLS) -> Solution:
    """Solve the reversals backwards in time on a grid over the belief.

    The value is convex in the belief, so that interpolating it errs to the upper side alone. What
    the left arm is worth at belief b, the right arm is worth at 1 - b.
    """
    belief = np.linspace(0.0, 1.0, points)
    pays = GOOD * belief + BAD * (1.0 - belief)  # the right arm
    won, lost = (update(belief, np.full(points, favours), hazard) for favours in (True, False))
    value = np.zeros(points)
    gain = np.empty((pulls, points))
    for t in reversed(range(pulls)):
        after_win, after_loss = (np.interp(b, belief, value) for b in (won, lost))
        right = pays * (1.0 + after_win) + (1.0 - pays) * after_loss
        gain[t] = right - right[::-1]
        value = np.maximum(right, right[::-1])
    return Solution(float(value[points // 2]), gain)


@dataclass(frozen=True)
class _Believing:
    """A player with a belief; its state is the belief, (B,)."""

    hazard: float

    def act(self, observation: Array, state: Array | None) -> tuple[Array, Array]:
        """Weigh the outcomes one by one."""
        x = np.asarray(observation) > 0
        left, right, won = x[..., 0], x[..., 1], x[..., 2]
        belief = np.full(len(x), 0.5) if state is None else state
        action = np.empty(x.shape[:2], dtype=np.int64)
        for t in range(x.shape[1]):
            after = update(belief, won[:, t] == right[:, t], self.hazard)
            belief = np.where(left[:, t] | right[:, t], after, belief)  # nothing came before
            action[:, t] = belief > 0.5  # noqa: PLR2004 - an even chance
        return action, belief
