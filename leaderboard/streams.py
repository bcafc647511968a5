"""What a stream's page shows: what is kept, what is forgotten, and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leaderboard import numbers
from leaderboard.check import is_matrices, is_numbers
from leaderboard.collect import Row, Table
from leaderboard.svg_stream import Course, course_plot, matrix_plot
from neurotasks.registry import load
from neurotasks.scores import Interval, interval
from neurotasks.task import TrialTask

__all__ = ["Courses", "Matrix", "courses", "matrices"]

_STYLES = 6  # colours and dashes of curves in the style sheet
_COSTS = ("seconds", "cpu_seconds", "energy_kwh", "held_bytes")  # one number an experience
_MEMORY = "held_bytes"
_LARGE = 100.0  # from which on decimals say nothing


@dataclass(frozen=True)
class Matrix:
    """The matrix of one agent, the mean over its runs, what follows from it, and what it cost."""

    agent: str
    plot: str
    rows: tuple[tuple[str, ...], ...]
    beside: tuple[tuple[str, Interval], ...]
    costs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Courses:
    """How all agents fare from experience to experience: a plot, its legend, and a table.

    Attributes:
        plot: The picture.
        legend: Pairs of a style and a name.
        rows: Agent, and the mean over runs and groups after each experience.
    """

    plot: str
    legend: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def matrices(table: Table) -> tuple[Matrix, ...]:
    """Draw the matrix of each learned agent that has one."""
    found: list[Matrix] = []
    anchors = table.card.stages["test"]
    unit = table.card.metric.unit
    for row, runs in _measured(table.rows):
        mean = runs.mean(axis=0)
        written = [[_written(value, anchors.ceiling) for value in line] for line in mean.tolist()]
        plot = matrix_plot(
            f"matrix-{len(found)}",
            f"What {row.agent} earns after each experience",
            f"{len(mean)} experiences by {len(mean[0])} groups, {unit}; after the last one: "
            + ", ".join(written[-1]),
            (mean / anchors.ceiling).tolist(),
            written,
        )
        cells = tuple(tuple(line) for line in written)
        found.append(Matrix(row.agent, plot, cells, _beside(row), _costs(row)))
    return tuple(found)


def courses(table: Table) -> Courses | None:
    """Draw the mean over groups after each experience, of all agents and of published ones."""
    drawn: list[Course] = []
    legend: list[tuple[str, str]] = []
    rows: list[tuple[str, tuple[str, ...]]] = []
    anchors = table.card.stages["test"]
    for row, runs in _measured(table.ranked):
        means = [interval(column) for column in runs.mean(axis=2).T.tolist()]
        style = f"style{len(drawn)}" if len(drawn) < _STYLES else "other"
        points = tuple((value.mean, value.low, value.high) for value in means)
        drawn.append(Course(row.agent, points, style))
        legend.append((style, row.agent))
        written = tuple(_written(value.mean, anchors.ceiling) for value in means)
        rows.append((row.agent, written))
    if not drawn:
        return None
    task = load(table.card.id)
    published = {} if isinstance(task, TrialTask) else task.published()
    for name, curve in published.items():
        drawn.append(Course(name, tuple((y, y, y) for y in curve.tolist()), "reference"))
        legend.append(("reference", f"published: {name}"))
        rows.append((f"published: {name}", tuple(f"{y:.2f}" for y in curve.tolist())))
    said = "; ".join(f"{name} ends at {values[-1]}" for name, values in rows)
    title = f"{table.card.metric.unit.capitalize()} over experiences, mean over all groups"
    plot = course_plot("courses", title, said, drawn, (anchors.chance, anchors.ceiling))
    return Courses(plot, tuple(legend), tuple(rows))


def _measured(rows: Iterable[Row]) -> Iterator[tuple[Row, NDArray[np.float64]]]:
    """Yield the learned agents that have matrices, with them: (runs, E, G)."""
    for row in rows:
        matrix = row.result.stages["test"].extra.get("matrix")
        if not row.is_anchor and matrix is not None:
            yield row, np.asarray(matrix, dtype=np.float64)


def _written(value: float, ceiling: float) -> str:
    """Return a fraction with two decimals, a large return without any."""
    return f"{value:.0f}" if abs(ceiling) >= _LARGE else f"{value:.2f}"


def _beside(row: Row) -> tuple[tuple[str, Interval], ...]:
    """Return what was measured beside the raw metric, where it is one number a run."""
    extra: Any = row.result.stages["test"].extra
    return tuple(
        (name, interval(values))
        for name, values in sorted(extra.items())
        if is_numbers(values, len(row.result.seeds))
    )


def _costs(row: Row) -> tuple[tuple[str, str], ...]:
    """Return what an experience costs one run, and what is held at most."""
    extra: Any = row.result.stages["test"].extra
    runs = len(row.result.seeds)
    found = {}
    for name in _COSTS:
        if name in extra and is_matrices([extra[name]], 1) and len(extra[name]) == runs:
            found[name] = np.asarray(extra[name], dtype=np.float64)
    said: list[tuple[str, str]] = []
    if "seconds" in found:
        said.append(("time of an experience", numbers.duration(float(found["seconds"].mean()))))
    if "energy_kwh" in found:
        said.append(("its energy", numbers.energy(float(found["energy_kwh"].mean()))))
    if _MEMORY in found:
        said.append(("held beside the network", numbers.size(float(found[_MEMORY].max()))))
    return tuple(said)
