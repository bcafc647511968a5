"""Decode the orientation of a grating from recorded neurons of mouse visual cortex.

What the subject sees: the responses of real neurons to one drifting grating, a vector. There are
seven sessions of 18 to 74 neurons; each session owns a block of the 307 numbers, and those of the
other sessions' neurons are 0, so that one linear model can hold a decoder for each session. A
response is the mean calcium trace from 0.25 s after onset, when the slow indicator has begun to
follow, to 2 s, z-scored for each neuron over the training trials.

What it may do: answer a point (cos 2a, sin 2a) of the plane for an orientation of a degrees; the
length of the vector does not matter.

How it is scored: mean absolute circular error in degrees, from 0 to 90. Beside it stands
the accuracy in each session, where chance is 1/4.

When it ends: after the one answer.

Chance and ceiling: any constant answer errs by 45 degrees, as the four orientations are equally
frequent. What is possible at best nobody knows; the ceiling is a decoder of reference, and a better
one scores above 1. In stage "shift" the response is averaged up to 0.75 s only, and the reference
was trained on such responses.

Splits: a session has 16 rounds of the eight directions. Rounds 2, 6, 10 and 14 (from 0) are the
test and rounds 4 and 12 for validation, so that slow drifts touch all splits alike.

Source: Park et al. (2024), repository surlab/Park_et_al. The study edits a gene of astrocytes; the
files do not say in which of these animals. One session (2) cannot be decoded.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

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
from neurotasks.task import Batch, Details, TrialTask, rows, split_of

SESSIONS, NEURONS, DIRECTIONS = 7, 307, 8
ROUNDS = {"validation": (4, 12), "test": (2, 6, 10, 14)}
ONSET, OFFSET = 0.25, 2.0  # window of the response in s
DETAIL = "accuracy of four orientations (chance 0.25)"
ZERO_DEGREES = np.array([1.0, 0.0], dtype=np.float32)

CARD = TaskCard(
    name="OrientationDecodingMouse",
    version=0,
    form="trial",
    topic="orientation decoding",
    courses=("Neuromatch Academy", "SpikeAI tutorial"),
    summary="Read a grating's orientation from recorded neurons of mouse V1, seven sessions.",
    metric=CIRCULAR_ERROR,
    ceiling="reference",
    ceiling_source="shrinkage discriminant analysis within each session, answering the orientation "
    "of least expected error; over all 896 trials, each held out once in eight folds of rounds",
    chance_source="any constant answer, exact: the four orientations are equally frequent",
    steps=1,
    stages={
        "test": Stage(
            trials=224,
            chance=45.0,
            ceiling=22.70,
            ceiling_error=1.05,
            parameters={"until": OFFSET},
        ),
        "shift": Stage(
            trials=224,
            chance=45.0,
            ceiling=31.54,
            ceiling_error=1.11,
            parameters={"until": 0.75},
        ),
    },
    splits={"train": 560, "validation": 112, "test": 224},
    data="recorded",
    source="mouse_gratings",
    licence="MIT",
    citation="Park et al. (2024), repository surlab/Park_et_al, commit bdff7ce60297",
    tags=("vision", "decoding", "population code", "recorded neurons"),
)


@register(CARD)
class OrientationDecodingMouse(TrialTask):
    """Seven sessions of two-photon recordings."""

    observation_space = spaces.Box(-100.0, 100.0, (NEURONS,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def generate(self, draw: Draw, *, until: float) -> Batch:
        """Show trials of the draw's split; the table says of which session each is."""
        recording = _recording(split_of(draw, self.card), until)
        row = rows(draw, len(recording.direction))
        direction = recording.direction[row]
        angle = direction * (2.0 * np.pi / 180.0)
        unit = np.stack((np.cos(angle), np.sin(angle)), axis=-1).astype(np.float32)
        table = {"row": row, "session": recording.session[row], "direction": direction}
        table["orientation"] = direction % 180.0
        return Batch(
            x=draw.asarray(recording.response[row])[:, None],
            y=draw.asarray(unit)[:, None],
            mask=draw.xp.ones((draw.size, 1), dtype=draw.xp.bool, device=draw.device),
            trials={name: draw.asarray(column) for name, column in table.items()},
        )

    def trivial(self, stage: str = "test") -> Agent:
        """Answer 0 degrees."""
        self.card.stage(stage)
        return Policy(lambda x: np.broadcast_to(ZERO_DEGREES, (*x.shape[:2], 2)))

    def details(self, answer: Array, batch: Batch) -> Details:
        """Return the accuracy in each session, four orientations, chance 1/4."""
        found = enumerate(session_accuracy(answer, batch))
        return {DETAIL: {f"session {number}": float(accuracy) for number, accuracy in found}}


def session_accuracy(answer: Array, batch: Batch) -> NDArray[np.float64]:
    """Return the fraction of trials of each session whose nearest orientation is the true one.

    Args:
        answer: (B, 1, 2), as the task takes it.
        batch: The trials that were answered.

    Returns:
        (7,); chance is 1/4, as each session shows the four orientations equally often.
    """
    angle = np.arange(4) * (np.pi / 2.0)
    nearest = (np.asarray(answer)[:, 0] @ np.stack((np.cos(angle), np.sin(angle)))).argmax(axis=1)
    correct = nearest * 45 == np.asarray(batch.trials["direction"]) % 180
    session = np.asarray(batch.trials["session"])
    return np.bincount(session, correct, SESSIONS) / np.bincount(session, minlength=SESSIONS)


class _Recording(NamedTuple):
    """The N trials of a split."""

    response: NDArray[np.float32]  # (N, 307)
    direction: NDArray[np.float64]  # (N,) degrees
    session: NDArray[np.int64]  # (N,)


@lru_cache(maxsize=8)
def _recording(split: str, until: float) -> _Recording:
    arrays = sources.get("mouse_gratings").load()
    time, response = arrays["time"], arrays["response"]
    number = np.arange(len(response)) // DIRECTIONS  # of the round
    held_out = np.isin(number, ROUNDS["validation"] + ROUNDS["test"])
    chosen = ~held_out if split == "train" else np.isin(number, ROUNDS[split])
    whole = _mean(response, time, OFFSET)[~held_out]
    z = (_mean(response, time, until)[chosen] - whole.mean(axis=0)) / whole.std(axis=0)
    owner = np.repeat(np.arange(SESSIONS), arrays["neurons"])
    own = owner == np.arange(SESSIONS)[:, None, None]
    x = np.where(own, z, 0.0).astype(np.float32).reshape(-1, NEURONS)
    direction = arrays["direction"][:, chosen].reshape(-1).astype(np.float64)
    return _Recording(x, direction, np.repeat(np.arange(SESSIONS), len(z)))


def _mean(response: Array, time: Array, until: float) -> NDArray[np.float64]:
    """Return the mean responses (trials, neurons) from `ONSET` to `until` seconds after onset."""
    window = (time >= ONSET) & (time <= until)
    return response[:, :, window].mean(axis=-1, dtype=np.float64)
