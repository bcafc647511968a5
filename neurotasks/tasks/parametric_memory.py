"""Keep an angle in mind, and report it after a delay.

What the subject sees: a fixation signal (1 until the decision), and 16 units on a ring that are
tuned to the angle of a cue: one sample of each every 100 ms, a von Mises bump of height 1, with
noise of standard deviation 0.7. The cue lasts 500 ms and lies anywhere on the circle. A delay of
1 to 3 s, drawn for each trial, follows.

What it may do: answer a point (cos a, sin a) of the plane for an angle of a; the length of the
vector does not matter.

How it is scored: mean absolute angular error in degrees, from 0 to 180, in the decision window.

When it ends: after 100 ms of fixation, 500 ms of cue, the delay, and 100 ms of decision; blank up
to 37 steps.

Chance and ceiling: any constant answer errs by 90 degrees on average. The ideal observer adds up
the samples of each unit, computes the posterior over angles on a grid of 1 degree, and answers the
angle with the least expected error; by Monte Carlo. Its memory is perfect. In stage "shift" the cue
is fainter and the delay lasts 3 to 6 s.

Source: oculomotor delayed response after Funahashi, Bruce, Goldman-Rakic (1989), Journal of
Neurophysiology 61:331; errors of memory after Wimmer, Nykamp, Constantinidis, Compte (2014), Nature
Neuroscience 17:431.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from neurotasks.agent import Agent, Observer, Policy
from neurotasks.arrays import Array
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import ANGULAR_ERROR
from neurotasks.registry import register
from neurotasks.rng import Draw
from neurotasks.task import Batch, TrialTask
from neurotasks.timeline import Timeline

UNITS = 16
SHARPNESS = 2.0  # von Mises width of the tuning
NOISE = 0.7  # standard deviation of a sample
FIXATION, CUE, DECISION = 1, 5, 1  # steps of 100 ms
REACH = 6.0  # no sample lies further from 0
ZERO_DEGREES = np.array([1.0, 0.0], dtype=np.float32)

CARD = TaskCard(
    name="ParametricWorkingMemory",
    version=0,
    form="trial",
    topic="working memory and timing",
    courses=("Neuromatch Academy", "Neuromatch Academy Deep Learning"),
    summary="Keep the angle of a noisy cue in mind, and report it after a delay.",
    metric=ANGULAR_ERROR,
    ceiling="monte-carlo",
    ceiling_source="posterior on a grid of 1 degree, least expected error; 400,000 trials",
    chance_source="any constant answer, exact",
    steps=FIXATION + CUE + 30 + DECISION,
    stages={
        "test": Stage(
            trials=4000,
            chance=90.0,
            ceiling=8.851,
            ceiling_error=0.012,
            parameters={"contrast": 1.0, "shortest": 10, "longest": 30},
        ),
        "shift": Stage(
            trials=4000,
            chance=90.0,
            ceiling=13.784,
            ceiling_error=0.022,
            parameters={"contrast": 0.7, "shortest": 30, "longest": 60},
        ),
    },
    splits={"train": 20_000, "validation": 2_000, "test": 4_000},
    licence="generated; MIT",
    citation="Funahashi, Bruce, Goldman-Rakic (1989), Journal of Neurophysiology 61:331",
    tags=("working memory", "population code", "delay"),
)


@register(CARD)
class ParametricWorkingMemory(TrialTask):
    """A cue on a ring, and the delay after it."""

    observation_space = spaces.Box(-REACH, REACH, (1 + UNITS,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def generate(self, draw: Draw, *, contrast: float, shortest: int, longest: int) -> Batch:
        """Draw the angle and the delay, then the noise."""
        xp = draw.xp
        angle = draw.uniform("angle", high=360.0)
        radians = angle * (np.pi / 180.0)
        bump = xp.exp(SHARPNESS * (xp.cos(radians[:, None] - draw.asarray(_preferred())) - 1.0))
        delay = shortest + draw.integers("delay", longest - shortest + 1)
        timeline = Timeline(
            draw,
            {"fixation": FIXATION, "cue": CUE, "delay": delay, "decision": DECISION},
            steps=FIXATION + CUE + longest + DECISION,
        )
        x = timeline.blank(channels=1 + UNITS)
        timeline.show(x, 0, 1.0, "fixation", "cue", "delay")
        timeline.show(x, slice(1, 1 + UNITS), contrast * bump, "cue")
        timeline.noise(x, slice(1, 1 + UNITS), NOISE, "cue")
        point = xp.stack((xp.cos(radians), xp.sin(radians)), axis=-1)
        wanted = xp.astype(point, xp.float32)
        return timeline.batch(x, wanted, "decision", {"angle": angle, "delay": delay})

    def trivial(self, stage: str = "test") -> Agent:
        """Answer 0 degrees."""
        self.card.stage(stage)
        return Policy(lambda x: np.broadcast_to(ZERO_DEGREES, (*x.shape[:2], 2)))

    def ideal(self, stage: str = "test") -> Agent:
        """Answer the angle with the least expected error when the fixation signal goes out."""
        return Observer(partial(_report, float(self.card.stage(stage).parameters["contrast"])))


def _preferred() -> Array:
    """Return the preferred angles in radians, evenly spread."""
    return np.arange(UNITS) * (2.0 * np.pi / UNITS)


def _report(contrast: float, seen: Array) -> Array:
    total = np.cumsum(seen[..., 1:], axis=1, dtype=np.float64)
    out = np.diff(seen[..., 0], axis=1, prepend=0.0) < 0.0  # the decision begins
    answer = np.zeros((*seen.shape[:2], 2), dtype=np.float32)
    answer[out] = _decode(contrast, total[out])
    return answer


def _decode(contrast: float, total: NDArray[np.float64]) -> Array:
    """Return the points (B, 2) of the angles with the least expected error.

    The log-likelihood of an angle is the product of bump and summed samples, up to what is the same
    for all angles: on a ring that is tiled so densely, the bump's sum of squares is, too.
    """
    grid = np.arange(360.0)
    radians = np.deg2rad(grid)
    bump = np.exp(SHARPNESS * (np.cos(radians[:, None] - _preferred()) - 1.0))
    log_p = total @ (contrast / NOISE**2 * bump.T)
    p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    distance = np.abs(grid[:, None] - grid)
    expected = p @ np.minimum(distance, 360.0 - distance)  # up to the posterior's norm
    best = radians[expected.argmin(axis=1)]
    return np.stack((np.cos(best), np.sin(best)), axis=-1)
