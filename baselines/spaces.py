"""The search spaces: which settings of a learner a search may change, and how far.

A setting is a field of the learner, or "field.key" where the field is a mapping or an estimator.
Settings that a recipe's learner does not have are left alone, and each range holds what the recipes
themselves say, so that a search can begin there.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from neurotasks.agent import Learner
from neurotasks.card import TaskCard

__all__ = ["SPACES", "Linear", "Log", "Power", "Setting", "Whole", "change", "space_of", "told"]


class Setting(Protocol):
    """The range of one setting."""

    def draw(self, trial: Any, name: str) -> float:
        """Ask a trial of the search for a value."""
        ...

    def drawn(self, name: str, value: float) -> tuple[str, float]:
        """Return name and number by which the search knows a value."""
        ...


@dataclass(frozen=True)
class Linear:
    """A number between two ends."""

    low: float
    high: float

    def draw(self, trial: Any, name: str) -> float:
        """Ask for a number; each is as likely."""
        return float(trial.suggest_float(name, self.low, self.high))

    def drawn(self, name: str, value: float) -> tuple[str, float]:
        """Return both as they are."""
        return name, value


@dataclass(frozen=True)
class Log(Linear):
    """A number between two ends, each order of magnitude as likely."""

    def draw(self, trial: Any, name: str) -> float:
        """Ask for a number."""
        return float(trial.suggest_float(name, self.low, self.high, log=True))


@dataclass(frozen=True)
class Power(Linear):
    """A power of two between two powers of two, each as likely."""

    def draw(self, trial: Any, name: str) -> int:
        """Ask for the exponent."""
        low, high = int(math.log2(self.low)), int(math.log2(self.high))
        return 2 ** int(trial.suggest_int(f"log2 {name}", low, high))

    def drawn(self, name: str, value: float) -> tuple[str, float]:
        """Return the exponent."""
        return f"log2 {name}", int(math.log2(value))


@dataclass(frozen=True)
class Whole(Linear):
    """A whole number between two ends."""

    def draw(self, trial: Any, name: str) -> int:
        """Ask for a number; each is as likely."""
        return int(trial.suggest_int(name, self.low, self.high))


_PPO: Mapping[str, Setting] = {
    "learning_rate": Log(1e-4, 1e-2),
    "width": Power(16, 256),
    "worlds": Power(4, 256),
    "steps": Whole(16, 512),
    "batch": Power(64, 4096),
    "epochs": Whole(1, 20),
    "trace": Linear(0.7, 1.0),
    "entropy": Linear(0.0, 0.05),
}
_STREAM: Mapping[str, Setting] = {
    "learning_rate": Log(1e-3, 0.3),
    "momentum": Linear(0.0, 0.95),
    "width": Power(32, 512),
    "batch": Power(8, 128),
    "strength": Log(1e-2, 1e6),
}
"""Of learners of streams; a strategy without a penalty has no strength."""

SPACES: Mapping[str, Mapping[str, Setting]] = {
    "TorchLearner": {
        "learning_rate": Log(1e-4, 1e-1),
        "width": Power(16, 512),
        "batch": Power(8, 512),
        "weight_decay": Log(1e-6, 1.0),
        "clip": Log(0.1, 10.0),
        "warmup": Linear(0.0, 0.3),
    },
    "ScikitLearner": {
        "estimator.C": Log(1e-4, 1e2),
        "history": Whole(1, 8),
    },
    "SB3Learner": {
        "n_envs": Power(1, 128),
        "n_steps": Power(1, 4096),
        "settings.learning_rate": Log(1e-5, 1e-2),
        "settings.batch_size": Power(16, 2048),
        "settings.n_epochs": Whole(2, 32),
    },
    "PPOLearner": _PPO,
    "PPOStreamLearner": _PPO,
    "ReinforceLearner": {
        "learning_rate": Log(1e-4, 1e-1),
        "width": Power(16, 256),
        "worlds": Power(4, 128),
    },
    "DQNLearner": {
        "learning_rate": Log(1e-4, 1e-2),
        "width": Power(16, 512),
        "batch": Power(16, 512),
        "worlds": Power(1, 64),
        "updates": Whole(1, 16),
        "renewal": Whole(10, 1000),
        "exploration": Linear(0.05, 1.0),
    },
    "TabularLearner": {
        "learning_rate": Log(1e-2, 1.0),
        "worlds": Power(1, 64),
        "epsilon": Linear(0.0, 1.0),
        "exploration": Linear(0.1, 1.0),
    },
    "AvalancheLearner": _STREAM,
    "StreamLearner": _STREAM,
    "SupermaskLearner": {**_STREAM, "density": Linear(0.05, 0.95)},
}
"""The settings by the learner's class and by name. What defines an agent, such as its network or
the size of its memory, is no setting: changed, it is another agent."""


def space_of(learner: Learner, card: TaskCard) -> dict[str, Setting]:
    """Return the settings of a learner that a search may change on a task.

    Raises:
        ValueError: No space is declared for it, or nothing of it can be changed.
    """
    kind = type(learner).__name__
    if kind not in SPACES:
        raise ValueError(f"no search space is declared for {kind}; those are {', '.join(SPACES)}")
    found = {
        name: setting
        for name, setting in SPACES[kind].items()
        if isinstance(told(learner, name), int | float)  # and no text that stands for a schedule
        and not (name == "history" and card.steps == 1)
    }
    if not found:
        raise ValueError(f"{kind} has nothing to tune on {card.id}: it chooses by itself")
    return found


def told(learner: Learner, name: str) -> Any:
    """Return the value of a setting, or None where a learner does not have it."""
    head, _, key = name.partition(".")
    value = getattr(learner, head, None)
    if not key:
        return value
    return (value if isinstance(value, Mapping) else _settings(value)).get(key)


def change(learner: Learner, values: Mapping[str, Any]) -> Learner:
    """Return a copy of a learner with other values of some settings."""
    changed: Any = learner
    for name, value in values.items():
        head, _, key = name.partition(".")
        changed = dataclasses.replace(changed, **{head: _changed(changed, head, key, value)})
    return changed


def _changed(learner: Any, head: str, key: str, value: Any) -> Any:
    if not key:
        return value
    whole = getattr(learner, head)
    if isinstance(whole, Mapping):
        return {**whole, key: value}
    return type(whole)(**{**_settings(whole), key: value})


def _settings(estimator: Any) -> Mapping[str, Any]:
    """Return what an estimator of scikit-learn was told."""
    found: Mapping[str, Any] = estimator.get_params(deep=False)
    return found
