"""Answer to one cue, and withhold the answer to another, rarer one.

What the subject sees: a fixation signal (1 until the decision), and two channels, one for each cue:
one sample every 100 ms, 1 on the channel of the cue that is shown and 0 on the other, with noise of
standard deviation 1.1. Three of four cues say go.

What it may do: withhold (0) or go (1).

How it is scored: the fraction of right answers in the decision window alone: to go at a go cue, to
withhold at the other.

When it ends: after 100 ms of fixation, 500 ms of cue, a delay of 300 to 800 ms that is drawn for
each trial, and 100 ms of decision; blank up to 15 steps.

Chance and ceiling: always to go is right three of four times. The ideal observer adds up the
difference of both channels, and goes unless the no-go cue is more than three times as likely; its
accuracy is the sum of two normal integrals. In stage "shift" the cue is fainter and the delay lasts
up to 1.5 s; the share of go cues stays.

Source: Verbruggen, Logan (2008), Journal of Experimental Psychology: General 137:649 (response
inhibition under frequent go); with a delay between cue and answer as in Zhang et al. (2019),
eLife 8:e43191.
"""

from __future__ import annotations

import math
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

FREQUENT = 0.75  # share of go cues
NOISE = 1.1  # standard deviation of a sample
FIXATION, CUE, DECISION = 1, 5, 1  # steps of 100 ms
SHORTEST, LONGEST = 3, 8  # delay
WITHHOLD, GO = 0, 1
REACH = 8.0  # no sample lies further from 0

CARD = TaskCard(
    name="GoNogo",
    version=0,
    form="trial",
    topic="perceptual decisions",
    courses=("Neuromatch Academy",),
    summary="Go at the frequent cue, and withhold the answer to the rare one.",
    metric=ACCURACY,
    ceiling="exact",
    ceiling_source="normal integrals of the summed difference on both sides of the criterion",
    chance_source="always to go, exact",
    steps=FIXATION + CUE + LONGEST + DECISION,
    stages={
        "test": Stage(
            trials=4000,
            chance=FREQUENT,
            ceiling=0.937776,
            parameters={"contrast": 1.0, "longest": LONGEST},
        ),
        "shift": Stage(
            trials=4000,
            chance=FREQUENT,
            ceiling=0.898467,
            parameters={"contrast": 0.8, "longest": 15},
        ),
    },
    splits={"train": 20_000, "validation": 2_000, "test": 4_000},
    licence="generated; MIT",
    citation="Verbruggen, Logan (2008), Journal of Experimental Psychology: General 137:649",
    tags=("decision", "inhibition", "delay"),
)


@register(CARD)
class GoNogo(TrialTask):
    """A cue, a delay, and an answer or none."""

    observation_space = spaces.Box(-REACH, REACH, (3,), np.float32)
    action_space = spaces.Discrete(2)

    def generate(self, draw: Draw, *, contrast: float, longest: int) -> Batch:
        """Draw the cue and the delay, then the noise."""
        xp = draw.xp
        go = draw.uniform("cue") < FREQUENT
        delay = SHORTEST + draw.integers("delay", longest - SHORTEST + 1)
        timeline = Timeline(
            draw,
            {"fixation": FIXATION, "cue": CUE, "delay": delay, "decision": DECISION},
            steps=FIXATION + CUE + longest + DECISION,
        )
        x = timeline.blank(channels=3)
        timeline.show(x, 0, 1.0, "fixation", "cue", "delay")
        cue = xp.astype(xp.stack((go, ~go), axis=-1), xp.float32)
        timeline.show(x, slice(1, 3), contrast * cue, "cue")
        timeline.noise(x, slice(1, 3), NOISE, "cue")
        wanted = xp.where(go, GO, WITHHOLD)
        return timeline.batch(x, wanted, "decision", {"go": go, "delay": delay})

    def trivial(self, stage: str = "test") -> Agent:
        """Go always."""
        self.card.stage(stage)
        return Policy(lambda x: np.full(x.shape[:2], GO))

    def ideal(self, stage: str = "test") -> Agent:
        """Go unless the rare cue is likely enough."""
        contrast = float(self.card.stage(stage).parameters["contrast"])
        return Observer(partial(_decide, contrast))


def _decide(contrast: float, seen: Array) -> Array:
    """Go where the log-likelihood ratio and the log prior odds sum up to more than 0."""
    evidence = np.cumsum(seen[..., 1] - seen[..., 2], axis=1, dtype=np.float64)
    odds = evidence * (contrast / NOISE**2) + math.log(FREQUENT / (1.0 - FREQUENT))
    return np.where(odds >= 0.0, GO, WITHHOLD)
