"""Choose between two slot machines whose odds are unknown: explore, or exploit what is known.

What the subject sees: its last choice (two numbers, of which that of the chosen arm is 1, both 0 at
first), the reward that it brought (0 or 1), and the part of the episode that is left (1 to 0).

What it may do: pull the left arm (0) or the right arm (1).

How it is scored: each arm pays 1 with a probability of its own, which is drawn at the beginning of
an episode and stays as it is; the mean total reward of an episode.

When it ends: after 40 pulls.

Chance and ceiling: whoever ignores what the arms pay gets their mean, half of the pulls. The
ceiling is the value of the Bayes-optimal policy. All that is known of an arm are its wins and
losses, so that the episode is a Markov decision process over four counts, which dynamic programming
solves exactly. Of two arms that have paid equally often, the optimal policy prefers the one that it
has tried less, as long as enough pulls are left to profit from what it finds. What an episode
teaches is worth nothing in the next one, so that an agent needs memory. The probabilities are
uniform between 0 and 1. In stage "shift" the world is poor: they follow the distribution Beta(1, 3)
with mean 1/4.

Source: Bellman (1956), "A problem in the sequential design of experiments", Sankhya 16:221; human
choices against this optimum in Steyvers, Lee, Wagenmakers (2009), J. Math. Psychol. 53:168; as a
test of recurrent networks in Wang et al. (2018), Nat. Neurosci. 21:860.
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

PULLS = 40

CARD = TaskCard(
    name="ProbabilisticBandit",
    version=0,
    form="control",
    topic="reward and choice",
    courses=("Neuromatch Academy, W3D4",),
    summary="Find out which of two arms pays more often, and earn meanwhile.",
    metric=RETURN,
    ceiling="exact",
    ceiling_source="dynamic programming over the wins and losses of both arms",
    chance_source="always the same arm, or either at random; exact",
    steps=PULLS,
    stages={
        "test": Stage(trials=10_000, chance=20.0, ceiling=25.446877, parameters={"prior": (1, 1)}),
        "shift": Stage(trials=10_000, chance=10.0, ceiling=13.084258, parameters={"prior": (1, 3)}),
    },
    splits={},
    licence="generated; MIT",
    citation="Steyvers, Lee, Wagenmakers (2009), Journal of Mathematical Psychology 53:168",
    tags=("control", "decision", "exploration", "reinforcement learning"),
)


class Arms(NamedTuple):
    """The state of B pairs of arms."""

    odds: Array  # (B, 2) float64: how often each arm pays
    choice: Array  # (B,) int64: the last one, -1 before the first
    won: Array  # (B,) bool: whether it paid
    time: Array  # (B,) int64: pulls so far


@register(CARD)
class ProbabilisticBandit(ControlTask[Arms]):
    """Two arms with fixed odds."""

    observation_space = spaces.Box(0.0, 1.0, (4,), np.float32)
    action_space = spaces.Discrete(2)

    def initial(self, draw: Draw, *, prior: tuple[int, int]) -> Arms:
        """Draw the odds from a beta distribution with whole parameters.

        The a-th smallest of a + b - 1 uniform numbers has the distribution Beta(a, b).
        """
        xp = draw.xp
        a, b = prior
        odds = xp.sort(draw.uniform("odds", (2, a + b - 1)), axis=-1)[..., a - 1]
        time = draw.trials * 0
        return Arms(odds, time - 1, time > 0, time)

    def observe(self, state: Arms) -> Array:
        """Return the last choice, its reward, and the part of the pulls that is left."""
        xp = namespace(state.odds)
        facts = xp.stack((state.choice == 0, state.choice == 1, state.won), axis=-1)
        left = 1.0 - state.time[:, None] / PULLS
        return xp.concat((xp.astype(facts, xp.float32), xp.astype(left, xp.float32)), axis=-1)

    def step(
        self,
        state: Arms,
        action: Array,
        draw: Draw,
        *,
        prior: tuple[int, int],  # noqa: ARG002 - the odds are drawn already
    ) -> tuple[Arms, Array, Array]:
        """Pull an arm."""
        xp = namespace(state.odds)
        odds = xp.where(action == 0, state.odds[:, 0], state.odds[:, 1])
        won = draw.uniform("reward") < odds
        time = state.time + 1
        after = Arms(state.odds, xp.astype(action, xp.int64), won, time)
        return after, xp.astype(won, xp.float64), time >= PULLS

    def trivial(self, stage: str = "test") -> Agent:
        """Always pull the left arm."""
        self.card.stage(stage)
        return Policy(lambda x: np.zeros(x.shape[:2], dtype=np.int64))

    def ideal(self, stage: str = "test") -> Agent:
        """Pull the arm that is best for the rest of the episode, given all wins and losses."""
        a, b = self.card.stage(stage).parameters["prior"]
        return _Counting(solve(int(a), int(b)).right)

    def details(self, episodes: Episodes) -> Details:
        """Return how choices depend on earlier choices and on what they were paid, in log odds."""
        weights = history_weights(episodes.action == 1, episodes.reward)
        return {
            f"weight of an earlier {name}": {
                f"{lag} back": weight for lag, weight in enumerate(weights[name], start=1)
            }
            for name in ("choice", "reward")
        }


class Solution(NamedTuple):
    """The optimal policy and what it earns."""

    value: float  # expected return
    right: NDArray[np.bool_]  # (pulls, n + 1, n + 1, n + 1): whether to pull the right arm, n pulls


@lru_cache(maxsize=8)
def solve(a: int, b: int, pulls: int = PULLS) -> Solution:
    """Solve the bandit backwards in time over what is known of its arms.

    At time t that is how often the left arm was pulled and how often each has paid: the table's
    axes. The odds of an arm with w wins in n pulls have the posterior Beta(a + w, b + n - w), whose
    mean is the probability of the next win. Entries with w > n cannot occur and are never read by
    one that can.
    """
    size = pulls + 1
    pulled, left, right = np.ogrid[:size, :size, :size]
    value = np.zeros((size + 1,) * 3)  # one more, so that the next counts exist
    best = np.zeros((pulls, size, size, size), dtype=np.bool_)
    for t in reversed(range(pulls)):
        p, q = (
            (a + np.minimum(wins, n)) / (a + b + n)
            for wins, n in ((left, pulled), (right, np.maximum(t - pulled, 0)))
        )
        pull_left = p * (1 + value[1:, 1:, :-1]) + (1 - p) * value[1:, :-1, :-1]
        pull_right = q * (1 + value[:-1, :-1, 1:]) + (1 - q) * value[:-1, :-1, :-1]
        best[t] = pull_right > pull_left
        value[:-1, :-1, :-1] = np.maximum(pull_left, pull_right)
    return Solution(float(value[0, 0, 0]), best)


@dataclass(frozen=True)
class _Counting:
    """A player who counts; its state is (pulls, wins) of each arm, each (B, 2)."""

    right: NDArray[np.bool_]  # as in `Solution`

    def act(
        self, observation: Array, state: tuple[Array, Array] | None
    ) -> tuple[Array, tuple[Array, Array]]:
        """Count, and look up what is best."""
        x = np.asarray(observation)
        chosen = (x[..., :2] > 0).astype(np.int64)
        pulls, wins = (np.cumsum(c, axis=1) for c in (chosen, chosen * (x[..., 2:3] > 0)))
        if state is not None:
            pulls, wins = pulls + state[0][:, None], wins + state[1][:, None]
        time = np.minimum(pulls.sum(axis=-1), len(self.right) - 1)  # after the end all is the same
        action = self.right[time, pulls[..., 0], wins[..., 0], wins[..., 1]]
        return action.astype(np.int64), (pulls[:, -1], wins[:, -1])
