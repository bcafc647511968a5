"""What neuroscientists read from behaviour: pure functions from choices to curves and fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurotasks.arrays import Array

__all__ = [
    "Chronometric",
    "Psychometric",
    "curve",
    "decided",
    "fit_chronometric",
    "fit_psychometric",
    "history_weights",
    "proportions",
    "stay_probabilities",
]

_LARGEST_LAPSE = 0.5


@dataclass(frozen=True)
class Psychometric:
    """A psychometric function: lapse / 2 + (1 - lapse) Phi((x - bias) / threshold).

    Attributes:
        bias: Where both choices are equally frequent, in the stimulus's unit.
        threshold: Standard deviation of the normal integral; the smaller the more sensitive.
        lapse: How often the subject guesses whatever it sees, from 0 to 1.
    """

    bias: float
    threshold: float
    lapse: float

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how often the subject makes the choice, (...) stimuli to probabilities."""
        from scipy.special import ndtr  # noqa: PLC0415 - slow to import, and not needed to play

        sure = ndtr((np.asarray(x) - self.bias) / self.threshold)
        return np.asarray(self.lapse / 2.0 + (1.0 - self.lapse) * sure)


@dataclass(frozen=True)
class Chronometric:
    """Mean decision time of diffusion to a bound A: residual + A / (k c) tanh(A k c).

    Attributes:
        sensitivity: k, drift for each unit of the stimulus.
        bound: A.
        residual: Time that is not spent on deciding, in steps.
    """

    sensitivity: float
    bound: float
    residual: float

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean decision time in steps, (...) stimuli of either sign."""
        drift = np.maximum(self.sensitivity * np.abs(np.asarray(x, dtype=np.float64)), 1e-9)
        return np.asarray(self.residual + self.bound / drift * np.tanh(self.bound * drift))


def proportions(
    stimulus: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return the levels of a stimulus, the mean of some values at each, and how many there were.

    Args:
        stimulus: (N,), a few different levels.
        values: (N,), for example 1 where the first choice was made, or reaction times.
    """
    levels, place, count = np.unique(stimulus, return_inverse=True, return_counts=True)
    mean = np.bincount(place, weights=np.asarray(values, dtype=np.float64)) / count
    return levels, mean, count


def curve(stimulus: Array, values: Array) -> dict[str, float]:
    """Return the mean of some values at each level of a stimulus, by the level's text."""
    levels, mean, _ = proportions(np.asarray(stimulus) + 0.0, np.asarray(values))  # no minus zero
    return {f"{level:g}": float(value) for level, value in zip(levels, mean, strict=True)}


def decided(answer: Array, mask: Array) -> Array:
    """Return the last scored answer of each trial, (B, T) and (B, T) bool to (B,)."""
    scored = np.asarray(mask)
    last = scored.shape[1] - 1 - scored[:, ::-1].argmax(axis=1)
    return np.asarray(answer)[np.arange(len(scored)), last]


def fit_psychometric(
    levels: NDArray[np.float64], chosen: NDArray[np.float64], count: NDArray[np.int64]
) -> Psychometric:
    """Fit a psychometric function by maximum likelihood (Wichmann and Hill, 2001).

    Args:
        levels: (L,), at least two signed levels of the stimulus.
        chosen: (L,), the part of the trials with the choice.
        count: (L,), how many trials.
    """
    from scipy.optimize import minimize  # noqa: PLC0415 - slow to import, and not needed to play

    width = float(np.ptp(levels))

    def surprise(told: NDArray[np.float64]) -> float:
        p = np.clip(_psychometric(told)(levels), 1e-9, 1.0 - 1e-9)
        return -float((count * (chosen * np.log(p) + (1.0 - chosen) * np.log1p(-p))).sum())

    starts = ([0.0, np.log(width * part), -3.0] for part in (0.02, 0.1, 0.5))
    bounds = [
        (float(levels.min()), float(levels.max())),
        (np.log(width * 1e-3), np.log(width * 10.0)),
        (-12.0, 12.0),
    ]
    fits = [minimize(surprise, start, bounds=bounds, method="L-BFGS-B") for start in starts]
    return _psychometric(min(fits, key=lambda fit: float(fit.fun)).x)


def _psychometric(told: NDArray[np.float64]) -> Psychometric:
    """Return the function of a bias, the threshold's logarithm and an unbounded lapse."""
    lapse = _LARGEST_LAPSE / (1.0 + np.exp(-told[2]))
    return Psychometric(float(told[0]), float(np.exp(told[1])), float(lapse))


def fit_chronometric(
    levels: NDArray[np.float64], times: NDArray[np.float64], count: NDArray[np.int64]
) -> Chronometric:
    """Fit the mean decision times of diffusion to a bound (Palmer, Huk, Shadlen, 2005).

    Args:
        levels: (L,), at least three levels of the stimulus, of either sign.
        times: (L,), the mean decision time in steps.
        count: (L,), how many trials each mean is of.
    """
    from scipy.optimize import least_squares  # noqa: PLC0415 - slow to import

    weight = np.sqrt(count / count.sum())
    shortest, longest = float(times.min()), float(times.max())

    def error(told: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(weight * (_chronometric(told)(levels) - times))

    scale = 1.0 / max(float(np.abs(levels).max()), 1e-9)
    starts = (
        [np.log(scale * k), 0.5 * np.log(max(longest - shortest, 1e-2)), shortest]
        for k in (0.3, 1.0, 3.0)
    )
    fits = [least_squares(error, start) for start in starts]
    return _chronometric(min(fits, key=lambda fit: float(fit.cost)).x)


def _chronometric(told: NDArray[np.float64]) -> Chronometric:
    return Chronometric(float(np.exp(told[0])), float(np.exp(told[1])), float(told[2]))


def history_weights(
    choices: NDArray[np.bool_],
    rewards: NDArray[np.float64],
    lags: int = 3,
    stimulus: NDArray[np.float64] | None = None,
) -> dict[str, list[float]]:
    """Return how choices depend on what was chosen and rewarded before (Lau and Glimcher, 2005).

    A logistic regression with a small ridge of the choice on earlier choices (+1 or -1) and on
    earlier rewarded choices (the same times the reward).

    Args:
        choices: (B, T), whether the first of two choices was made; rows are episodes.
        rewards: (B, T), the reward of each.
        lags: How many trials back.
        stimulus: (B, T), a signed stimulus that speaks for the first choice, if there is one.

    Returns:
        "choice" and "reward", a weight for each lag; "bias" and, with a stimulus, "stimulus".
    """
    if choices.shape[1] <= lags:
        raise ValueError(f"{choices.shape[1]} trials are too few to look {lags} trials back")
    sign = np.where(choices, 1.0, -1.0)
    paid = sign * rewards
    now = slice(lags, None)
    columns = [np.ones_like(sign[:, now])]
    for part in (sign, paid):
        columns += [part[:, lags - k : part.shape[1] - k] for k in range(1, lags + 1)]
    if stimulus is not None:
        columns.append(np.asarray(stimulus, dtype=np.float64)[:, now])
    x = np.stack([column.reshape(-1) for column in columns], axis=1)
    weights = _logistic(x, choices[:, now].reshape(-1).astype(np.float64))
    found = {
        "bias": weights[:1].tolist(),
        "choice": weights[1 : 1 + lags].tolist(),
        "reward": weights[1 + lags : 1 + 2 * lags].tolist(),
    }
    return found if stimulus is None else {**found, "stimulus": weights[-1:].tolist()}


def _logistic(
    x: NDArray[np.float64], y: NDArray[np.float64], ridge: float = 1.0, steps: int = 50
) -> NDArray[np.float64]:
    """Return the weights of a logistic regression by Newton's method, (N, K) and (N,) to (K,)."""
    weights = np.zeros(x.shape[1])
    for _ in range(steps):
        p = 1.0 / (1.0 + np.exp(-x @ weights))
        slope = x.T @ (y - p) - ridge * weights
        curvature = (x.T * (p * (1.0 - p))) @ x + ridge * np.eye(len(weights))
        change = np.linalg.solve(curvature, slope)
        weights += change
        if np.abs(change).max() < 1e-10:  # noqa: PLR2004 - far below the ridge's own effect
            break
    return weights


def stay_probabilities(
    first: NDArray[np.int64],
    common: NDArray[np.bool_],
    rewarded: NDArray[np.bool_],
    running: NDArray[np.bool_] | None = None,
) -> dict[str, float]:
    """Return how often the first choice is repeated in the two-step task (Daw et al., 2011).

    A subject without a model of the task stays after reward; one with a model stays after reward
    that came by a common transition and after its absence that came by a rare one.

    Args:
        first: (B, T), the first choice of each trial; rows are episodes.
        common: (B, T), whether the transition was the common one.
        rewarded: (B, T).
        running: (B, T), which trials were played; by default all.

    Returns:
        The probability after each combination; NaN where it never came.
    """
    there = np.ones(first.shape, dtype=np.bool_) if running is None else running
    stays, both = first[:, 1:] == first[:, :-1], there[:, 1:] & there[:, :-1]
    found = {}
    for name, which in _COMBINATIONS:
        chosen = both & (common[:, :-1] == which[0]) & (rewarded[:, :-1] == which[1])
        found[name] = float(stays[chosen].mean()) if chosen.any() else float("nan")
    return found


_COMBINATIONS: Sequence[tuple[str, tuple[bool, bool]]] = (
    ("common, rewarded", (True, True)),
    ("rare, rewarded", (False, True)),
    ("common, unrewarded", (True, False)),
    ("rare, unrewarded", (False, False)),
)
