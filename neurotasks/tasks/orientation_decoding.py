"""Decode the orientation of a grating from a population in primary visual cortex.

What the subject sees: the responses of 64 V1 neurons to one drifting grating, a vector. Each neuron
is tuned to the direction of motion with two peaks 180 degrees apart, the one at the preferred
direction higher. Variability is Poisson-like (the variance is the mean); neurons of like preference
share noise (limited-range correlations), and a part of the noise cannot be told from a turn of the
grating (information-limiting correlations), so that more neurons would not help without end.

What it may do: answer a point (cos 2a, sin 2a) of the plane for an orientation of a degrees; the
length of the vector does not matter, so that the two ends of the scale meet.

How it is scored: mean absolute circular error in degrees, from 0 to 90.

When it ends: after the one answer.

Chance and ceiling: any constant answer errs by 45 degrees on average. The ideal observer knows the
tuning and the covariance, computes the posterior over directions on a grid, and answers the
orientation with the least expected error. In stage "shift" the contrast is low.

Source: population and noise after Ecker et al. (2011), J. Neurosci. 31:14272, and Moreno-Bote et
al. (2014), Nature Neuroscience 17:1410; the exercise after Neuromatch Academy, Deep Learning day.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from neurotasks.agent import Agent, Policy
from neurotasks.arrays import Array, Namespace
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import CIRCULAR_ERROR
from neurotasks.registry import register
from neurotasks.rng import Draw
from neurotasks.task import Batch, TrialTask

NEURONS = 64
BASELINE, PEAK = 0.5, 4.0  # response to a blank screen, and added at the best direction
SHARPNESS, OPPOSITE = 3.0, 0.6  # von Mises width; height of the second peak
CORRELATION, RANGE = 0.25, 30.0  # limited-range: size, and reach in degrees of preference
JITTER = 1.5  # information-limiting: standard deviation in degrees of orientation
ZERO_DEGREES = np.array([1.0, 0.0], dtype=np.float32)

CARD = TaskCard(
    name="OrientationDecoding",
    version=0,
    form="trial",
    topic="orientation decoding",
    courses=("Neuromatch Academy", "SpikeAI tutorial"),
    summary="Read a grating's orientation from the responses of a generated V1 population.",
    metric=CIRCULAR_ERROR,
    ceiling="monte-carlo",
    ceiling_source="posterior on a grid of 1 degree, least expected error; 200,000 trials",
    chance_source="any constant answer, exact",
    steps=1,
    stages={
        "test": Stage(
            trials=4000,
            chance=45.0,
            ceiling=4.767,
            ceiling_error=0.008,
            parameters={"contrast": 1.0},
        ),
        "shift": Stage(
            trials=4000,
            chance=45.0,
            ceiling=8.663,
            ceiling_error=0.017,
            parameters={"contrast": 0.15},
        ),
    },
    splits={"train": 20_000, "validation": 4_000, "test": 4_000},
    licence="generated; MIT",
    citation="Ecker, Berens, Tolias, Bethge (2011), Journal of Neuroscience 31:14272",
    tags=("vision", "decoding", "population code"),
)


@register(CARD)
class OrientationDecoding(TrialTask):
    """The generated population."""

    observation_space = spaces.Box(-100.0, 100.0, (NEURONS,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def generate(self, draw: Draw, *, contrast: float) -> Batch:
        """Draw a direction, then the mean responses, then the three kinds of noise."""
        xp = draw.xp
        direction = draw.uniform("direction", high=360.0)
        mean, slope = tuning(direction, contrast, xp, draw.asarray(_preferred()))
        mixing = draw.asarray(np.linalg.cholesky(_correlation()))
        private = xp.astype(draw.normal("noise", (NEURONS,)), xp.float64) @ mixing.T
        turn = JITTER * xp.astype(draw.normal("jitter"), xp.float64)[:, None]
        response = mean + xp.sqrt(mean) * private + slope * turn
        angle = direction * (2.0 * np.pi / 180.0)
        unit = xp.stack((xp.cos(angle), xp.sin(angle)), axis=-1)
        return Batch(
            x=xp.astype(response, xp.float32)[:, None],
            y=xp.astype(unit, xp.float32)[:, None],
            mask=xp.ones((draw.size, 1), dtype=xp.bool, device=draw.device),
            trials={"direction": direction, "orientation": direction % 180.0},
        )

    def trivial(self, stage: str = "test") -> Agent:
        """Answer 0 degrees."""
        self.card.stage(stage)
        return Policy(lambda x: np.broadcast_to(ZERO_DEGREES, (*x.shape[:2], 2)))

    def ideal(self, stage: str = "test") -> Agent:
        """Answer the orientation with the least expected error under the posterior."""
        model = _model(float(self.card.stage(stage).parameters["contrast"]))
        return Policy(lambda x: _decode(model, np.asarray(x, dtype=np.float64)))


def tuning(
    direction: Array, contrast: float, xp: Namespace, preferred: Array
) -> tuple[Array, Array]:
    """Return the mean responses and their slopes per degree, each (B, N)."""
    gain = PEAK * contrast**2 / (contrast**2 + 0.2**2)  # Naka and Rushton's saturation
    angle = (direction[:, None] - preferred) * (np.pi / 180.0)
    first = xp.exp(SHARPNESS * (xp.cos(angle) - 1.0))
    second = OPPOSITE * xp.exp(SHARPNESS * (-xp.cos(angle) - 1.0))
    slope = gain * SHARPNESS * xp.sin(angle) * (second - first) * (np.pi / 180.0)
    return BASELINE + gain * (first + second), slope


def _preferred() -> Array:
    """Return the preferred directions in degrees, evenly spread."""
    return np.arange(NEURONS) * (360.0 / NEURONS)


def _correlation() -> Array:
    """Return the limited-range noise correlations, (N, N)."""
    difference = np.abs(_preferred()[:, None] - _preferred())
    difference = np.minimum(difference, 360.0 - difference)
    shared = CORRELATION * np.exp(-difference / RANGE)
    return shared + (1.0 - CORRELATION) * np.eye(NEURONS)


class _Model(NamedTuple):
    """What the ideal observer knows of each direction of the grid."""

    mean: NDArray[np.float64]  # (G, N)
    precision: NDArray[np.float64]  # (G, N, N)
    offset: NDArray[np.float64]  # (G,)


@lru_cache(maxsize=8)
def _model(contrast: float) -> _Model:
    mean, slope = tuning(np.arange(360.0), contrast, np, _preferred())
    scale = np.sqrt(mean)
    covariance = scale[:, :, None] * _correlation() * scale[:, None, :]
    covariance += JITTER**2 * slope[:, :, None] * slope[:, None, :]
    return _Model(mean, np.linalg.inv(covariance), -0.5 * np.linalg.slogdet(covariance)[1])


def _decode(model: _Model, x: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the answers (B, T, 2) to responses (B, T, N)."""
    r = x.reshape(-1, NEURONS)
    log_p = np.empty((len(r), len(model.mean)))
    for g, (mean, precision, offset) in enumerate(zip(*model, strict=True)):
        centred = r - mean
        log_p[:, g] = offset - 0.5 * np.einsum("bi,bi->b", centred @ precision, centred)
    p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    p = p[:, :180] + p[:, 180:]  # opposite directions share an orientation
    candidate = np.arange(0.0, 180.0, 0.25)
    distance = np.abs(candidate[:, None] - np.arange(180.0))
    expected = p @ np.minimum(distance, 180.0 - distance).T  # up to the posterior's norm
    angle = candidate[expected.argmin(axis=1)] * (2.0 * np.pi / 180.0)
    answer = np.stack((np.cos(angle), np.sin(angle)), axis=-1).astype(np.float32)
    return answer.reshape(*x.shape[:2], 2)
