"""Decode the orientation of a grating from 23,589 recorded neurons of mouse visual cortex.

What the subject sees: the mean responses of all neurons to gratings of one direction, a vector;
there are 360 directions in steps of one degree. Responses are z-scored, as the course has them.

What it may do: answer a point (cos 2a, sin 2a) of the plane for an orientation of a degrees; the
length of the vector does not matter.

How it is scored: mean absolute circular error in degrees, from 0 to 90. Opposite directions have
one orientation, as most neurons answer to both.

When it ends: after the one answer.

Chance and ceiling: chance is the best constant answer to the test rows. What is possible at best
nobody knows; the ceiling is what the course reports of a linear decoder.

Splits: as in the course: a random permutation with seed 4, whose first 216 rows are for learning
(`train216`, here parted into 180 for training and 36 for validation), the other 144 for the test.

Source: Stringer et al. (2021), Cell 184:2767, as used by Neuromatch Academy, Deep Learning day.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from neurotasks import sources
from neurotasks.agent import Agent, Policy
from neurotasks.arrays import Array
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import CIRCULAR_ERROR
from neurotasks.registry import register
from neurotasks.rng import Draw
from neurotasks.task import Batch, TrialTask, rows, split_of

NEURONS, DIRECTIONS = 23_589, 360
SPLITS = {
    "train": slice(0, 180),
    "validation": slice(180, 216),
    "train216": slice(0, 216),
    "test": slice(216, 360),
}

CARD = TaskCard(
    name="OrientationDecodingStringer",
    version=0,
    form="trial",
    topic="orientation decoding",
    courses=("Neuromatch Academy",),
    summary="Read a grating's orientation from 23,589 recorded neurons of mouse V1.",
    metric=CIRCULAR_ERROR,
    ceiling="published",
    ceiling_source="the course's text says that a linear decoder comes within 2 to 3 degrees, and "
    "the lower end is taken; its network of 10 hidden units, which knows no circle, has a mean "
    "squared error of 775.81 square degrees of direction (stored output)",
    chance_source="the best constant answer to the 144 test rows, exact for bins of one degree",
    steps=1,
    stages={"test": Stage(trials=144, chance=6034 / 144, ceiling=2.0)},
    splits={name: part.stop - part.start for name, part in SPLITS.items()},
    data="recorded",
    source="stringer",
    licence="not stated; the course that hands out the files is CC BY 4.0",
    citation="Stringer, Michaelos, Tsyboulski, Lindo, Pachitariu (2021), Cell 184:2767",
    tags=("vision", "decoding", "population code", "recorded neurons"),
)


@register(CARD)
class OrientationDecodingStringer(TrialTask):
    """The recording of 23,589 neurons."""

    observation_space = spaces.Box(-100.0, 100.0, (NEURONS,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def generate(self, draw: Draw) -> Batch:
        """Show rows of the draw's split."""
        arrays = sources.get("stringer").load()
        chosen = course_permutation()[SPLITS[split_of(draw, self.card)]]
        row = chosen[rows(draw, len(chosen))]
        direction = arrays["direction"][row]
        table = {"row": row, "direction": direction, "orientation": direction % 180.0}
        return Batch(
            x=draw.asarray(arrays["response"][row])[:, None],
            y=draw.asarray(_point(direction))[:, None],
            mask=draw.xp.ones((draw.size, 1), dtype=draw.xp.bool, device=draw.device),
            trials={name: draw.asarray(column) for name, column in table.items()},
        )

    def trivial(self, stage: str = "test") -> Agent:
        """Answer the constant with the least error, which is one of the test's own orientations."""
        self.card.stage(stage)
        test = course_permutation()[SPLITS["test"]]
        direction = sources.get("stringer").load()["direction"][test]
        distance = np.abs(direction[:, None] - direction) % 180.0
        error = np.minimum(distance, 180.0 - distance).mean(axis=1)
        answer = _point(direction[error.argmin()])
        return Policy(lambda x: np.broadcast_to(answer, (*x.shape[:2], 2)))


def _point(direction: Array) -> NDArray[np.float32]:
    """Return the points (cos 2a, sin 2a) of directions in degrees."""
    angle = np.asarray(direction) * (2.0 * np.pi / 180.0)
    return np.stack((np.cos(angle), np.sin(angle)), axis=-1).astype(np.float32)


@lru_cache(maxsize=1)
def course_permutation() -> NDArray[np.int64]:
    """Return `torch.randperm(360)` after `torch.manual_seed(4)`, without torch.

    That is a shuffle from the front with the raw words of the Mersenne twister, whose 624 words of
    state follow from the seed by Knuth's recurrence (Matsumoto and Nishimura, 1998).
    """
    state = [4]
    for i in range(1, 624):
        state.append((1_812_433_253 * (state[-1] ^ (state[-1] >> 30)) + i) % 2**32)
    twister = np.random.MT19937()
    key = np.array(state, dtype=np.uint32)
    twister.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": 624}}
    order = np.arange(DIRECTIONS)
    for i, word in enumerate(twister.random_raw(DIRECTIONS - 1).tolist()):
        other = i + word % (DIRECTIONS - i)
        order[i], order[other] = order[other], order[i]
    return order
