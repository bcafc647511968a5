"""What a recipe is: which agent runs on which tasks, how it is made, and for how long."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Any

from neurotasks.agent import Learner
from neurotasks.card import TaskCard

__all__ = ["BUDGETS", "LOADING", "Factory", "Recipe", "samples"]

BUDGETS = ("smoke", "quick", "full")

LOADING = {"scikit-learn": 1.0, "torch": 3.0, "stable-baselines3": 0.7, "avalanche": 5.0}
"""Seconds to load a library and to call it for the first time, about: a plan counts with them."""


@dataclass(frozen=True)
class Factory:
    """Says how a learner is made, and makes it; its library is loaded only then.

    Attributes:
        module: The module that holds it.
        name: The class, or the function that returns it.
        settings: What it is told.
        placed: Whether it takes a device.
        together: Whether it trains all seeds as one program; else one after the other.
        libraries: The slow ones among those that it loads, of `LOADING`.
    """

    module: str
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    placed: bool = False
    together: bool = False
    libraries: tuple[str, ...] = ()

    def __call__(self, device: str) -> Learner:
        """Return the learner for a device: "auto", "cpu" or "cuda"."""
        make = getattr(import_module(self.module), self.name)
        learner: Learner = make(**self.settings, **({"device": device} if self.placed else {}))
        return learner

    def loading(self, loaded: Collection[str] = ()) -> float:
        """Return the seconds that its libraries take to load, those that are loaded left out."""
        return sum(LOADING[library] for library in self.libraries if library not in loaded)


@dataclass(frozen=True)
class Recipe:
    """One agent on a group of tasks.

    Attributes:
        name: Name of the agent on the board.
        tasks: Globs of the labels of the tasks.
        learner: From the device's name to the learner.
        samples: Training trials (environment steps) by budget.
    """

    name: str
    tasks: tuple[str, ...]
    learner: Factory
    samples: Mapping[str, int]

    def fits(self, card: TaskCard) -> bool:
        """Say whether this agent runs on a task."""
        if self.name == "ideal" and (card.data != "generated" or card.ceiling == "published"):
            return False
        return any(fnmatchcase(card.label, pattern) for pattern in self.tasks)

    @property
    def learns(self) -> bool:
        """Whether it learns at all."""
        return any(self.samples.values())


def samples(smoke: int, quick: int, full: int) -> dict[str, int]:
    """Return the samples of each budget."""
    return dict(zip(BUDGETS, (smoke, quick, full), strict=True))
