"""Say which of two vibrations was faster, with a delay between them.

What the subject sees: a fixation signal (1 until the decision), and the firing of somatosensory
neurons that grows with the frequency of a vibration on the skin: one sample every 100 ms, frequency
over 34 Hz, with noise of standard deviation 7 Hz. The first vibration lasts 500 ms; after a delay
of 1 to 2 s, drawn for each trial, comes the second for 500 ms. The first has one of seven
frequencies from 10 to 34 Hz, the second is 6 Hz faster or slower, each of 14 pairs as often.

What it may do: fixate (0), or say that the first (1) or the second (2) was faster.

How it is scored: the fraction of right answers in the decision window alone.

When it ends: after 100 ms of fixation, both vibrations, the delay, and 100 ms of decision; blank up
to 32 steps.

Chance and ceiling: any constant answer is right half of the time. The ideal observer weighs the 14
pairs by their likelihood. That is better than the difference of the two sums: the first vibration
varies less than the second, so that an extreme sum of it owes more to noise. Whoever forgets it
still knows that 40 Hz is never the slower one, and earns half of the score. The accuracy of the
ideal observer is the integral of the greater of the two posteriors over both sums, which are all
that matters. In stage "shift" the noise is greater, and the delay lasts up to 3 s, as in the paper.

Source: Romo, Brody, Hernandez, Lemus (1999), Nature 399:470.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from gymnasium import spaces

from neurotasks.agent import Agent, Observer, Policy
from neurotasks.analysis import curve, decided
from neurotasks.arrays import Array
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import ACCURACY
from neurotasks.registry import register
from neurotasks.rng import Draw
from neurotasks.task import Batch, Details, TrialTask
from neurotasks.timeline import Timeline

BASE = np.array([10.0, 14.0, 18.0, 22.0, 26.0, 30.0, 34.0])  # Hz, of the first vibration
DIFFERENCE, SCALE = 6.0, 34.0  # Hz
NOISE = 7.0  # Hz, standard deviation of a sample
FIXATION, VIBRATION, DECISION = 1, 5, 1  # steps of 100 ms
SHORTEST, LONGEST = 10, 20  # delay
FIXATE, FIRST, SECOND = 0, 1, 2
REACH = 4.0  # no sample lies further from 0

CARD = TaskCard(
    name="DelayedComparison",
    version=0,
    form="trial",
    topic="working memory and timing",
    courses=("Neuromatch Academy", "Neuromatch Academy Deep Learning"),
    summary="Say which of two noisy frequencies was higher, with a delay between them.",
    metric=ACCURACY,
    ceiling="exact",
    ceiling_source="integral of the greater posterior over the two sums, grid of 0.02 Hz",
    chance_source="any constant answer, exact",
    steps=FIXATION + 2 * VIBRATION + LONGEST + DECISION,
    stages={
        "test": Stage(
            trials=4000,
            chance=0.5,
            ceiling=0.924851,
            parameters={"noise": NOISE, "longest": LONGEST},
        ),
        "shift": Stage(
            trials=4000,
            chance=0.5,
            ceiling=0.87258,
            parameters={"noise": 9.0, "longest": 30},
        ),
    },
    splits={"train": 20_000, "validation": 2_000, "test": 4_000},
    licence="generated; MIT",
    citation="Romo, Brody, Hernandez, Lemus (1999), Nature 399:470",
    tags=("working memory", "comparison", "delay", "psychophysics"),
)


@register(CARD)
class DelayedComparison(TrialTask):
    """Two vibrations and the delay between them."""

    observation_space = spaces.Box(-REACH, REACH, (2,), np.float32)
    action_space = spaces.Discrete(3)

    def generate(self, draw: Draw, *, noise: float, longest: int) -> Batch:
        """Draw the pair and the delay, then the noise."""
        xp = draw.xp
        pair = draw.integers("pair", 2 * len(BASE))
        frequencies = draw.asarray(_pairs())[pair]
        delay = SHORTEST + draw.integers("delay", longest - SHORTEST + 1)
        timeline = Timeline(
            draw,
            {
                "fixation": FIXATION, "first": VIBRATION, "delay": delay, "second": VIBRATION,
                "decision": DECISION,
            },
            steps=FIXATION + 2 * VIBRATION + longest + DECISION,
        )  # fmt: skip
        x = timeline.blank(channels=2)
        timeline.show(x, 0, 1.0, "fixation", "first", "delay", "second")
        timeline.show(x, 1, frequencies[:, 0] / SCALE, "first")
        timeline.show(x, 1, frequencies[:, 1] / SCALE, "second")
        timeline.noise(x, slice(1, 2), noise / SCALE, "first", "second")
        choice = xp.where(frequencies[:, 0] > frequencies[:, 1], FIRST, SECOND)
        trials = {"frequencies": frequencies, "delay": delay, "choice": choice}
        return timeline.batch(x, choice, "decision", trials)

    def trivial(self, stage: str = "test") -> Agent:
        """Say that the first was faster."""
        self.card.stage(stage)
        return Policy(lambda x: np.full(x.shape[:2], FIRST))

    def ideal(self, stage: str = "test") -> Agent:
        """Say what is more likely, summed over the pairs."""
        return Observer(partial(_compare, float(self.card.stage(stage).parameters["noise"])))

    def details(self, answer: Array, batch: Batch) -> Details:
        """Return how often the first is called faster, at each difference in Hz."""
        first, second = np.asarray(batch.trials["frequencies"]).T
        return {"psychometric": curve(first - second, decided(answer, batch.mask) == FIRST)}


def _pairs() -> Array:
    """Return first and second frequency of each pair in Hz, (14, 2), those that rise first."""
    second = np.concatenate((BASE + DIFFERENCE, BASE - DIFFERENCE))
    return np.stack((np.tile(BASE, 2), second), axis=-1)


def _compare(noise: float, seen: Array) -> Array:
    shown = np.cumsum(seen[..., 1] * SCALE, axis=1, dtype=np.float64)  # the delay is blank
    end = min(FIXATION + VIBRATION, shown.shape[1]) - 1
    first = shown[:, end : end + 1]
    means = np.stack(np.broadcast_arrays(first, shown - first), axis=-1) / VIBRATION
    odds, rising = _likelihood(means, noise), len(BASE)
    lean = odds[..., rising:].sum(axis=-1) - odds[..., :rising].sum(axis=-1)
    return np.where(lean >= 0.0, FIRST, SECOND)


def _likelihood(means: Array, noise: float) -> Array:
    """Return the likelihood of each pair up to a factor.

    Args:
        means: (..., 2), the mean sample of both vibrations in Hz.
        noise: Standard deviation of a sample in Hz.

    Returns:
        (..., 14), at most 1: first the pairs whose second frequency is the higher one.
    """
    squares = ((means[..., None, :] - _pairs()) ** 2).sum(axis=-1)
    squares -= squares.min(axis=-1, keepdims=True)
    return np.exp(-squares * (VIBRATION / (2.0 * noise**2)))
