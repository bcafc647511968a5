"""Say to which side a cloud of noisy evidence leans.

What the subject sees: a fixation signal (1 until the decision) and the momentary evidence for two
choices, one sample of each every 100 ms: 0.5 plus or minus half the coherence, with noise of
standard deviation 0.1. The coherence is one of five, none at all among them.

What it may do: fixate (0), or choose the first (1) or the second (2).

How it is scored: the fraction of right choices in the decision window alone. At zero coherence a
fair coin says what is right.

When it ends: after 100 ms of fixation, 2 s of evidence and 100 ms of decision, 22 steps.

Chance and ceiling: any constant choice is right half of the time. The ideal observer adds up the
difference of both channels, which holds all that can be known; its accuracy is the normal integral
of the sum's mean over its standard deviation, averaged over coherences. In stage "shift" there is
half the time and half the coherence.

Source: Britten, Shadlen, Newsome, Movshon (1992), Journal of Neuroscience 12:4745; timing and
inputs are those of NeuroGym's task of the same name, so that speeds can be compared.
"""

from __future__ import annotations

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

COHERENCES = np.array([0.0, 0.064, 0.128, 0.256, 0.512])
NOISE = 0.1  # standard deviation of a sample
FIXATION, STIMULUS, DECISION = 1, 20, 1  # steps of 100 ms
FIXATE, FIRST, SECOND = 0, 1, 2
REACH = 2.0  # no sample lies further from 0

CARD = TaskCard(
    name="PerceptualDecisionMaking",
    version=0,
    form="trial",
    topic="perceptual decisions",
    courses=("Neuromatch Academy", "Neuromatch Academy Deep Learning, W3D4"),
    summary="Say to which side a cloud of noisy evidence leans.",
    metric=ACCURACY,
    ceiling="exact",
    ceiling_source="normal integral of the summed evidence, mean over coherences",
    chance_source="any constant choice, exact",
    steps=FIXATION + STIMULUS + DECISION,
    stages={
        "test": Stage(
            trials=4000,
            chance=0.5,
            ceiling=0.895696,
            parameters={"stimulus": STIMULUS, "strength": 1.0},
        ),
        "shift": Stage(
            trials=4000,
            chance=0.5,
            ceiling=0.836911,
            parameters={"stimulus": STIMULUS // 2, "strength": 0.5},
        ),
    },
    splits={"train": 20_000, "validation": 2_000, "test": 4_000},
    licence="generated; MIT",
    citation="Britten, Shadlen, Newsome, Movshon (1992), Journal of Neuroscience 12:4745",
    tags=("decision", "evidence accumulation", "psychophysics"),
)


@register(CARD)
class PerceptualDecisionMaking(TrialTask):
    """Two channels of evidence."""

    observation_space = spaces.Box(-REACH, REACH, (3,), np.float32)
    action_space = spaces.Discrete(3)

    def generate(self, draw: Draw, *, stimulus: int, strength: float) -> Batch:
        """Draw the side and the coherence, then the noise of each sample."""
        xp = draw.xp
        first = draw.integers("side", 2) == 0
        level = draw.asarray(strength * COHERENCES)[draw.integers("coherence", len(COHERENCES))]
        coherence = xp.where(first, level, -level)
        timeline = Timeline(
            draw, {"fixation": FIXATION, "stimulus": stimulus, "decision": DECISION}
        )
        x = timeline.blank(channels=3)
        timeline.show(x, 0, 1.0, "fixation", "stimulus")
        mean = xp.stack((0.5 + coherence / 2.0, 0.5 - coherence / 2.0), axis=-1)
        timeline.show(x, slice(1, 3), mean, "stimulus")
        timeline.noise(x, slice(1, 3), NOISE, "stimulus")
        choice = xp.where(first, FIRST, SECOND)
        return timeline.batch(x, choice, "decision", {"coherence": coherence, "choice": choice})

    def trivial(self, stage: str = "test") -> Agent:
        """Choose the first."""
        self.card.stage(stage)
        return Policy(lambda x: np.full(x.shape[:2], FIRST))

    def ideal(self, stage: str = "test") -> Agent:
        """Choose the side to which the summed difference leans."""
        self.card.stage(stage)
        return Observer(_lean)

    def details(self, answer: Array, batch: Batch) -> Details:
        """Return how often the first is chosen at each signed coherence, in per cent."""
        coherence = 100.0 * np.asarray(batch.trials["coherence"])
        return {"psychometric": curve(coherence, decided(answer, batch.mask) == FIRST)}


def _lean(seen: Array) -> Array:
    evidence = np.cumsum(seen[..., 1] - seen[..., 2], axis=1, dtype=np.float64)
    return np.where(evidence >= 0.0, FIRST, SECOND)
