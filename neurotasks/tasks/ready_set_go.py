"""Measure the interval between two flashes, and say when it has passed again.

What the subject sees: a ready flash, a set flash, and a signal that is 1 from the set flash until
the end of the production window. A step is 50 ms. The true interval is one of 500, 550, ... 1200
ms, each as often. The set flash comes when the true interval has passed, give or take: its place is
normal around it with a standard deviation of a tenth of the interval, cut at three of them, in
whole steps. So the error of measuring grows with what is measured, as in all animals.

What it may do: say at every step whether the true interval has passed since the set flash: not yet
(0) or elapsed (1).

How it is scored: the fraction of right answers in the production window of 1.5 s. Who changes from
0 to 1 once, errs by (1 - accuracy) times the window.

When it ends: after 100 ms of blank, the flashes and the window; blank up to 63 steps.

Chance and ceiling: chance is the best answer of whoever does not measure: elapsed as soon as the
median of all intervals has passed since the set flash. The ideal observer computes the posterior
over the true interval from the one that it saw, and says elapsed as soon as that is more likely
than not: it produces the posterior's median, which is drawn to the middle of all intervals, as
people's answers are. Both are exact by enumeration. In stage "shift" the intervals are 1 to 1.7 s
and the window is 2.1 s.

Source: Jazayeri, Shadlen (2010), Nature Neuroscience 13:1020, whose three ranges of intervals
together span that of stage "test".
"""

from __future__ import annotations

from functools import partial

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from neurotasks.agent import Agent, Observer
from neurotasks.arrays import Array
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import ACCURACY
from neurotasks.registry import register
from neurotasks.rng import Draw
from neurotasks.task import Batch, TrialTask
from neurotasks.timeline import Timeline

WEBER = 0.1  # standard deviation of the measured interval over the true one
CUT = 3.0  # standard deviations
BLANK = 2  # steps of 50 ms
READY, SET, WINDOW = 0, 1, 2  # channels
NOT_YET, ELAPSED = 0, 1
SHORTEST, LONGEST, PRODUCTION = 10, 24, 30  # steps


def longest_shown(longest: int) -> int:
    """Return the most steps between ready and set."""
    return int(longest * (1.0 + CUT * WEBER))


CARD = TaskCard(
    name="ReadySetGo",
    version=0,
    form="trial",
    topic="working memory and timing",
    courses=("Neuromatch Academy",),
    summary="Measure the interval between two flashes, and say when it has passed again.",
    metric=ACCURACY,
    ceiling="exact",
    ceiling_source="posterior median of the true interval, by enumeration",
    chance_source="the median of all intervals, whatever was shown; exact",
    steps=BLANK + longest_shown(LONGEST) + PRODUCTION,
    stages={
        "test": Stage(
            trials=4000,
            chance=0.875556,
            ceiling=0.962141,
            parameters={"shortest": SHORTEST, "longest": LONGEST, "production": PRODUCTION},
        ),
        "shift": Stage(
            trials=4000,
            chance=0.911111,
            ceiling=0.959265,
            parameters={"shortest": 20, "longest": 34, "production": 42},
        ),
    },
    splits={"train": 20_000, "validation": 2_000, "test": 4_000},
    licence="generated; MIT",
    citation="Jazayeri, Shadlen (2010), Nature Neuroscience 13:1020",
    tags=("timing", "interval", "working memory"),
)


@register(CARD)
class ReadySetGo(TrialTask):
    """Two flashes, and the window in which the interval is produced."""

    observation_space = spaces.Box(0.0, 1.0, (3,), np.float32)
    action_space = spaces.Discrete(2)

    def generate(self, draw: Draw, *, shortest: int, longest: int, production: int) -> Batch:
        """Draw the true interval, then where the set flash falls."""
        xp = draw.xp
        index = draw.integers("interval", longest - shortest + 1)
        interval = shortest + index
        shown = draw.categorical("flash", draw.asarray(flashes(shortest, longest))[index])
        timeline = Timeline(
            draw,
            {
                "blank": BLANK, "ready": 1, "wait": shown - 1, "set": 1, "not yet": interval - 1,
                "elapsed": production - interval,
            },
            steps=BLANK + longest_shown(longest) + production,
        )  # fmt: skip
        x = timeline.blank(channels=3)
        timeline.show(x, READY, 1.0, "ready")
        timeline.show(x, SET, 1.0, "set")
        timeline.show(x, WINDOW, 1.0, "set", "not yet", "elapsed")
        y = xp.astype(timeline.during("elapsed"), xp.int64)
        mask = timeline.during("set", "not yet", "elapsed")
        return Batch(x, y, mask, {"interval": interval, "shown": shown})

    def trivial(self, stage: str = "test") -> Agent:
        """Produce the median of all intervals."""
        told = self.card.stage(stage).parameters
        median = told["shortest"] + (told["longest"] - told["shortest"]) // 2
        return Observer(partial(_produce, np.array([median])))

    def ideal(self, stage: str = "test") -> Agent:
        """Produce the median of the posterior."""
        told = self.card.stage(stage).parameters
        return Observer(partial(_produce, medians(told["shortest"], told["longest"])))


def flashes(shortest: int, longest: int) -> NDArray[np.float64]:
    """Return the probability of each interval shown, 0 ... longest_shown, given each true one."""
    true = np.arange(shortest, longest + 1)[:, None]
    error = (np.arange(longest_shown(longest) + 1) - true) / (WEBER * true)
    density = np.where(np.abs(error) <= CUT, np.exp(-0.5 * error**2), 0.0)
    return density / density.sum(axis=1, keepdims=True)


def medians(shortest: int, longest: int) -> NDArray[np.int64]:
    """Return the median of the posterior over the true interval given each one shown."""
    joint = np.cumsum(flashes(shortest, longest), axis=0)  # all true intervals are as frequent
    return shortest + np.argmax(joint >= joint[-1] / 2.0, axis=0)


def _produce(wanted: NDArray[np.int64], seen: Array) -> Array:
    """Answer elapsed as soon as the interval wanted has passed since set.

    Args:
        wanted: The interval to produce for each one shown, in steps; the last for all longer ones.
        seen: (B, T, 3).
    """
    ready, over = (np.cumsum(seen[..., channel], axis=1) > 0 for channel in (READY, SET))
    shown = np.cumsum(ready & ~over, axis=1)
    since = np.cumsum(over, axis=1) - 1
    produced = wanted[np.minimum(shown, len(wanted) - 1)]
    return np.where(over & (since >= produced), ELAPSED, NOT_YET)
