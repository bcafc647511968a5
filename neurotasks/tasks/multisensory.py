"""Add up what two senses of different reliability say.

What the subject sees: a fixation signal (1 until the decision); how reliable each sense is in this
trial; and the momentary evidence of each sense about the side to which one is moved, one sample
every 100 ms. The mean sample is the reliability times the heading (positive to the right), and the
noise has a standard deviation of 1. A third of the trials is visual, a third vestibular, a third
both. A sense that is off has reliability 0, and its samples are noise. The reliability of the
vestibular sense is 1, that of vision 0.5 or 2, as with dots that move more or less together.

What it may do: fixate (0), or choose left (1) or right (2).

How it is scored: the fraction of right choices in the decision window alone.

When it ends: after 100 ms of fixation, 1 s of evidence and 100 ms of decision, 12 steps.

Chance and ceiling: any constant choice is right half of the time. The ideal observer adds up all
samples, each weighted by the reliability of its sense. Its accuracy is the normal integral of the
heading times the root of the steps and of the sum of both squared reliabilities, averaged over
conditions: the squared sensitivities of two senses add up. In stage "shift" the evidence lasts half
as long, and vision has reliabilities that were never seen, 0.25 and 1.5.

Source: Fetsch, Pouget, DeAngelis, Angelaki (2012), Nature Neuroscience 15:146; Raposo, Kaufman,
Churchland (2014), Nature Neuroscience 17:1784.
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

HEADINGS = np.array([0.2, 0.4, 0.8, 1.6])  # either side of straight ahead
FIXATION, STIMULUS, DECISION = 1, 10, 1  # steps of 100 ms
FIXATE, LEFT, RIGHT = 0, 1, 2
VISUAL, VESTIBULAR, BOTH = 0, 1, 2
REACH = 10.0  # no sample lies further from 0

CARD = TaskCard(
    name="MultiSensoryIntegration",
    version=0,
    form="trial",
    topic="perceptual decisions",
    courses=("Neuromatch Academy", "Neuromatch Academy Deep Learning"),
    summary="Add up the evidence of two senses, each weighted by its reliability.",
    metric=ACCURACY,
    ceiling="exact",
    ceiling_source="normal integral of the weighted sum, mean over headings and reliabilities",
    chance_source="any constant choice, exact",
    steps=FIXATION + STIMULUS + DECISION,
    stages={
        "test": Stage(
            trials=4000,
            chance=0.5,
            ceiling=0.916546,
            parameters={"stimulus": STIMULUS, "vision": (0.5, 2.0)},
        ),
        "shift": Stage(
            trials=4000,
            chance=0.5,
            ceiling=0.849087,
            parameters={"stimulus": STIMULUS // 2, "vision": (0.25, 1.5)},
        ),
    },
    splits={"train": 20_000, "validation": 2_000, "test": 4_000},
    licence="generated; MIT",
    citation="Fetsch, Pouget, DeAngelis, Angelaki (2012), Nature Neuroscience 15:146",
    tags=("decision", "multisensory", "cue combination", "psychophysics"),
)


@register(CARD)
class MultiSensoryIntegration(TrialTask):
    """Two senses: how reliable they are, and what they say."""

    observation_space = spaces.Box(-REACH, REACH, (5,), np.float32)
    action_space = spaces.Discrete(3)

    def generate(self, draw: Draw, *, stimulus: int, vision: tuple[float, float]) -> Batch:
        """Draw the heading, which senses are on and how reliable vision is, then the noise."""
        xp = draw.xp
        right = draw.integers("side", 2) == 1
        size = draw.asarray(HEADINGS)[draw.integers("heading", len(HEADINGS))]
        heading = xp.where(right, size, -size)
        modality = draw.integers("modality", 3)
        seen = draw.asarray(np.array(vision))[draw.integers("vision", len(vision))]
        reliability = xp.stack(
            (
                xp.where(modality == VESTIBULAR, 0.0, seen),
                xp.where(modality == VISUAL, 0.0, xp.ones_like(seen)),
            ),
            axis=-1,
        )
        timeline = Timeline(
            draw, {"fixation": FIXATION, "stimulus": stimulus, "decision": DECISION}
        )
        x = timeline.blank(channels=5)
        timeline.show(x, 0, 1.0, "fixation", "stimulus")
        timeline.show(x, slice(1, 3), reliability, "stimulus")
        timeline.show(x, slice(3, 5), reliability * heading[:, None], "stimulus")
        timeline.noise(x, slice(3, 5), 1.0, "stimulus")
        choice = xp.where(right, RIGHT, LEFT)
        trials = {"heading": heading, "modality": modality, "reliability": reliability,
                  "choice": choice}  # fmt: skip
        return timeline.batch(x, choice, "decision", trials)

    def trivial(self, stage: str = "test") -> Agent:
        """Choose left."""
        self.card.stage(stage)
        return Policy(lambda x: np.full(x.shape[:2], LEFT))

    def ideal(self, stage: str = "test") -> Agent:
        """Choose the side to which the weighted sum leans."""
        self.card.stage(stage)
        return Observer(_lean)

    def details(self, answer: Array, batch: Batch) -> Details:
        """Return how often right is chosen at each heading, for each sense and for both."""
        chosen = decided(answer, batch.mask) == RIGHT
        heading, modality = (np.asarray(batch.trials[n]) for n in ("heading", "modality"))
        return {
            f"psychometric, {name}": curve(heading[modality == sense], chosen[modality == sense])
            for sense, name in ((VISUAL, "visual"), (VESTIBULAR, "vestibular"), (BOTH, "both"))
        }


def _lean(seen: Array) -> Array:
    weighted = (seen[..., 1:3] * seen[..., 3:5]).sum(axis=-1)
    evidence = np.cumsum(weighted, axis=1, dtype=np.float64)
    return np.where(evidence >= 0.0, RIGHT, LEFT)
