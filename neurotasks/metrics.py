"""Metrics: pure functions from answers and truths to numbers.

A metric of trials takes the answers (B, T, *action), the truths (B, T, ...) and returns one value
per step (B, T); the mask then says which steps count. The raw metric of a trial is the mean over
its scored steps, and the raw metric of a stage is the mean over trials.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from neurotasks.arrays import Array, namespace

__all__ = [
    "ACCURACY",
    "ANGULAR_ERROR",
    "AVERAGE_ACCURACY",
    "AVERAGE_RETURN",
    "BITS_PER_CHARACTER",
    "BITS_PER_SYMBOL",
    "CIRCULAR_ERROR",
    "RETURN",
    "Metric",
    "correct",
    "direction_error",
    "log_softmax",
    "orientation_error",
    "per_trial",
    "surprise",
]


@dataclass(frozen=True)
class Metric:
    """What is measured, in which unit, and which way is better.

    Attributes:
        name: The field's name of the quantity.
        unit: Its unit.
        better: Whether the higher or the lower value is the better one.
        values: From answers (B, T, *action) and truths (B, T, ...) to values (B, T); None where the
            metric is the return of an episode.
        loss: What a learner may minimise instead: "cross-entropy" where it can hold one logit per
            class, "squared error" where answer and truth have one shape.
    """

    name: str
    unit: str
    better: Literal["higher", "lower"]
    values: Callable[[Array, Array], Array] | None = None
    loss: Literal["cross-entropy", "squared error"] | None = None

    @property
    def sign(self) -> float:
        """Plus one where higher is better, minus one where lower is."""
        return 1.0 if self.better == "higher" else -1.0


def correct(answer: Array, truth: Array) -> Array:
    """Return 1 where the answered class is the true one, else 0; (B, T) float64."""
    xp = namespace(answer)
    return xp.astype(answer == truth, xp.float64)


def orientation_error(answer: Array, truth: Array) -> Array:
    """Return the absolute circular error of an orientation in degrees, from 0 to 90.

    Args:
        answer: (B, T, 2), a point in the direction (cos 2 theta, sin 2 theta) of the plane; its
            length does not matter.
        truth: (B, T, 2), the unit vector of the true orientation.
    """
    xp = namespace(answer)
    answer, truth = xp.astype(answer, xp.float64), xp.astype(truth, xp.float64)
    dot = answer[..., 0] * truth[..., 0] + answer[..., 1] * truth[..., 1]
    cross = answer[..., 0] * truth[..., 1] - answer[..., 1] * truth[..., 0]
    return xp.abs(xp.atan2(cross, dot)) * (90.0 / math.pi)


def direction_error(answer: Array, truth: Array) -> Array:
    """Return the absolute angular error of a direction in degrees, from 0 to 180.

    Args:
        answer: (B, T, 2), a point in the direction (cos theta, sin theta) of the plane; its length
            does not matter.
        truth: (B, T, 2), the unit vector of the true direction.
    """
    return 2.0 * orientation_error(answer, truth)  # which halves the angle between two vectors


def log_softmax(logits: Array) -> Array:
    """Return the logarithm of the softmax along the last axis."""
    xp = namespace(logits)
    shifted = logits - xp.max(logits, axis=-1, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))


def surprise(answer: Array, truth: Array) -> Array:
    """Return the surprise of the true symbol in bits under the softmax of the answer.

    Args:
        answer: (B, T, S) unnormalised log-probabilities (natural logarithm).
        truth: (B, T) the symbols that came, integers.
    """
    xp = namespace(answer)
    log_p = log_softmax(xp.astype(answer, xp.float64))
    taken = xp.take_along_axis(log_p, xp.astype(truth, xp.int64)[..., None], axis=-1)
    return -taken[..., 0] / math.log(2.0)


def per_trial(values: Array, mask: Array) -> Array:
    """Return the mean over each trial's scored steps, (B, T) and (B, T) bool to (B,)."""
    xp = namespace(values)
    weight = xp.astype(mask, xp.float64)
    return xp.sum(values * weight, axis=1) / xp.sum(weight, axis=1)


ACCURACY = Metric("accuracy", "fraction correct", "higher", correct, "cross-entropy")
ANGULAR_ERROR = Metric(
    "mean absolute angular error", "degrees", "lower", direction_error, "squared error"
)
AVERAGE_ACCURACY = Metric(
    "average accuracy after the last experience",
    "fraction correct",
    "higher",
    correct,
    "cross-entropy",
)
AVERAGE_RETURN = Metric("average return after the last experience", "reward per episode", "higher")
BITS_PER_CHARACTER = Metric(
    "cross-entropy", "bits per character", "lower", surprise, "cross-entropy"
)
BITS_PER_SYMBOL = Metric("cross-entropy", "bits per symbol", "lower", surprise, "cross-entropy")
CIRCULAR_ERROR = Metric(
    "mean absolute circular error", "degrees", "lower", orientation_error, "squared error"
)
RETURN = Metric("mean return", "reward per episode", "higher")
