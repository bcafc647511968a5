"""Scoring: what a submission earns when its agents answer in the sandbox."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leaderboard.check import is_parts
from leaderboard.sandbox import Limits, Outcome, run
from neurotasks import load
from neurotasks.results import StageResult
from neurotasks.scores import score as score_of
from neurotasks.submission.manifest import Manifest, file_names
from neurotasks.submission.strict import shown

__all__ = ["Scored", "inspect", "private_seeds", "reason", "score"]

_MODULES = {
    "onnx": "neurotasks.submission.child",
    "predictions": "neurotasks.submission.child",
    "weights": "agents.child",  # by name alone: the board imports no learner's library
}
_TOLD = 5  # problems of a submission that are told
_INSPECTION = Limits(memory=2 << 30, cpu_seconds=60, wall_seconds=180.0, answer=1 << 20)
_FIGURES, _PARTS, _NAME = 20, 100, 100  # of the details: how many, of how many parts, letters
_TORCH = Limits(memory=12 << 30)  # torch maps far more than it uses


@dataclass(frozen=True)
class Scored:
    """What came of a submission.

    Attributes:
        stages: What was measured, by stage; empty where scoring failed.
        items: The raw metric of each trial of each seed, (S, B) float32, by stage.
        reason: Why scoring failed, in one line; empty where it did not.
        cpu_seconds: Processor time of the child.
        wall_seconds: How long it took.
    """

    stages: Mapping[str, StageResult] = field(default_factory=dict)
    items: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    reason: str = ""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0


def private_seeds(secret: str, task: str, seeds: Sequence[int]) -> tuple[int, ...]:
    """Return the seeds of the private stage: nobody who lacks the secret can tell them.

    Args:
        secret: The board's secret.
        task: Id of the task: tasks share no private seed.
        seeds: The seeds of the runs; each has a private seed of its own.
    """
    digests = (hashlib.sha256(f"{secret}\0{task}\0{seed}".encode()) for seed in seeds)
    return tuple(int.from_bytes(digest.digest()[:7], "big") for digest in digests)


def inspect(folder: Path, limits: Limits = _INSPECTION) -> tuple[str, ...]:
    """Return what is wrong with a submission, found in the sandbox: parsers are attacked too.

    Args:
        folder: Where its files are: another user, the child, must be able to read them.
        limits: What the child may use.
    """
    seen = run("neurotasks.submission.child_check", {"folder": str(folder)}, limits)
    if seen.answer is None:
        return (f"inspection {seen.reason}",)
    return tuple(f"{one['where']}: {one['what']}; {one['cure']}" for one in seen.answer["problems"])


def reason(found: Sequence[str]) -> str:
    """Return the first of what is wrong with a submission in one line; empty for nothing."""
    more = f" (and {len(found) - _TOLD} more)" if len(found) > _TOLD else ""
    return " | ".join(found[:_TOLD]) + more


def score(
    folder: Path, manifest: Manifest, secret: str | None = None, limits: Limits | None = None
) -> Scored:
    """Score a submission that was inspected before.

    Args:
        folder: Where its files are: another user, the child, must be able to read them, and nobody
            may change them.
        manifest: What it says of itself.
        secret: The board's secret; without it there is no private stage, nor for predictions and
            for tasks whose data are fixed and public.
        limits: What the child may use.
    """
    task = load(manifest.task)
    hidden = secret is not None and manifest.format != "predictions"
    stages = [*task.card.evaluated]
    if hidden and task.card.data == "generated":
        stages.append("private")
    request = {
        "kind": manifest.format,
        "task": manifest.task,
        "files": [
            str((folder / name).resolve()) for name in file_names(manifest.format, manifest.seeds)
        ],
        "architecture": dict(manifest.architecture),
        "seeds": list(manifest.seeds),
        "stages": stages,
        "private": list(private_seeds(secret or "", manifest.task, manifest.seeds)),
    }
    allowed = limits or (_TORCH if manifest.format == "weights" else Limits())
    return _scored(run(_MODULES[manifest.format], request, allowed), manifest, stages)


def _scored(outcome: Outcome, manifest: Manifest, stages: Sequence[str]) -> Scored:
    """Return what the child measured; it is believed only where it holds what was asked for."""
    costs = (outcome.cpu_seconds, outcome.wall_seconds)
    if outcome.answer is None:
        return Scored({}, {}, f"scoring {outcome.reason}", *costs)
    card, runs = load(manifest.task).card, len(manifest.seeds)
    found, items = {}, {}
    try:
        for stage in stages:
            anchors = card.stage(stage)
            told: Mapping[str, Any] = outcome.answer["stages"][stage]
            raw, error = _numbers(told["raw"], runs), _numbers(told["error"], runs)
            packed = np.frombuffer(base64.b64decode(told["items"], validate=True), dtype=np.float32)
            items[stage] = packed.reshape(runs, anchors.trials)
            scores = tuple(score_of(value, anchors) for value in raw)
            found[stage] = StageResult(raw, scores, _details(told.get("details", {}), runs), error)
    except (KeyError, TypeError, ValueError) as error:
        fault = f"scoring answered with something else than was asked for ({shown(error)})"
        return Scored({}, {}, fault, *costs)
    return Scored(found, items, "", *costs)


def _numbers(told: Any, runs: int) -> tuple[float, ...]:
    """Return one number for each run.

    Raises:
        ValueError: They are others.
    """
    if not isinstance(told, list) or len(told) != runs:
        raise ValueError(f"{told!r} is no list of {runs} numbers")
    if not all(type(value) is float and math.isfinite(value) for value in told):
        raise ValueError(f"{told!r} holds what is no finite number")
    return tuple(told)


def _details(told: Any, runs: int) -> dict[str, list[dict[str, float]]]:
    """Return the further figures of a stage: by name, a list over runs by part.

    Raises:
        ValueError: They are too many, or of other values, or have names that no page can show.
    """
    if not isinstance(told, dict) or len(told) > _FIGURES:
        raise ValueError(f"{shown(told)} holds no figures, or more than {_FIGURES}")
    for name, seeds in told.items():
        if not is_parts(seeds, runs) or len(seeds[0]) > _PARTS:
            raise ValueError(f"{shown(name)!r} has not 1 to {_PARTS} numbers, the same in each run")
        if not all(text.isprintable() and 0 < len(text) <= _NAME for text in (name, *seeds[0])):
            raise ValueError(f"{shown(name)!r} or a part of it is no name")
    return told
