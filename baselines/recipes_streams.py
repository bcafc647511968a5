"""The recipes of continual learning: strategies of our own, all seeds at once, and Avalanche's.

Learning rates and strengths are the best on held-out trials of split digits with seeds 5 to 9.
"""

from __future__ import annotations

from typing import Any

from baselines.recipe import Factory, Recipe, samples

__all__ = ["STREAMS"]

_DIGITS = ("ContinualDigits-v0", "SplitDigits*")
_MOVED_DIGITS = ("PermutedDigits*", "RotatedDigits*")
_MNIST = ("SplitMNIST*",)
_MOVED_MNIST = ("PermutedMNIST*", "RotatedMNIST*")
_OBJECTS = ("ContinualObjectsNI-v0", "ContinualObjectsNC-v0", "ContinualObjectsNCTask-v0")
_MORE_OBJECTS = (
    "ContinualObjectsNIC-v0",
    "ContinualObjectsN[IC]Category-v0",
    "ContinualObjectsNICCategory-v0",
    "ContinualObjectsNICv2*",
)
"""Further scenarios, for two strategies alone; their steps are clipped, as some have hundreds of
experiences with one class each, in which plain descent diverges."""

_CORE50 = ("ContinualCORe50*",)
_RULES = ("ContinualYang2019-v0",)
_CARTS = ("ContinualCartPole-v0",)
_TOLD = ("SplitDigitsTask-v0", "PermutedDigitsTask-v0", "RotatedDigitsTask-v0", "*MNISTTask-v0")
_UNTOLD = ("ContinualDigits-v0", "SplitDigitsDomain-v0", "PermutedDigitsDomain-v0")

_COMPARED = (
    "ContinualDigits-v0",
    "SplitDigitsTask-v0",
    "SplitMNIST*",
    "PermutedMNIST*",
)
_COMPARED_FILMS = ("ContinualObjectsNC-v0", "ContinualObjectsNCTask-v0", "ContinualCORe50*")
"""Where all strategies are compared: those of Avalanche learn one seed after the other."""

_SAMPLES = {
    _DIGITS: samples(2_000, 40_000, 200_000),
    _MOVED_DIGITS: samples(2_000, 40_000, 200_000),
    _MNIST: samples(2_000, 60_000, 600_000),
    _MOVED_MNIST: samples(2_000, 60_000, 600_000),
    _OBJECTS: samples(2_000, 60_000, 240_000),
    _MORE_OBJECTS: samples(2_000, 60_000, 240_000),
    _CORE50: samples(2_000, 60_000, 480_000),
    _RULES: samples(1_000, 60_000, 240_000),
}
"""Trials shown in the whole stream, those from a memory included."""

_FILM: dict[str, Any] = {"network": "contrast-mlp", "width": 256, "learning_rate": 0.01}
_FITTING: dict[tuple[str, ...], dict[str, Any]] = {
    _OBJECTS: _FILM,
    _MORE_OBJECTS: {**_FILM, "clip": 1.0},
    _CORE50: {**_FILM, "clip": 1.0},
    _RULES: {"network": "gru", "width": 64, "clip": 1.0},
}
"""What all strategies are told on some streams."""

_SLOW: dict[str, Any] = {"learning_rate": 0.01}
_MEMORY: dict[str, Any] = {"memory": 500}


_STRENGTHS: dict[str, dict[tuple[str, ...], float]] = {
    "ewc": {_MOVED_DIGITS: 3e3, _MNIST: 3e3, _MOVED_MNIST: 100.0, _OBJECTS: 1e6, _CORE50: 1e6},
    "si": {_MOVED_DIGITS: 1.0, _MNIST: 1.0, _MOVED_MNIST: 0.03},
}
"""Of penalties, where another one than for split digits was better on held-out trials."""


def _native(strategy: str, **settings: Any) -> Factory:
    told = {"strategy": strategy, **settings}
    return Factory(
        "agents.stream_learner",
        "StreamLearner",
        told,
        placed=True,
        together=True,
        libraries=("torch",),
    )


def _avalanche(strategy: str, **settings: Any) -> Factory:
    told = {"strategy": strategy, **settings}
    libraries = ("torch", "avalanche")
    return Factory("agents.continual", "AvalancheLearner", told, placed=True, libraries=libraries)


def _own(name: str, **settings: Any) -> tuple[Recipe, ...]:
    """Return the recipes of one of our own strategies on streams of trials."""
    strategy, recipes = name.removesuffix("-online"), []
    for tasks, counts in _SAMPLES.items():
        told = {**settings, **_FITTING.get(tasks, {})}
        if tasks in _STRENGTHS.get(strategy, {}):
            told["strength"] = _STRENGTHS[strategy][tasks]
        if name in ("naive", "replay") or tasks != _MORE_OBJECTS:
            recipes.append(Recipe(name, tasks, _native(strategy, **told), counts))
    return tuple(recipes)


def _others(name: str, films: dict[str, Any] | None = None, **settings: Any) -> tuple[Recipe, ...]:
    """Return the recipes of one of Avalanche's strategies; `films` is told on films alone."""
    shown, of_films = samples(2_000, 40_000, 200_000), samples(2_000, 60_000, 240_000)
    wide = {**settings, **_FILM, **(films or {})}
    return (
        Recipe(name, _COMPARED_FILMS, _avalanche(name, **wide), of_films),
        Recipe(name, _COMPARED, _avalanche(name, **settings), shown),
    )


def _carts(strategy: str) -> Recipe:
    """Return the recipe of PPO on the stream of carts."""
    told = {
        "strategy": strategy,
        "width": 32,
        "learning_rate": 5e-3,
        "discount": 0.99,
        "trace": 0.9,
    }
    learner = Factory(
        "agents.ppo_stream",
        "PPOStreamLearner",
        {**told, "worlds": 32, "steps": 32, "batch": 128, "epochs": 3},
        placed=True,
        together=True,
        libraries=("torch",),
    )
    return Recipe(f"{strategy}-ppo", _CARTS, learner, samples(8_192, 131_072, 524_288))


def _masks(tasks: tuple[str, ...], **settings: Any) -> Recipe:
    learner = Factory(
        "agents.supermasks",
        "SupermaskLearner",
        settings,
        placed=True,
        together=True,
        libraries=("torch",),
    )
    return Recipe("supermasks", tasks, learner, samples(2_000, 40_000, 200_000))


STREAMS: tuple[Recipe, ...] = (
    *_own("naive", **_SLOW),
    *_own("ewc", strength=3e4, **_SLOW),
    *_own("ewc-online", strength=3e4, decay=1.0, **_SLOW),
    *_own("si", strength=3.0, **_SLOW),
    *_own("replay", **_MEMORY),
    *_own("cumulative"),
    *_own("joint"),
    _carts("naive"),
    _carts("joint"),
    _masks(_TOLD),
    _masks(_UNTOLD, inference="entropy"),
    *_others("mas"),
    *_others("lwf", films={"strength": 0.1}),
    *_others("agem"),
    *_others("gem"),
    *_others("gdumb", **_MEMORY),
    *_others("icarl", **_MEMORY),
    *_others("derpp", **_MEMORY, **_SLOW),
    *_others("er-ace", **_MEMORY),
    *_others("cwr"),
    *_others("ar1"),
    *_others("slda"),
    *_others("generative"),
)
