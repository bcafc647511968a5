"""Which plots the board draws, and what each says: from tables to `svg`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from leaderboard.behaviour import Behaviour, behaviour, in_order
from leaderboard.check import is_parts
from leaderboard.collect import Row, Table
from leaderboard.numbers import count, duration, energy, exact, mean_and_spread, plain
from leaderboard.statistics import pareto, profile
from leaderboard.svg import Lane, Mark, score_plot
from leaderboard.svg_cost import Dot, Profile, cost_plot, profile_plot
from leaderboard.svg_learning import Line, curve_plot
from neurotasks.scores import Interval, interval

__all__ = [
    "FLOOR",
    "Costs",
    "Curves",
    "Details",
    "Profiles",
    "costs",
    "curves",
    "details",
    "overview",
    "profiles",
    "scores",
    "text",
]

_TIME = "cpu_seconds"  # that a learner logged beside its return
_STYLES = 6  # colours and dashes of learning curves in the style sheet
FLOOR = -0.25
"""Where the scale of many tasks ends: what lies below is drawn as an arrow."""

_LANES = 50  # a longer plot shows nothing that its table does not show better
_COSTS: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "parameters": ("trainable parameters", count),
    "cpu_seconds": ("CPU time of all runs", duration),
    "energy_kwh": ("energy of all runs", energy),
}
_THRESHOLDS = (0.25, 0.5, 0.75, 0.9, 0.95, 1.0)


@dataclass(frozen=True)
class Details:
    """A further figure of a task, part by part: the parts, and each agent's mean in each."""

    name: str
    parts: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Interval, ...]], ...]
    drawn: Behaviour | None


@dataclass(frozen=True)
class Curves:
    """The learning curves of one quantity over another: plot, legend, and where each run ended."""

    name: str
    over: str
    plot: str
    legend: tuple[tuple[int, str], ...]
    rows: tuple[tuple[str, int, str, str], ...]


@dataclass(frozen=True)
class Costs:
    """Score against one cost: the plot, and for each agent its cost, score and place on the front.

    The rows are those that no other agent beats in both, cheapest first.
    """

    name: str
    plot: str
    rows: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Profiles:
    """Performance profiles: the plot, its legend, and a table of parts above thresholds."""

    plot: str
    legend: tuple[tuple[int, str], ...]
    thresholds: tuple[float, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def text(value: Interval) -> str:
    """Return a mean with the half width of its interval."""
    mean, spread = mean_and_spread(value)
    return f"{mean} ± {spread}" if spread else mean


def overview(tables: Iterable[Table]) -> str:
    """Draw every task as a lane and every learned agent as a mark on it."""
    lanes = []
    for table in tables:
        ranked = table.ranked
        if not ranked:
            continue
        best = ranked[0]
        marks = tuple(
            Mark(
                row.score.mean,
                "best" if row is best else "agent",
                "test",
                f"{row.agent}: {text(row.score)}",
            )
            for row in reversed(ranked)
        )
        note = text(best.score)
        lanes.append(Lane(table.card.label, note, (marks,), best.agent))
    if not lanes:
        return ""
    said = "; ".join(f"{lane.label}: best is {lane.who} {lane.note}" for lane in lanes)
    title = "Scores of all learned agents on all tasks"
    return score_plot("overview", title, said, lanes, lowest=FLOOR)


def scores(table: Table) -> str:
    """Draw the runs, the mean and the interval of each agent in each stage of a task."""
    lanes = [
        Lane(
            row.agent if row.rank is None else f"{row.rank}  {row.agent}",
            "anchor" if row.is_anchor else text(row.score),
            tuple(_track(row, stage) for stage in table.stages if stage in row.scores),
        )
        for row in table.rows[:_LANES]
    ]
    said = "; ".join(
        f"{row.agent} {stage} {text(value)}"
        for row in table.rows[:_LANES]
        for stage, value in row.scores.items()
    )
    test, unit = table.card.stages["test"], table.card.metric.unit
    anchors = (f"chance {exact(test.chance, 4)}", f"ceiling {exact(test.ceiling, 4)} {unit}")
    return score_plot("scores", f"Scores on {table.card.label}", said, lanes, anchors)


def costs(rows: Sequence[Row]) -> tuple[Costs, ...]:
    """Draw score against each cost that at least two ranked agents tell."""
    drawn = []
    for name, (words, written) in _COSTS.items():
        told = [row for row in rows if row.rank is not None and getattr(row.result, name) > 0]
        if len(told) < 2:  # noqa: PLR2004 - one agent makes no trade-off
            continue
        paid = [float(getattr(row.result, name)) for row in told]
        front = pareto([row.score.mean for row in told], paid)
        dots = [
            Dot(row.agent, cost, row.score.mean, bool(first))
            for row, cost, first in zip(told, paid, front, strict=True)
        ]
        best = sorted((dot for dot in dots if dot.front), key=lambda dot: dot.cost)
        lines = tuple((dot.name, written(dot.cost), plain(dot.score, 3)) for dot in best)
        said = "nobody is both better and cheaper than " + ", ".join(dot.name for dot in best)
        plot = cost_plot(f"cost-{name}", f"Score by {words}", said, dots, written)
        drawn.append(Costs(words, plot, lines))
    return tuple(drawn)


def profiles(agents: Mapping[str, Sequence[Sequence[float]]]) -> Profiles | None:
    """Draw the part of the runs above each score, for as many agents as there are styles.

    Args:
        agents: The scores of the runs on each task, the best agent first; all on the same tasks.
    """
    shown = list(agents.items())[:_STYLES]
    if not shown:
        return None
    fine = np.round(np.linspace(0.0, 1.1, 221), 3)
    drawn = [
        Profile(name, tuple(zip(fine.tolist(), profile(tasks, fine).tolist(), strict=True)),
                f"style{style}")
        for style, (name, tasks) in enumerate(shown)
    ]  # fmt: skip
    rows = tuple(
        (name, tuple(f"{part:.2f}" for part in profile(tasks, _THRESHOLDS)))
        for name, tasks in shown
    )
    said = "; ".join(f"{name}: {parts[1]} above 0.5, {parts[3]} above 0.9" for name, parts in rows)
    plot = profile_plot("profile", "Part of the runs above each score", said, drawn)
    legend = tuple((style, name) for style, (name, _) in enumerate(shown))
    return Profiles(plot, legend, _THRESHOLDS, rows)


def curves(rows: Sequence[Row]) -> tuple[Curves, ...]:
    """Draw the learning curves of a task, one plot for each quantity that an agent logged."""
    names = sorted({
        name
        for row in rows
        for name, runs in row.result.curves.items()
        if any(len(points) > 1 for points in runs)  # one point is a number, not a curve
    })  # fmt: skip
    shown = [(name, "samples") for name in names if name != _TIME]
    if _TIME in names:
        shown += [(name, _TIME) for name in names if name == "return"]
    drawn = (_curves(number, name, over, rows) for number, (name, over) in enumerate(shown))
    return tuple(curve for curve in drawn if curve is not None)


def _points(row: Row, name: str, over: str) -> list[tuple[tuple[float, float], ...]]:
    """Return the curve of each run, over samples or over what was logged beside it."""
    runs = row.result.curves.get(name, ())
    if over == "samples":
        return [tuple((float(x), float(y)) for x, y in points) for points in runs]
    beside = row.result.curves.get(over, ())
    times = [{x: float(y) for x, y in points} for points in beside] or [{} for _ in runs]
    return [
        tuple((at[x], float(y)) for x, y in points if x in at)
        for points, at in zip(runs, times, strict=False)
    ]


def _curves(number: int, name: str, over: str, rows: Sequence[Row]) -> Curves | None:
    lines: list[Line] = []
    ends: list[tuple[str, int, str, str]] = []
    legend: list[tuple[int, str]] = []
    for row in (row for row in rows if any(_points(row, name, over))):
        style = len(legend) % _STYLES
        legend.append((style, row.agent))
        for run, pairs in enumerate(_points(row, name, over), start=1):
            lines.append(Line(pairs, style, f"{row.agent}, run {run}"))
            if pairs:
                last = pairs[-1]
                at = f"{last[0]:,.0f}" if over == "samples" else plain(last[0])
                ends.append((row.agent, run, at, plain(last[1])))
    if not lines:
        return None
    said = "; ".join(f"{agent} run {run} ends at {value}" for agent, run, _, value in ends)
    unit = "samples" if over == "samples" else "CPU seconds of one run"
    plot = curve_plot(f"curve-{number}", f"Learning curves: {name} by {unit}", said, lines, unit)
    return Curves(name, unit, plot, tuple(legend), tuple(ends))


def details(rows: Sequence[Row]) -> tuple[Details, ...]:
    """Return the further figures that have parts, such as the accuracy in each session."""
    found: dict[tuple[str, tuple[str, ...]], list[tuple[str, tuple[Interval, ...]]]] = {}
    for row in rows:
        for name, seeds in row.result.stages["test"].extra.items():
            if is_parts(seeds, len(row.result.seeds)):
                parts = in_order(seeds[0])
                means = tuple(interval([seed[part] for seed in seeds]) for part in parts)
                found.setdefault((name, parts), []).append((row.agent, means))
    return tuple(
        Details(name, parts, tuple(lines), behaviour(f"detail-{number}", name, parts, lines))
        for number, ((name, parts), lines) in enumerate(found.items())
    )


def _track(row: Row, stage: str) -> tuple[Mark, ...]:
    mean = row.scores[stage]
    seeds = zip(row.result.seeds, row.result.stages[stage].score, strict=True)
    runs = [
        Mark(value, "seed", stage, f"{row.agent}, {stage}, seed {seed}: {plain(value, 3)}")
        for seed, value in seeds
    ]
    title = f"{row.agent}, {stage}: {text(mean)}"
    return (*runs, Mark(mean.mean, "mean", stage, title, mean.low, mean.high))
