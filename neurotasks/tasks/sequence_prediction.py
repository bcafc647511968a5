"""Predict the next syllable of a song whose syntax is hidden.

What the subject sees: the syllables of a bird's song, one a step, each one of eight (one-hot).

What it may do: answer one number per syllable, an unnormalised log-probability that it comes next.

How it is scored: the surprise of the syllable that came, in bits, averaged over the scored steps.
The first 16 steps of a trial are not scored, because nobody can know yet where in the song it is.

When it ends: after 64 steps.

Chance and ceiling: the bird sings four motifs of twelve hidden states, and many states sing the
same syllable. The first syllable of a motif names it, the next five are common to all motifs, and
the last six are its own. So how a motif goes on after its middle can be told only by those who
remember its beginning, and which motif comes next depends on the last one. A state repeats itself
with some probability, so that counting steps is not enough. The source is stationary, and chance is
the entropy of a single syllable. The ideal observer is the exact Bayes filter over the 48 hidden
states, and the ceiling the mean entropy of its prediction; it lies less than 0.0005 bits above the
entropy rate of the source. In stage "shift" the bird repeats itself more often.

Source: Markov chains with several states for one syllable after Jin and Kozhevnikov (2011), PLoS
Computational Biology 7:e1001108; the filter after Rabiner (1989), Proceedings of the IEEE 77:257.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from neurotasks.agent import Agent, Policy
from neurotasks.arrays import Array
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import BITS_PER_SYMBOL
from neurotasks.registry import register
from neurotasks.rng import Draw
from neurotasks.task import Batch, TrialTask

SYLLABLES, STEPS, UNSCORED = 8, 64, 16
MOTIFS = np.array(
    [
        [0, 4, 5, 6, 5, 7, 1, 6, 2, 4, 3, 7],
        [1, 4, 5, 6, 5, 7, 3, 4, 0, 7, 2, 6],
        [2, 4, 5, 6, 5, 7, 4, 0, 6, 3, 1, 5],
        [3, 4, 5, 6, 5, 7, 2, 5, 0, 1, 6, 4],
    ]
)
NEXT = np.array([0.1, 0.5, 0.3, 0.1])  # probability that motif m + d comes after motif m
NOISE = 0.05  # probability that any syllable is sung instead
STATES = MOTIFS.size

CARD = TaskCard(
    name="SequencePrediction",
    version=0,
    form="trial",
    topic="sequence prediction",
    courses=("Neuromatch Academy Deep Learning", "SpikeAI tutorial", "Bonn deep learning course"),
    summary="Predict the next syllable of a generated song whose syntax is hidden.",
    metric=BITS_PER_SYMBOL,
    ceiling="monte-carlo",
    ceiling_source="entropy of the exact Bayes filter's prediction, 200,000 trials",
    chance_source="the stationary distribution of a single syllable, exact",
    steps=STEPS,
    stages={
        "test": Stage(
            trials=2000,
            chance=2.9125345801,
            ceiling=1.18389,
            ceiling_error=0.00008,
            parameters={"stay": 0.2},
        ),
        "shift": Stage(
            trials=2000,
            chance=2.9125345801,
            ceiling=1.40180,
            ceiling_error=0.00009,
            parameters={"stay": 0.45},
        ),
    },
    splits={"train": 20_000, "validation": 2_000, "test": 2_000},
    licence="generated; MIT",
    citation="Jin, Kozhevnikov (2011), PLoS Computational Biology 7:e1001108",
    tags=("sequence", "memory", "birdsong"),
)


@register(CARD)
class SequencePrediction(TrialTask):
    """The singing bird."""

    observation_space = spaces.Box(0, 1, (SYLLABLES,), np.uint8)
    action_space = spaces.Box(-100.0, 100.0, (SYLLABLES,), np.float32)

    def generate(self, draw: Draw, *, stay: float) -> Batch:
        """Draw the path through the motifs, then what is sung on it."""
        xp = draw.xp
        place, motif = self._path(draw, stay)
        length = MOTIFS.shape[1]
        syllable = draw.asarray(MOTIFS.reshape(-1))[motif * length + place]
        slip = draw.uniform("slip", (STEPS + 1,)) < NOISE
        syllable = xp.where(slip, draw.integers("sung", SYLLABLES, (STEPS + 1,)), syllable)
        heard = syllable[:, :-1, None] == draw.asarray(np.arange(SYLLABLES))
        scored = draw.asarray(np.arange(STEPS) >= UNSCORED)
        return Batch(
            x=xp.astype(heard, xp.uint8),
            y=syllable[:, 1:],
            mask=scored | xp.zeros((draw.size, 1), dtype=xp.bool, device=draw.device),
            trials={"motif": motif[:, 0], "place": place[:, 0]},
        )

    def _path(self, draw: Draw, stay: float) -> tuple[Array, Array]:
        """Return the place in the motif and the motif at each step, (B, STEPS + 1) each."""
        xp, length = draw.xp, MOTIFS.shape[1]
        moves = xp.astype(draw.uniform("stay", (STEPS,)) >= stay, xp.int64)
        walked = draw.integers("place", length)[:, None] + _sums(draw, moves)
        place = walked % length
        begins = moves * xp.astype(place[:, 1:] == 0, xp.int64)
        turn = draw.categorical("motif", draw.asarray(np.tile(NEXT, (1, STEPS, 1))))
        first = draw.integers("first motif", len(MOTIFS))
        return place, (first[:, None] + _sums(draw, begins * turn)) % len(MOTIFS)

    def trivial(self, stage: str = "test") -> Agent:
        """Answer how often each syllable is sung."""
        self.card.stage(stage)
        often = np.log(source(0.0).emission.mean(axis=0)).astype(np.float32)
        return Policy(lambda x: np.broadcast_to(often, x.shape))

    def ideal(self, stage: str = "test") -> Agent:
        """Answer the prediction of the Bayes filter over hidden states."""
        return _Filter(source(float(self.card.stage(stage).parameters["stay"])))


def _sums(draw: Draw, increments: Array) -> Array:
    """Return the sum of the increments before each step, (B, T) to (B, T + 1)."""
    sums = draw.xp.cumulative_sum(increments, axis=1)
    return draw.xp.concat((draw.xp.zeros_like(sums[:, :1]), sums), axis=1)


class Source(NamedTuple):
    """The song as a hidden Markov chain that is stationary where all states are equally likely."""

    transition: NDArray[np.float64]  # (48, 48), from a state (row) to the next (column)
    emission: NDArray[np.float64]  # (48, 8), what a state sings


@lru_cache(maxsize=8)
def source(stay: float) -> Source:
    """Return the hidden Markov chain, states in the order of `MOTIFS`."""
    motifs, length = MOTIFS.shape
    state = np.arange(STATES)
    transition = stay * np.eye(STATES)
    for d, probability in enumerate(NEXT):
        following = (state // length + d) % motifs * length
        last = state % length == length - 1
        transition[state, np.where(last, following, state + 1 - last)] += (1 - stay) * probability
    emission = np.full((STATES, SYLLABLES), NOISE / SYLLABLES)
    emission[state, MOTIFS.reshape(-1)] += 1.0 - NOISE
    return Source(transition, emission)


@dataclass(frozen=True)
class _Filter:
    """The exact Bayes filter; its state is the belief (B, 48) before the next syllable."""

    source: Source

    def act(self, observation: Array, state: Array | None) -> tuple[Array, Array]:
        """Weigh the belief by what is heard, move it one step on, and predict."""
        heard = np.asarray(observation, dtype=np.float64)
        belief = np.full((len(heard), STATES), 1.0 / STATES) if state is None else state
        answer = np.empty(heard.shape, dtype=np.float32)
        for step in range(heard.shape[1]):
            belief = belief * (heard[:, step] @ self.source.emission.T)
            belief = (belief / belief.sum(axis=1, keepdims=True)) @ self.source.transition
            answer[:, step] = np.log(belief @ self.source.emission)
        return answer, belief
