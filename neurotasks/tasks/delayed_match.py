"""Say whether a direction is the one that was shown before a delay.

What the subject sees: a fixation signal (1 until the decision), and two channels that show a
direction of motion as the point (cos a, sin a), one sample every 100 ms, with noise of standard
deviation 0.65 on each channel. First the sample, one of eight directions 45 degrees apart, for
500 ms; then a delay of 500 ms to 1.5 s, drawn for each trial; then the test for 500 ms.

What it may do: fixate (0), or say match (1) or non-match (2).

How it is scored: the fraction of right answers in the decision window alone. Half of the tests
match; the others show one of the seven other directions, each as often.

When it ends: after 100 ms of fixation, sample, delay, test and 100 ms of decision; blank up to 27
steps.

Chance and ceiling: any constant answer is right half of the time. The ideal observer computes the
posterior over the eight directions for the sample and for the test by itself. Let q be the
probability that both are the same under these two posteriors. The likelihood ratio of match to
non-match is 7 q / (1 - q), so it says match if q exceeds 1/8. Its accuracy is by Monte Carlo. In
stage "shift" the directions are fainter and the delay lasts up to 3 s.

Source: Miller, Erickson, Desimone (1996), Journal of Neuroscience 16:5154.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from gymnasium import spaces

from neurotasks.agent import Agent, Observer, Policy
from neurotasks.arrays import Array
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import ACCURACY
from neurotasks.registry import register
from neurotasks.rng import Draw
from neurotasks.task import Batch, TrialTask
from neurotasks.timeline import Timeline

DIRECTIONS = 8
NOISE = 0.65  # standard deviation of a sample of each channel
FIXATION, SAMPLE, TEST, DECISION = 1, 5, 5, 1  # steps of 100 ms
SHORTEST, LONGEST = 5, 15  # delay
FIXATE, MATCH, NON_MATCH = 0, 1, 2
REACH = 6.0  # no sample lies further from 0

CARD = TaskCard(
    name="DelayedMatchToSample",
    version=0,
    form="trial",
    topic="working memory and timing",
    courses=("Neuromatch Academy", "Neuromatch Academy Deep Learning"),
    summary="Say whether a noisy direction is the one that was shown before a delay.",
    metric=ACCURACY,
    ceiling="monte-carlo",
    ceiling_source="likelihood ratio of match to non-match; 1,000,000 trials",
    chance_source="any constant answer, exact",
    steps=FIXATION + SAMPLE + LONGEST + TEST + DECISION,
    stages={
        "test": Stage(
            trials=4000,
            chance=0.5,
            ceiling=0.89681,
            ceiling_error=0.0003,
            parameters={"contrast": 1.0, "longest": LONGEST},
        ),
        "shift": Stage(
            trials=4000,
            chance=0.5,
            ceiling=0.82186,
            ceiling_error=0.00038,
            parameters={"contrast": 0.7, "longest": 30},
        ),
    },
    splits={"train": 20_000, "validation": 2_000, "test": 4_000},
    licence="generated; MIT",
    citation="Miller, Erickson, Desimone (1996), Journal of Neuroscience 16:5154",
    tags=("working memory", "matching", "delay"),
)


@register(CARD)
class DelayedMatchToSample(TrialTask):
    """A sample, a delay and a test."""

    observation_space = spaces.Box(-REACH, REACH, (3,), np.float32)
    action_space = spaces.Discrete(3)

    def generate(self, draw: Draw, *, contrast: float, longest: int) -> Batch:
        """Draw sample and test, the delay, then the noise."""
        xp = draw.xp
        match = draw.integers("match", 2) == 1
        sample = draw.integers("sample", DIRECTIONS)
        turn = 1 + draw.integers("turn", DIRECTIONS - 1)
        test = xp.where(match, sample, (sample + turn) % DIRECTIONS)
        delay = SHORTEST + draw.integers("delay", longest - SHORTEST + 1)
        timeline = Timeline(
            draw,
            {
                "fixation": FIXATION, "sample": SAMPLE, "delay": delay, "test": TEST,
                "decision": DECISION,
            },
            steps=FIXATION + SAMPLE + longest + TEST + DECISION,
        )  # fmt: skip
        x = timeline.blank(channels=3)
        timeline.show(x, 0, 1.0, "fixation", "sample", "delay", "test")
        points = draw.asarray(contrast * _points())
        timeline.show(x, slice(1, 3), points[sample], "sample")
        timeline.show(x, slice(1, 3), points[test], "test")
        timeline.noise(x, slice(1, 3), NOISE, "sample", "test")
        wanted = xp.where(match, MATCH, NON_MATCH)
        trials = {"sample": sample, "test": test, "delay": delay, "match": match}
        return timeline.batch(x, wanted, "decision", trials)

    def trivial(self, stage: str = "test") -> Agent:
        """Say match."""
        self.card.stage(stage)
        return Policy(lambda x: np.full(x.shape[:2], MATCH))

    def ideal(self, stage: str = "test") -> Agent:
        """Say match if that is more likely than not."""
        contrast = float(self.card.stage(stage).parameters["contrast"])
        return Observer(partial(_compare, contrast))


def _points() -> Array:
    """Return the point of the plane for each direction, (8, 2)."""
    angle = np.arange(DIRECTIONS) * (2.0 * np.pi / DIRECTIONS)
    return np.stack((np.cos(angle), np.sin(angle)), axis=-1)


def _compare(contrast: float, seen: Array) -> Array:
    shown = np.cumsum(seen[..., 1:], axis=1, dtype=np.float64)  # nothing is shown in the delay
    end = min(FIXATION + SAMPLE, shown.shape[1]) - 1
    sample = shown[:, end : end + 1]
    same = _posterior(contrast, sample) * _posterior(contrast, shown - sample)
    return np.where(same.sum(axis=-1) >= 1.0 / DIRECTIONS, MATCH, NON_MATCH)


def _posterior(contrast: float, total: Array) -> Array:
    """Return the probability of each direction given summed samples, (..., 2) to (..., 8)."""
    log_p = total @ (contrast / NOISE**2 * _points().T)
    p = np.exp(log_p - log_p.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)
