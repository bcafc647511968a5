"""The recipes: who runs on what, with which settings, for how long.

An agent of one name may have several recipes; the first that fits a task is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from neurotasks.agent import Learner
from neurotasks.card import TaskCard

__all__ = ["BUDGETS", "RECIPES", "Recipe", "recipe_of"]

BUDGETS = ("smoke", "quick", "full")


@dataclass(frozen=True)
class Recipe:
    """One agent on a group of tasks.

    Attributes:
        name: Name of the agent on the board.
        tasks: Globs of the labels of the tasks.
        learner: From the device's name to the learner; imports what it needs when it is called.
        samples: Training trials (environment steps) by budget.
    """

    name: str
    tasks: tuple[str, ...]
    learner: Callable[[str], Learner]
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


def _reference(name: str) -> Callable[[str], Learner]:
    def make(_: str) -> Learner:
        from agents import reference  # noqa: PLC0415 - each recipe loads its own library alone

        learner: Learner = getattr(reference, name)()
        return learner

    return make


def _linear(name: str, **settings: Any) -> Callable[[str], Learner]:
    def make(_: str) -> Learner:
        from agents import linear  # noqa: PLC0415

        learner: Learner = getattr(linear, name)(**settings)
        return learner

    return make


def _torch(network: str, **settings: Any) -> Callable[[str], Learner]:
    def make(device: str) -> Learner:
        from agents.training import TorchLearner  # noqa: PLC0415

        return TorchLearner(network=network, device=device, **settings)

    return make


def _sb3(algorithm: str, **settings: Any) -> Callable[[str], Learner]:
    def make(_: str) -> Learner:
        from agents.sb3 import SB3Learner  # noqa: PLC0415

        return SB3Learner(algorithm=algorithm, **settings)  # small policies: the CPU is fastest

    return make


def _avalanche(strategy: str, **settings: Any) -> Callable[[str], Learner]:
    def make(device: str) -> Learner:
        from agents.continual import AvalancheLearner  # noqa: PLC0415

        return AvalancheLearner(strategy=strategy, device=device, **settings)

    return make


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
    Recipe("mlp", _DIGITS, _torch("mlp", width=64, batch=32), _samples(2_000, 12_000, 40_000)),
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
