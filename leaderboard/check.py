"""What the board asks of a result before it believes a number of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from neurotasks.results import Result, StageResult

__all__ = ["STAGES", "is_matrices", "is_numbers", "is_parts", "problem"]

STAGES = ("test", "shift", "private")
_TEXTS = ("task", "card", "agent", "energy_method", "hardware", "commit")
_NUMBERS = ("parameters", "samples", "flops", "seconds", "cpu_seconds", "energy_kwh")
_MAPPINGS = ("config", "versions", "curves")
_LONGEST = 100  # characters of a name


def problem(result: Result) -> str:
    """Return what is wrong with a result's values, or an empty string.

    `Result.from_json` has seen that every field is there; this sees that each holds what it should,
    so that no page is built from half a number.
    """
    for name in _TEXTS:
        if not isinstance(getattr(result, name), str):
            return f"{name} is not text"
    for name in _NUMBERS:
        if not _is_number(getattr(result, name)) or getattr(result, name) < 0:
            return f"{name} is not a number from 0 up"
    for name in _MAPPINGS:
        if not isinstance(getattr(result, name), Mapping):
            return f"{name} does not map names to values"
    return _names_problem(result) or _seeds_problem(result) or _curves_problem(result)


def is_numbers(value: Any, length: int | None = None) -> bool:
    """Return whether a value is a sequence of finite numbers, of that length if one is given."""
    return (
        isinstance(value, list | tuple)
        and (length is None or len(value) == length)
        and all(_is_number(item) for item in value)
    )


def is_matrices(value: Any, runs: int) -> bool:
    """Return whether a value holds one rectangular matrix for each run, all of one shape."""
    if not isinstance(value, list | tuple) or len(value) != runs:
        return False
    if not all(isinstance(matrix, list | tuple) and matrix for matrix in value):
        return False
    rows = [row for matrix in value for row in matrix]
    return (
        all(is_numbers(row) and row for row in rows)
        and len({len(row) for row in rows}) == 1
        and len({len(matrix) for matrix in value}) == 1
    )


def is_parts(value: Any, runs: int) -> bool:
    """Return whether a value maps the same parts to finite numbers, once for each run."""
    return (
        isinstance(value, list | tuple)
        and len(value) == runs
        and all(isinstance(item, Mapping) and item for item in value)
        and all(list(item) == list(value[0]) for item in value)
        and all(_is_number(number) for item in value for number in item.values())
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _names_problem(result: Result) -> str:
    for name in ("task", "agent"):
        text = getattr(result, name)
        if not text.strip() or not text.isprintable() or len(text) > _LONGEST:
            return f"{name} must be 1 to {_LONGEST} printable characters"
    return ""


def _seeds_problem(result: Result) -> str:
    runs = len(result.seeds)
    if not runs or not all(isinstance(seed, int) for seed in result.seeds):
        return "seeds must be whole numbers, at least one"
    if len(set(result.seeds)) < runs:
        return "a seed stands twice in seeds"
    if "test" not in result.stages or not set(result.stages) <= set(STAGES):
        return f"stages must hold 'test' and be among {STAGES}"
    faults = (_stage_problem(name, stage, runs) for name, stage in result.stages.items())
    return next((fault for fault in faults if fault), "")


def _stage_problem(name: str, stage: StageResult, runs: int) -> str:
    if not is_numbers(stage.raw, runs) or not is_numbers(stage.score, runs):
        return f"in stage {name!r} raw and score must hold {runs} finite numbers, one a seed"
    if stage.error and not is_numbers(stage.error, runs):
        return f"in stage {name!r} error must hold {runs} finite numbers, or none"
    return _extra_problem(name, stage, runs)


def _extra_problem(name: str, stage: StageResult, runs: int) -> str:
    if not isinstance(stage.extra, Mapping):
        return f"in stage {name!r} extra does not map names to values"
    if "matrix" in stage.extra and not is_matrices(stage.extra["matrix"], runs):
        return f"in stage {name!r} matrix must hold {runs} matrices of one shape, one a seed"
    return ""


def _curves_problem(result: Result) -> str:
    for name, curves in result.curves.items():
        if not isinstance(curves, list | tuple) or not all(_is_curve(curve) for curve in curves):
            return f"the learning curve {name!r} must hold [samples, value] pairs for each seed"
    return ""


def _is_curve(curve: Any) -> bool:
    return isinstance(curve, list | tuple) and all(is_numbers(point, 2) for point in curve)
