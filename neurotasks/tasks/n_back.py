"""Say whether the letter is the one that was shown two steps before.

What the subject sees: at each of 32 steps a letter, one of six, as a vector that is 1 for the
letter that is shown and 0 for all others, with noise of standard deviation 0.35 on each number.

What it may do: say at every step no match (0) or match (1).

How it is scored: the fraction of right answers from the third step on. Letters are drawn evenly and
by themselves, as in the course, so that one of six matches.

When it ends: after 32 letters.

Chance and ceiling: never to say match is right five of six times. The ideal observer computes the
posterior over the six letters at each step; as letters are independent, no others tell anything.
It says match if both letters are more likely the same than not; by Monte Carlo. In stage "shift"
the sequences have 64 letters, and more noise.

Source: Kirchner (1958), Journal of Experimental Psychology 55:352.
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

LETTERS, BACK, LENGTH = 6, 2, 32
NOISE = 0.35  # standard deviation
NO_MATCH, MATCH = 0, 1
REACH = 5.0  # no number lies further from 0

CARD = TaskCard(
    name="NBack",
    version=0,
    form="trial",
    topic="working memory and timing",
    courses=("Neuromatch Academy Deep Learning",),
    summary="Say whether a noisy letter is the one that was shown two steps before.",
    metric=ACCURACY,
    ceiling="monte-carlo",
    ceiling_source="posterior probability that two letters are the same; 200,000 trials",
    chance_source="never to say match, exact",
    steps=LENGTH,
    stages={
        "test": Stage(
            trials=2000,
            chance=0.833333,
            ceiling=0.95074,
            ceiling_error=0.0001,
            parameters={"length": LENGTH, "noise": NOISE},
        ),
        "shift": Stage(
            trials=2000,
            chance=0.833333,
            ceiling=0.89799,
            ceiling_error=0.0001,
            parameters={"length": 64, "noise": 0.45},
        ),
    },
    splits={"train": 20_000, "validation": 2_000, "test": 2_000},
    licence="generated; MIT",
    citation="Kirchner (1958), Journal of Experimental Psychology 55:352",
    tags=("working memory", "updating", "sequence"),
)


@register(CARD)
class NBack(TrialTask):
    """A sequence of letters."""

    observation_space = spaces.Box(-REACH, REACH, (LETTERS,), np.float32)
    action_space = spaces.Discrete(2)

    def generate(self, draw: Draw, *, length: int, noise: float) -> Batch:
        """Draw the letters, then the noise."""
        xp = draw.xp
        letter = draw.integers("letter", LETTERS, (length,))
        shown = letter[..., None] == draw.asarray(np.arange(LETTERS))
        x = xp.astype(shown, xp.float32) + noise * draw.normal("noise", (length, LETTERS))
        late = draw.asarray(np.arange(length) >= BACK)
        same = (letter == xp.roll(letter, BACK, axis=1)) & late
        mask = late | xp.zeros_like(same)
        return Batch(x, xp.where(same, MATCH, NO_MATCH), mask, {"letter": letter})

    def trivial(self, stage: str = "test") -> Agent:
        """Never say match."""
        self.card.stage(stage)
        return Policy(lambda x: np.full(x.shape[:2], NO_MATCH))

    def ideal(self, stage: str = "test") -> Agent:
        """Say match if that is more likely than not."""
        return Observer(partial(_compare, float(self.card.stage(stage).parameters["noise"])))


def _compare(noise: float, seen: Array) -> Array:
    log_p = seen / noise**2
    p = np.exp(log_p - log_p.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    same = np.zeros(seen.shape[:2])
    same[:, BACK:] = (p[:, BACK:] * p[:, :-BACK]).sum(axis=-1)
    return np.where(same >= 0.5, MATCH, NO_MATCH)  # noqa: PLR2004 - more likely than not
