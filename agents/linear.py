"""Estimators of scikit-learn as learners: ridge, logistic regression, and any other.

An estimator sees each scored step as one row: the encoded observation of that step and of the
`history - 1` steps before it, zeros before the first. A class is encoded as a one-hot vector, an
integer is divided by its highest value, floats are standardised over the training trials.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from neurotasks.agent import Budget, Log
from neurotasks.arrays import Array
from neurotasks.errors import MissingExtra
from neurotasks.task import Batch, TrialTask, split_size, split_stage

try:
    from sklearn.base import clone, is_classifier
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, RidgeCV
except ImportError as error:
    raise MissingExtra("scikit-learn", "digits") from error

__all__ = ["ScikitAgent", "ScikitLearner", "logistic", "ridge"]

_SMALL = 1e-6  # below this spread a feature counts as constant
_ROWS_AT_ONCE = 16_384


@dataclass(frozen=True)
class _Rows:
    """Makes rows of features from observations.

    Attributes:
        space: Space of one observation.
        history: How many steps a row shows.
        mean: What is subtracted from floats, (F,).
        scale: What floats are divided by, (F,).
    """

    space: gym.Space[Any]
    history: int
    mean: Any = 0.0
    scale: Any = 1.0

    @property
    def floats(self) -> bool:
        """Whether the observations are floats."""
        return self.space.dtype is not None and self.space.dtype.kind == "f"

    def encode(self, observation: Array) -> NDArray[np.float32]:
        """Return features (B, T, F) of observations (B, T, *observation)."""
        x = np.asarray(observation)
        if isinstance(self.space, gym.spaces.Discrete):
            return np.eye(int(self.space.n), dtype=np.float32)[x - int(self.space.start)]
        if not isinstance(self.space, gym.spaces.Box):
            raise TypeError(f"an estimator sees a Discrete or a Box space, not {self.space}")
        flat = x.reshape(*x.shape[:2], -1).astype(np.float32)
        if not self.floats:
            highest: NDArray[np.float32] = np.maximum(self.space.high, 1).astype(np.float32)
            return flat / highest.reshape(-1)
        return ((flat - self.mean) / self.scale).astype(np.float32)

    def standardised(self, observation: Array) -> _Rows:
        """Return the same with mean and scale of training trials, if they are floats."""
        if not self.floats:
            return self
        flat = np.asarray(observation, dtype=np.float64)
        flat = flat.reshape(flat.shape[0] * flat.shape[1], -1)
        spread = flat.std(axis=0)
        return _Rows(
            self.space, self.history, flat.mean(axis=0), np.where(spread > _SMALL, spread, 1.0)
        )

    def look_back(
        self, features: NDArray[np.float32], past: Array | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return rows (B, T, history * F), and the past (B, history - 1, F) for the next block."""
        back = self.history - 1
        if past is None:
            past = np.zeros((len(features), back, features.shape[2]), dtype=np.float32)
        line = np.concatenate((past, features), axis=1)
        steps = features.shape[1]
        views = [line[:, back - lag : back - lag + steps] for lag in range(self.history)]
        return np.concatenate(views, axis=2), line[:, line.shape[1] - back :]


@dataclass(frozen=True)
class ScikitAgent:
    """A fitted estimator that answers a task.

    Attributes:
        estimator: The estimator.
        rows: How it sees the observations.
        space: The action space.
        floor: Log-probability of a class that the training rows do not hold; None where the
            answer is no distribution.
    """

    estimator: Any
    rows: _Rows
    space: gym.Space[Any]
    floor: float | None

    @property
    def parameters(self) -> int:
        """The number of weights of a linear model, 0 of another."""
        return sum(int(np.size(getattr(self.estimator, k, ()))) for k in ("coef_", "intercept_"))

    def act(self, observation: Array, state: Array | None) -> tuple[Array, Array]:
        """Answer a block of steps; the state is the past (B, history - 1, F)."""
        B, T = observation.shape[:2]
        at_once = max(_ROWS_AT_ONCE // max(T, 1), 1)
        answers, pasts = [], []
        for start in range(0, max(B, 1), at_once):
            part = slice(start, start + at_once)
            features = self.rows.encode(observation[part])
            rows, past = self.rows.look_back(features, None if state is None else state[part])
            answer = self._answer(rows.reshape(-1, rows.shape[2]))
            answers.append(answer.reshape(*rows.shape[:2], *(self.space.shape or ())))
            pasts.append(past)
        return np.concatenate(answers), np.concatenate(pasts)

    def _answer(self, rows: NDArray[np.float32]) -> Array:
        if isinstance(self.space, gym.spaces.Discrete):
            return self.estimator.predict(rows).astype(np.int64)
        if self.floor is None:
            return self.estimator.predict(rows).astype(np.float32)
        log_p = np.full((len(rows), *(self.space.shape or ())), self.floor, dtype=np.float32)
        log_p[:, self.estimator.classes_] = self.estimator.predict_log_proba(rows)
        return np.maximum(log_p, self.floor)


@dataclass(frozen=True)
class ScikitLearner:
    """Fits a copy of an estimator for each seed.

    Attributes:
        estimator: Any unfitted estimator: a classifier where the task asks for a class or for a
            distribution, a regressor where it asks for a point.
        history: How many steps a row shows.
        rows: At most this many rows are fitted.
        split: The split to fit.
    """

    estimator: Any
    history: int = 1
    rows: int = 60_000
    split: str = "train"

    def learn(
        self, task: TrialTask, *, seeds: Sequence[int], budget: Budget, log: Log
    ) -> list[ScikitAgent]:
        """Fit the first trials of each seed, as many as the budget and the split hold.

        Raises:
            TypeError: The task is no trial task, or the estimator cannot answer it.
        """
        if not isinstance(task, TrialTask):
            raise TypeError(f"{task.card.id} is no trial task; ScikitLearner learns trial tasks")
        needs = task.card.metric.loss == "cross-entropy"
        if is_classifier(self.estimator) != needs:
            kind = "classifier" if needs else "regressor"
            raise TypeError(f"{task.card.id} needs a {kind}, which {self.estimator!r} is not")
        return [self._fit(task, seed, budget.samples, log) for seed in seeds]

    def _fit(self, task: TrialTask, seed: int, samples: int, log: Log) -> ScikitAgent:
        batch = self._trials(task, seed, samples)
        rows = _Rows(task.observation_space, self.history).standardised(batch.x)
        looks, _ = rows.look_back(rows.encode(batch.x), None)
        mask = np.asarray(batch.mask)
        x, y = looks[mask][: self.rows], np.asarray(batch.y)[mask][: self.rows]
        estimator = clone(self.estimator)
        if "random_state" in estimator.get_params():
            estimator.set_params(random_state=seed % 2**32)
        with warnings.catch_warnings():
            # `max_iter` is how an estimator's budget is set: to reach it is no fault.
            warnings.simplefilter("ignore", ConvergenceWarning)
            estimator.fit(x, y)
        log(len(batch), rows=float(len(x)))
        discrete = isinstance(task.action_space, gym.spaces.Discrete)
        predictive = is_classifier(estimator) and not discrete
        floor = -float(np.log(2.0 * len(x))) if predictive else None
        return ScikitAgent(estimator, rows, task.action_space, floor)

    def _trials(self, task: TrialTask, seed: int, samples: int) -> Batch:
        """Return as many training trials as the budget allows and the rows need."""
        size = min(samples, split_size(task.card, self.split), self.rows)
        return task.sample(size, seed, split_stage(self.split), split=self.split)


def ridge(history: int = 1) -> ScikitLearner:
    """Return ridge regression, its strength chosen by leave-one-out on the training rows.

    On a task that answers an orientation by a point of the unit circle this is circular ridge:
    sine and cosine are regressed, and the answer is their direction.
    """
    return ScikitLearner(RidgeCV(alphas=np.logspace(-2.0, 5.0, 15)), history)


def logistic(
    history: int = 1, strength: float = 1.0, steps: int = 200, split: str = "train"
) -> ScikitLearner:
    """Return multinomial logistic regression.

    Args:
        history: How many steps a row shows.
        strength: Weight of the penalty on the squares of the coefficients.
        steps: Most steps of the optimiser.
        split: The split to fit.
    """
    estimator = LogisticRegression(C=1.0 / strength, max_iter=steps)
    return ScikitLearner(estimator, history, split=split)
