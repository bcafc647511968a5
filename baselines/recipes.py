"""The recipes: who runs on what, with which settings, for how long.

An agent of one name may have several recipes; the first that fits a task is taken.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Any

from neurotasks.agent import Learner
from neurotasks.card import TaskCard

__all__ = ["BUDGETS", "RECIPES", "Factory", "Recipe", "recipe_of"]

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
        if self.name == "ideal" and card.data != "generated":
            return False
        return any(fnmatchcase(card.label, pattern) for pattern in self.tasks)

    @property
    def learns(self) -> bool:
        """Whether it learns at all."""
        return any(self.samples.values())


def recipe_of(name: str, card: TaskCard) -> Recipe:
    """Return the recipe of an agent on a task.

    Raises:
        ValueError: The agent does not run on it.
    """
    for recipe in RECIPES:
        if recipe.name == name and recipe.fits(card):
            return recipe
    raise ValueError(f"the agent {name!r} does not run on {card.label}; see the command `list`")


def _reference(name: str) -> Factory:
    return Factory("agents.reference", name)


def _linear(name: str, **settings: Any) -> Factory:
    return Factory("agents.linear", name, settings, libraries=("scikit-learn",))


def _torch(network: str, **settings: Any) -> Factory:
    return Factory(
        "agents.training",
        "TorchLearner",
        {"network": network, **settings},
        placed=True,
        together=True,
        libraries=("torch",),
    )


def _sb3(algorithm: str, **settings: Any) -> Factory:
    # Small policies: the processor is fastest, so no device is chosen.
    told = {"algorithm": algorithm, **settings}
    return Factory("agents.sb3", "SB3Learner", told, libraries=("torch", "stable-baselines3"))


def _avalanche(strategy: str, **settings: Any) -> Factory:
    told = {"strategy": strategy, **settings}
    libraries = ("torch", "avalanche")
    return Factory("agents.continual", "AvalancheLearner", told, placed=True, libraries=libraries)


def _samples(smoke: int, quick: int, full: int) -> dict[str, int]:
    return dict(zip(BUDGETS, (smoke, quick, full), strict=True))


_NOTHING = _samples(0, 0, 0)
_MOUSE = ("OrientationDecodingMouse-v0",)
_STRINGER = ("OrientationDecodingStringer-v0",)
_DECODING = ("OrientationDecoding*",)
_DIGITS = ("ImageClassificationDigits-v0",)
_FASHION = ("ImageClassificationFashionMNIST-v0",)
_IMAGES = ("ImageClassification*",)
_SYMBOLS = ("SequencePrediction-v0",)
_TEXT = ("SequencePredictionShakespeare-v0",)
_CONTROL = ("CartPole-v0", "EvidenceAccumulation-v0")
_STREAMS = ("Continual*",)

_CNN = {"width": 64, "weight_decay": 0.01}
_GRU = {"learning_rate": 1e-2, "batch": 16}
_A2C = {"n_envs": 8, "n_steps": 16, "settings": {"learning_rate": 2e-3}}

RECIPES: tuple[Recipe, ...] = (
    Recipe("trivial", ("*",), _reference("Trivial"), _NOTHING),
    Recipe("ideal", ("*",), _reference("Ideal"), _NOTHING),
    # orientation decoding
    Recipe("ridge", _DECODING, _linear("ridge"), _samples(2_000, 20_000, 20_000)),
    Recipe(
        "mlp",
        _MOUSE,
        _torch("mlp", learning_rate=1e-3, weight_decay=0.1, batch=32),
        _samples(2_000, 10_000, 10_000),
    ),
    Recipe(
        "mlp",
        _STRINGER,
        _torch("mlp", learning_rate=1e-3, weight_decay=0.1, batch=32),
        _samples(500, 5_000, 10_000),
    ),
    Recipe("mlp", _DECODING, _torch("mlp"), _samples(4_000, 50_000, 500_000)),
    # image classification
    Recipe("logistic", _DIGITS, _linear("logistic"), _samples(1_085, 1_085, 1_085)),
    Recipe(
        "mlp",
        _DIGITS,
        _torch("mlp", width=64, batch=32, learning_rate=1e-2),
        _samples(2_000, 12_000, 40_000),
    ),
    Recipe("cnn", _DIGITS, _torch("cnn", batch=32), _samples(2_000, 12_000, 40_000)),
    Recipe(
        "logistic",
        _FASHION,
        _linear("logistic", split="train15k"),
        _samples(1_000, 5_000, 15_000),
    ),
    Recipe(
        "cnn", _FASHION, _torch("cnn", split="train15k", **_CNN), _samples(2_000, 15_000, 150_000)
    ),
    Recipe("logistic", _IMAGES, _linear("logistic"), _samples(1_000, 5_000, 20_000)),
    Recipe("cnn", _IMAGES, _torch("cnn", **_CNN), _samples(2_000, 20_000, 275_000)),
    # sequence prediction
    Recipe("logistic", _SYMBOLS, _linear("logistic", history=3), _samples(200, 1_000, 1_000)),
    Recipe(
        "gru", _SYMBOLS, _torch("gru", width=64, checks=5, **_GRU), _samples(1_000, 6_000, 60_000)
    ),
    Recipe("logistic", _TEXT, _linear("logistic", history=3, steps=60), _samples(50, 500, 2_000)),
    Recipe(
        "gru",
        _TEXT,
        _torch("gru", width=256, weight_decay=0.01, checks=6, **_GRU),
        _samples(500, 4_000, 23_500),
    ),
    # control and decisions
    Recipe("ppo", _CONTROL, _sb3("PPO"), _samples(8_192, 65_536, 262_144)),
    Recipe("a2c", _CONTROL, _sb3("A2C", **_A2C), _samples(8_192, 65_536, 262_144)),
    # continual learning
    Recipe("naive", _STREAMS, _avalanche("naive"), _samples(2_000, 20_000, 60_000)),
    Recipe("replay", _STREAMS, _avalanche("replay"), _samples(2_000, 20_000, 60_000)),
    Recipe("cumulative", _STREAMS, _avalanche("cumulative"), _samples(2_000, 20_000, 60_000)),
)
