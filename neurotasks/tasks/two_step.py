"""Choose a way that usually, but not always, leads where reward is: the two-step task.

What the subject sees: where it is (three numbers, of which one is 1: the first stage, and the two
states A and B of the second stage), the reward of the last step (0 or 1), and its last choice at
the first stage (two numbers, both 0 before the first).

What it may do: at the first stage take the left way (0) or the right way (1); at the second stage
collect, with either action. The left way leads to A with probability 0.7 (a common transition),
else to B (a rare one); the right way the other way round.

How it is scored: one of A and B is rich and pays 1 with probability 0.8, the other with probability
0.2; the mean total reward of an episode. After every trial the two change roles with probability
0.02, the hazard rate.

When it ends: after 100 trials of two steps each.

Chance and ceiling: whoever ignores what is paid gets half of the trials paid. The ceiling is the
value of optimal planning: a belief that A is the rich state, weighed by Bayes' rule with each
reward and drawn back towards one half by the hazard rate, and the way that commonly leads to the
state that is more probably rich. Dynamic programming over the belief shows that no other choice is
worth more. What tells this model-based player from a model-free one, who repeats what was rewarded,
is what they do after a rare transition: a reward that came by a rare transition speaks for the
other way. The stay probabilities on the board count that. In stage "shift" transitions are more
reliable, 0.8, and the states change roles more often, with probability 0.06.

Source: Daw, Gershman, Seymour, Dayan, Dolan (2011), "Model-based influences on humans' choices and
striatal prediction errors", Neuron 69:1204; with one action at the second stage and rewards that
reverse after Akam, Costa, Dayan (2015), PLoS Comput. Biol. 11:e1004648.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from neurotasks.agent import Agent, Policy
from neurotasks.analysis import stay_probabilities
from neurotasks.arrays import Array, namespace
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import RETURN
from neurotasks.registry import register
from neurotasks.rng import Draw
from neurotasks.task import ControlTask, Details, Episodes

TRIALS = 100
RICH, POOR = 0.8, 0.2  # how often the states pay; they add up to 1, which the optimal policy uses
FIRST, A, B = 0, 1, 2  # where the subject is

CARD = TaskCard(
    name="TwoStep",
    version=0,
    form="control",
    topic="reward and choice",
    courses=("Neuromatch Academy, W3D4",),
    summary="Plan with a model of two ways and the states that they usually lead to.",
    metric=RETURN,
    ceiling="exact",
    ceiling_source="dynamic programming over the belief on a grid of 0.00025; error below 2e-6",
    chance_source="always the same way, or either at random; exact",
    steps=2 * TRIALS,
    stages={
        "test": Stage(
            trials=4000, chance=50.0, ceiling=59.627583, parameters={"common": 0.7, "hazard": 0.02}
        ),
        "shift": Stage(
            trials=4000, chance=50.0, ceiling=61.425777, parameters={"common": 0.8, "hazard": 0.06}
        ),
    },
    splits={},
    licence="generated; MIT",
    citation="Daw, Gershman, Seymour, Dayan, Dolan (2011), Neuron 69:1204",
    tags=("control", "decision", "planning", "reinforcement learning"),
)


class Walk(NamedTuple):
    """The state of B subjects, (B,) each."""

    place: Array  # int64: FIRST, A or B
    rich: Array  # int64: A or B, which one is rich now
    choice: Array  # int64: the last way taken, -1 before the first
    won: Array  # bool: whether the last step paid
    time: Array  # int64: steps so far


@register(CARD)
class TwoStep(ControlTask[Walk]):
    """Two ways, and two states that change roles."""

    observation_space = spaces.Box(0.0, 1.0, (6,), np.float32)
    action_space = spaces.Discrete(2)

    def initial(self, draw: Draw, *, common: float, hazard: float) -> Walk:  # noqa: ARG002
        """Draw which state is rich at first."""
        time = draw.trials * 0
        return Walk(time + FIRST, draw.integers("rich", 2) + A, time - 1, time > 0, time)

    def observe(self, state: Walk) -> Array:
        """Return place, reward and last choice."""
        xp = namespace(state.place)
        places = [state.place == place for place in (FIRST, A, B)]
        facts = (*places, state.won, state.choice == 0, state.choice == 1)
        return xp.astype(xp.stack(facts, axis=-1), xp.float32)

    def step(
        self, state: Walk, action: Array, draw: Draw, *, common: float, hazard: float
    ) -> tuple[Walk, Array, Array]:
        """Move to the second stage, or collect; after a trial the two states may change roles."""
        xp = namespace(state.place)
        luck = draw.uniform("luck", (2,))  # of the transition or the reward, and of the change
        first = state.place == FIRST
        reached = xp.where((action == 0) == (luck[:, 0] < common), A, B)
        rich = state.place == state.rich
        won = ~first & xp.where(rich, luck[:, 0] < RICH, luck[:, 0] < POOR)
        time = state.time + 1
        after = Walk(
            place=xp.where(first, reached, FIRST),
            rich=xp.where(~first & (luck[:, 1] < hazard), A + B - state.rich, state.rich),
            choice=xp.where(first, action, state.choice),
            won=won,
            time=time,
        )
        return after, xp.astype(won, xp.float64), time >= self.card.steps

    def trivial(self, stage: str = "test") -> Agent:
        """Always take the left way."""
        self.card.stage(stage)
        return Policy(lambda x: np.zeros(x.shape[:2], dtype=np.int64))

    def ideal(self, stage: str = "test") -> Agent:
        """Take the way that commonly leads to the state that is more probably rich."""
        return _Planning(float(self.card.stage(stage).parameters["hazard"]))

    def details(self, episodes: Episodes) -> Details:
        """Return how often a first choice is repeated, after each kind of trial."""
        played = trial_table(episodes.observation, episodes.action, episodes.reward)
        return {"stay probability": stay_probabilities(*played)}


def update(belief: Array, favours: Array, hazard: float) -> Array:
    """Return the belief that A is rich in the next trial.

    Args:
        belief: The belief that it is rich in this trial, 0 to 1.
        favours: Whether the outcome speaks for A: A paid, or B did not.
        hazard: Probability that A and B now change roles.
    """
    in_a = belief * np.where(favours, RICH, POOR)
    in_b = (1.0 - belief) * np.where(favours, POOR, RICH)
    posterior = in_a / (in_a + in_b)
    return posterior + hazard * (1.0 - 2.0 * posterior)


class Solution(NamedTuple):
    """What the optimal policy earns, and what the left way is worth more than the right one."""

    value: float  # expected return
    gain: NDArray[np.float64]  # (trials, points), over beliefs evenly spaced from 0 to 1


@lru_cache(maxsize=8)
def solve(common: float, hazard: float, points: int = 4001, trials: int = TRIALS) -> Solution:
    """Solve the task backwards in trials on a grid over the belief.

    The value is convex in the belief, so that interpolating it errs to the upper side alone. What
    it is worth to be in A at belief b, it is worth to be in B at 1 - b.
    """
    belief = np.linspace(0.0, 1.0, points)
    pays = RICH * belief + POOR * (1.0 - belief)  # being in A
    won, lost = (update(belief, np.full(points, favours), hazard) for favours in (True, False))
    value = np.zeros(points)
    gain = np.empty((trials, points))
    for trial in reversed(range(trials)):
        after_win, after_loss = (np.interp(b, belief, value) for b in (won, lost))
        in_a = pays * (1.0 + after_win) + (1.0 - pays) * after_loss
        left = common * in_a + (1.0 - common) * in_a[::-1]
        gain[trial] = left - left[::-1]
        value = np.maximum(left, left[::-1])
    return Solution(float(value[points // 2]), gain)


@dataclass(frozen=True)
class _Planning:
    """A player with a belief and a plan; its state is (belief that A is rich, last place)."""

    hazard: float

    def act(
        self, observation: Array, state: tuple[Array, Array] | None
    ) -> tuple[Array, tuple[Array, Array]]:
        """Weigh the outcomes one by one."""
        x = np.asarray(observation)
        place, won = x[..., :3].argmax(axis=-1), x[..., 3] > 0
        rows = len(x)
        belief, last = (np.full(rows, 0.5), np.full(rows, FIRST)) if state is None else state
        action = np.empty(place.shape, dtype=np.int64)
        for t in range(place.shape[1]):
            after = update(belief, won[:, t] == (last == A), self.hazard)
            belief = np.where(last == FIRST, belief, after)
            last = place[:, t]
            action[:, t] = belief < 0.5  # noqa: PLR2004 - an even chance
        return action, (belief, last)


class Trials(NamedTuple):
    """What happened in n trials of each of B episodes, (B, n) each."""

    choice: Array  # int64: the way taken, 0 or 1
    common: Array  # bool: whether it led where it commonly leads
    rewarded: Array  # bool


def trial_table(observation: Array, action: Array, reward: Array) -> Trials:
    """Return the trials of whole episodes, from what was seen, done and paid.

    Args:
        observation: (B, 2 n, 6), from the first step of an episode on.
        action: (B, 2 n).
        reward: (B, 2 n).
    """
    choice = action[:, ::2]
    reached_a = observation[:, 1::2, A] > 0
    return Trials(choice, reached_a == (choice == 0), reward[:, 1::2] > 0)
