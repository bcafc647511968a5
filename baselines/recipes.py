"""The recipes: who runs on what, with which settings, for how long.

An agent of one name may have several recipes; the first that fits a task is taken.
"""

from __future__ import annotations

from typing import Any

from baselines.recipe import Factory, Recipe, samples
from baselines.recipes_control import CONTROL
from baselines.recipes_streams import STREAMS
from neurotasks.card import TaskCard

__all__ = ["RECIPES", "recipe_of"]


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


_NOTHING = samples(0, 0, 0)
_MOUSE = ("OrientationDecodingMouse-v0",)
_STRINGER = ("OrientationDecodingStringer-v0",)
_DECODING = ("OrientationDecoding*",)
_DIGITS = ("ImageClassificationDigits-v0",)
_FASHION = ("ImageClassificationFashionMNIST-v0",)
_IMAGES = ("ImageClassification*",)
_SYMBOLS = ("SequencePrediction-v0",)
_TEXT = ("SequencePredictionShakespeare-v0",)
_COGNITION = (
    "PerceptualDecisionMaking-v0",
    "ContextDecisionMaking-v0",
    "MultiSensoryIntegration-v0",
    "GoNogo-v0",
    "DelayedMatchToSample-v0",
    "DelayedComparison-v0",
    "ParametricWorkingMemory-v0",
    "ReadySetGo-v0",
    "NBack-v0",
    "Yang2019*",
)
_MEMORY_ALONE = ("Yang2019DM[SC]*", "Yang2019DNM*", "Yang2019DlyGo*", "Yang2019DlyAnti*")

_CNN = {"width": 64, "weight_decay": 0.01}
_TRIALS = {"learning_rate": 1e-2, "batch": 32, "checks": 5}
_GRU = {"learning_rate": 1e-2, "batch": 16}

RECIPES: tuple[Recipe, ...] = (
    Recipe("trivial", ("*",), _reference("Trivial"), _NOTHING),
    Recipe("ideal", ("*",), _reference("Ideal"), _NOTHING),
    # orientation decoding
    Recipe("ridge", _DECODING, _linear("ridge"), samples(2_000, 20_000, 20_000)),
    Recipe(
        "mlp",
        _MOUSE,
        _torch("mlp", learning_rate=1e-3, weight_decay=0.1, batch=32),
        samples(2_000, 10_000, 10_000),
    ),
    Recipe(
        "mlp",
        _STRINGER,
        _torch("mlp", learning_rate=1e-3, weight_decay=0.1, batch=32),
        samples(500, 5_000, 10_000),
    ),
    Recipe("mlp", _DECODING, _torch("mlp"), samples(4_000, 50_000, 500_000)),
    # image classification
    Recipe("logistic", _DIGITS, _linear("logistic"), samples(1_085, 1_085, 1_085)),
    Recipe(
        "mlp",
        _DIGITS,
        _torch("mlp", width=64, batch=32, learning_rate=1e-2),
        samples(2_000, 12_000, 40_000),
    ),
    Recipe("cnn", _DIGITS, _torch("cnn", batch=32), samples(2_000, 12_000, 40_000)),
    Recipe(
        "logistic",
        _FASHION,
        _linear("logistic", split="train15k"),
        samples(1_000, 5_000, 15_000),
    ),
    Recipe(
        "cnn", _FASHION, _torch("cnn", split="train15k", **_CNN), samples(2_000, 15_000, 150_000)
    ),
    Recipe("logistic", _IMAGES, _linear("logistic"), samples(1_000, 5_000, 20_000)),
    Recipe("cnn", _IMAGES, _torch("cnn", **_CNN), samples(2_000, 20_000, 275_000)),
    # sequence prediction
    Recipe("logistic", _SYMBOLS, _linear("logistic", history=3), samples(200, 1_000, 1_000)),
    Recipe(
        "gru", _SYMBOLS, _torch("gru", width=64, checks=5, **_GRU), samples(1_000, 6_000, 60_000)
    ),
    Recipe("logistic", _TEXT, _linear("logistic", history=3, steps=60), samples(50, 500, 2_000)),
    Recipe(
        "gru",
        _TEXT,
        _torch("gru", width=256, weight_decay=0.01, checks=6, **_GRU),
        samples(500, 4_000, 23_500),
    ),
    # decisions, working memory, timing, the twenty rules
    Recipe(
        "gru", _MEMORY_ALONE, _torch("gru", width=64, **_TRIALS), samples(1_000, 40_000, 200_000)
    ),
    Recipe("gru", _COGNITION, _torch("gru", width=64, **_TRIALS), samples(1_000, 20_000, 200_000)),
    Recipe(
        "ctrnn",
        _COGNITION[:2],
        _torch("ctrnn", width=64, **_TRIALS),
        samples(1_000, 20_000, 200_000),
    ),
    Recipe("mlp", _COGNITION, _torch("mlp", width=64, **_TRIALS), samples(1_000, 5_000, 20_000)),
    *CONTROL,
    *STREAMS,
)
