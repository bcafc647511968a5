"""Synthetic results: what the board reads, made without running a learner."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurotasks
from neurotasks.card import TaskCard
from neurotasks.results import Result, StageResult, write_result
from neurotasks.scores import score


@dataclass
class Folder:
    """A folder of results that grows by `add`."""

    path: Path
    made: list[Path] = field(default_factory=list)

    def add(self, result: Result) -> Path:
        path = self.path / f"result-{len(self.made):03d}.json"
        write_result(result, path)
        self.made.append(path)
        return path


def make_result(card: TaskCard, agent: str, levels: Any, /, **changes: Any) -> Result:
    """Return a result whose test scores are about `levels`, one for each seed."""
    levels = [float(level) for level in levels]
    stages = {}
    for name in card.evaluated:
        stage = card.stages[name]
        drop = 0.0 if name == "test" or agent in ("ideal", "trivial") else 0.08
        raw = tuple(stage.chance + (v - drop) * (stage.ceiling - stage.chance) for v in levels)
        stages[name] = StageResult(raw, tuple(score(value, stage) for value in raw), {})
    record = {
        "task": card.id,
        "card": card.hash,
        "agent": agent,
        "config": {"budget": "quick", "width": 64},
        "seeds": tuple(range(len(levels))),
        "stages": stages,
        "parameters": 12_345,
        "samples": 20_000,
        "flops": 1_230_000_000,
        "seconds": 83.2,
        "cpu_seconds": 80.1,
        "energy_kwh": 8.9e-5,
        "energy_method": "estimate: 4 W per busy thread",
        "hardware": "Test processor, 4 cores",
        "versions": {"python": "3.11.7", "numpy": "2.4.6"},
        "commit": "0123456789abcdef",
        "curves": {},
    }
    return Result(**{**record, **changes})


def give_matrix(result: Result, size: int = 5, keep: float = 0.6) -> Result:
    """Give the test stage of a result an accuracy matrix and what follows from it."""
    runs, steps = len(result.seeds), np.arange(size)
    age = steps[:, None] - steps
    matrix = np.where(age >= 0, 0.97 * keep ** np.maximum(age, 0), 0.0)
    extra = {
        "matrix": [matrix.tolist()] * runs,
        "forgetting": [0.5 + 0.01 * run for run in range(runs)],
        "backward transfer": [-0.5 - 0.01 * run for run in range(runs)],
        "forward transfer": [0.02 * run for run in range(runs)],
        "seconds": [[2.5] * size] * runs,
        "energy_kwh": [[1e-5] * size] * runs,
        "held_bytes": [[12_160.0 * (step + 1) for step in range(size)]] * runs,
    }
    test = result.stages["test"]
    stages = {**result.stages, "test": StageResult(test.raw, test.score, extra)}
    return Result(**{**vars(result), "stages": stages})


def around(mean: float, spread: float, runs: int = 5) -> list[float]:
    """Return runs with exactly this mean and this standard deviation."""
    shape = np.linspace(-1.0, 1.0, runs)
    return (mean + spread * shape / shape.std(ddof=1)).tolist()


def fill(folder: Folder) -> Folder:
    """Add anchors and three learned agents for every registered task."""
    for number, card in enumerate(neurotasks.cards()):
        if card.data == "generated":
            folder.add(make_result(card, "ideal", around(1.0, 0.004)))
        folder.add(make_result(card, "trivial", around(0.0, 0.004)))
        agents = {"mlp": (0.91, 0.012), "ridge": (0.72, 0.006), "circular-ridge": (0.74, 0.03)}
        for place, (agent, (mean, spread)) in enumerate(agents.items()):
            level = mean - 0.03 * number + 0.02 * place * (number % 3)
            samples = np.linspace(0, 20_000, 21)
            curves = {
                "validation": [
                    [[float(x), level * (1 - 0.8 * float(np.exp(-x / (3000 + 700 * run))))]
                     for x in samples]
                    for run in range(5)
                ]
            }  # fmt: skip
            result = make_result(card, agent, around(level, spread), curves=curves)
            if card.form == "stream":
                result = give_matrix(result, keep=0.4 + 0.25 * place)
            folder.add(result)
    return folder


@pytest.fixture
def card() -> TaskCard:
    return neurotasks.load("neurotasks/OrientationDecoding-v0").card


@pytest.fixture
def folder(tmp_path) -> Folder:
    return Folder(tmp_path / "results")


@pytest.fixture
def filled(folder) -> Folder:
    return fill(folder)


@pytest.fixture
def make():
    return make_result


@pytest.fixture
def with_matrix():
    return give_matrix
