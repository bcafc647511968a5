"""Judge the one of two noisy stimuli that the context says counts.

What the subject sees: a fixation signal (1 until the decision); the context, one-hot, until the
decision; and the momentary evidence of two modalities, motion and colour, each for two choices: one
sample of each every 100 ms, 0.5 plus or minus half the coherence, with noise of standard deviation
0.15. Side and coherence (one of three) are drawn for each modality by itself.

What it may do: fixate (0), or choose the first (1) or the second (2).

How it is scored: the fraction of right choices in the decision window alone. Right is the side of
the modality that counts; half of the time the other one leans to the other side.

When it ends: after 300 ms of fixation and context, 800 ms of both stimuli, a delay of 300 ms to
1.5 s that is drawn for each trial, and 100 ms of decision; blank up to 27 steps.

Chance and ceiling: any constant choice is right half of the time. The ideal observer adds up the
evidence of the modality that counts; the other one, being independent, tells nothing. Its accuracy
is the normal integral of the sum's mean over its standard deviation, averaged over coherences. In
stage "shift" the stimuli last half as long and the delay up to 2.5 s.

Source: Mante, Sussillo, Shenoy, Newsome (2013), Nature 503:78.
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

COHERENCES = np.array([0.05, 0.15, 0.5])
NOISE = 0.15  # standard deviation of a sample
FIXATION, STIMULUS, DECISION = 3, 8, 1  # steps of 100 ms
SHORTEST, LONGEST = 3, 15  # delay
FIXATE, FIRST, SECOND = 0, 1, 2
REACH = 2.0  # no sample lies further from 0

CARD = TaskCard(
    name="ContextDecisionMaking",
    version=0,
    form="trial",
    topic="perceptual decisions",
    courses=("Neuromatch Academy", "Neuromatch Academy Deep Learning"),
    summary="Judge the one of two noisy stimuli that the context says counts.",
    metric=ACCURACY,
    ceiling="exact",
    ceiling_source="normal integral of the summed evidence that counts, mean over coherences",
    chance_source="any constant choice, exact",
    steps=FIXATION + STIMULUS + LONGEST + DECISION,
    stages={
        "test": Stage(
            trials=4000,
            chance=0.5,
            ceiling=0.908252,
            parameters={"stimulus": STIMULUS, "longest": LONGEST},
        ),
        "shift": Stage(
            trials=4000,
            chance=0.5,
            ceiling=0.867558,
            parameters={"stimulus": STIMULUS // 2, "longest": 25},
        ),
    },
    splits={"train": 20_000, "validation": 2_000, "test": 4_000},
    licence="generated; MIT",
    citation="Mante, Sussillo, Shenoy, Newsome (2013), Nature 503:78",
    tags=("decision", "context", "evidence accumulation", "psychophysics"),
)


@register(CARD)
class ContextDecisionMaking(TrialTask):
    """Two modalities with two channels of evidence each, and the context."""

    observation_space = spaces.Box(-REACH, REACH, (7,), np.float32)
    action_space = spaces.Discrete(3)

    def generate(self, draw: Draw, *, stimulus: int, longest: int) -> Batch:
        """Draw the context, then side and coherence of both modalities, the delay and the noise."""
        xp = draw.xp
        context = draw.integers("context", 2)
        side = draw.integers("side", 2, (2,))
        level = draw.asarray(COHERENCES)[draw.integers("coherence", len(COHERENCES), (2,))]
        coherence = xp.where(side == 0, level, -level)
        delay = SHORTEST + draw.integers("delay", longest - SHORTEST + 1)
        timeline = Timeline(
            draw,
            {"fixation": FIXATION, "stimulus": stimulus, "delay": delay, "decision": DECISION},
            steps=FIXATION + stimulus + longest + DECISION,
        )
        x = timeline.blank(channels=7)
        before = ("fixation", "stimulus", "delay")
        timeline.show(x, 0, 1.0, *before)
        timeline.show(x, 1, context == 0, *before)
        timeline.show(x, 2, context == 1, *before)
        for modality, channels in enumerate((slice(3, 5), slice(5, 7))):
            lean = coherence[:, modality] / 2.0
            timeline.show(x, channels, xp.stack((0.5 + lean, 0.5 - lean), axis=-1), "stimulus")
        timeline.noise(x, slice(3, 7), NOISE, "stimulus")
        choice = FIRST + xp.where(context == 0, side[:, 0], side[:, 1])
        trials = {"context": context, "coherence": coherence, "delay": delay, "choice": choice}
        return timeline.batch(x, choice, "decision", trials)

    def trivial(self, stage: str = "test") -> Agent:
        """Choose the first."""
        self.card.stage(stage)
        return Policy(lambda x: np.full(x.shape[:2], FIRST))

    def ideal(self, stage: str = "test") -> Agent:
        """Choose the side to which the evidence of the modality that counts leans."""
        self.card.stage(stage)
        return Observer(_lean)

    def details(self, answer: Array, batch: Batch) -> Details:
        """Return how often the first is chosen at each coherence, in per cent, of both modalities.

        Of the one that counts, and of the other, which should not matter.
        """
        chosen = decided(answer, batch.mask) == FIRST
        coherence = 100.0 * np.asarray(batch.trials["coherence"])
        context = np.asarray(batch.trials["context"])
        rows = np.arange(len(context))
        return {
            "psychometric": curve(coherence[rows, context], chosen),
            "psychometric, other modality": curve(coherence[rows, 1 - context], chosen),
        }


def _lean(seen: Array) -> Array:
    context = np.cumsum(seen[..., 1] - seen[..., 2], axis=1)
    evidence = np.cumsum(seen[..., 3::2] - seen[..., 4::2], axis=1, dtype=np.float64)
    counts = np.where(context >= 0.0, evidence[..., 0], evidence[..., 1])
    return np.where(counts >= 0.0, FIRST, SECOND)
