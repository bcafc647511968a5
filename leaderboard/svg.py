"""Plots: pure functions from data to inline SVG.

Lengths along x are percentages and lengths along y are pixels, so that a plot fills a wide page and
a phone alike and its text keeps its size. Colours come from the page's style sheet through classes;
shape says the same as colour. Every plot has a title and a description, and stands beside a table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from leaderboard.numbers import count

__all__ = ["Lane", "Line", "Mark", "curve_plot", "matrix_plot", "position", "score_plot", "span"]

LOWEST, HIGHEST = -1.0, 2.0  # scores beyond are drawn as arrows at the edge
MARGIN = 3.0  # per cent of the width on either side of the scale
_HEAD, _LABEL, _TRACK, _GAP, _FOOT = 44, 20, 18, 12, 26  # pixels
_CLOSE = 0.55  # anchors nearer than this part of the width get labels on two lines
_STRONG = 0.665  # where black and white text stand out equally on a matrix cell

Kind = Literal["seed", "mean", "agent", "best"]


@dataclass(frozen=True)
class Mark:
    """One symbol on a track.

    Attributes:
        value: The score.
        kind: A single run, a mean with its interval, an agent's mean, or the best agent's.
        stage: "test" is drawn as a circle, any other stage as a diamond.
        title: What a pointer that rests on it reads.
        low: Lower end of the interval.
        high: Upper end; no interval is drawn where the ends meet.
    """

    value: float
    kind: Kind
    stage: str
    title: str
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True)
class Lane:
    """A label, a note at the right, and one or more tracks of marks below."""

    label: str
    note: str
    tracks: tuple[tuple[Mark, ...], ...]


@dataclass(frozen=True)
class Line:
    """One learning curve: pairs of samples and value, and the number of its agent's style."""

    points: tuple[tuple[float, float], ...]
    style: int
    title: str


def span(values: Iterable[float]) -> tuple[float, float]:
    """Return the ends of a scale that holds chance, ceiling and all values within reason."""
    held = [min(max(value, LOWEST), HIGHEST) for value in values]
    return min([-0.04, *held]) - 0.02, max([1.04, *held]) + 0.02


def position(value: float, ends: tuple[float, float]) -> float:
    """Return where a value stands, in per cent of the width; values beyond stand at the edge."""
    low, high = ends
    part = (min(max(value, low), high) - low) / (high - low)
    return round(MARGIN + (100.0 - 2.0 * MARGIN) * part, 3)


def score_plot(
    key: str,
    title: str,
    description: str,
    lanes: Sequence[Lane],
    anchors: tuple[str, str] = ("chance", "ceiling"),
) -> str:
    """Draw scores from chance to ceiling, one lane for each agent or task.

    Args:
        key: Distinguishes this plot's ids from those of other plots of the page.
        title: What it shows, in a few words.
        description: The same for who cannot see it.
        lanes: From top to bottom.
        anchors: What is written at 0 and at 1.
    """
    marks = [mark for lane in lanes for track in lane.tracks for mark in track]
    ends = span(v for m in marks for v in (m.value, *((m.low, m.high) if m.high > m.low else ())))
    heights = [_LABEL + _TRACK * len(lane.tracks) + _GAP for lane in lanes]
    bottom = _HEAD + sum(heights)
    tops = [_HEAD + sum(heights[:number]) for number in range(len(lanes))]
    placed = list(zip(lanes, tops, strict=True))
    layers = (
        _scale(ends, bottom),
        *(_tracks(lane, top) for lane, top in placed),
        _anchors(ends, bottom, anchors),
        *(_lane(lane, top, ends) for lane, top in placed),
    )
    return _frame(key, title, description, "".join(layers), bottom + _FOOT)


def matrix_plot(key: str, title: str, description: str, matrix: Sequence[Sequence[float]]) -> str:
    """Draw an accuracy matrix: rows are what was learned last, columns what was tested.

    Args:
        key: Distinguishes this plot's ids.
        title: What it shows.
        description: The same for who cannot see it.
        matrix: Accuracies from 0 to 1, (E, G).
    """
    rows, columns = len(matrix), len(matrix[0])
    side = max(8, min(44, 320 // max(rows, columns)))
    cells = [
        _cell(value, 40 + side * j, 34 + side * i, side)
        for i, row in enumerate(matrix)
        for j, value in enumerate(row)
    ]
    step = max(1, math.ceil(16 / side))  # leave out labels that would touch
    cells += [
        _text("tick", 32, 34 + side * (i + 0.5) + 4, str(i + 1), "end")
        for i in range(0, rows, step)
    ]
    cells += [
        _text("tick", 40 + side * (j + 0.5), 28, str(j + 1), "middle")
        for j in range(0, columns, step)
    ]
    width, height = max(40 + side * columns + 8, 200), 34 + side * rows + 8
    middle = 34 + side * rows / 2
    cells.append(_text("axis", 40, 12, "tested on group"))
    cells.append(
        f'<text class="axis" transform="translate(11 {middle:g}) rotate(-90)" '
        'text-anchor="middle">after experience</text>'
    )
    return _frame(key, title, description, "".join(cells), height, width)


def curve_plot(
    key: str, title: str, description: str, lines: Sequence[Line], unit: str = "samples"
) -> str:
    """Draw learning curves, one thin line for each run.

    Args:
        key: Distinguishes this plot's ids.
        title: What it shows.
        description: The same for who cannot see it.
        lines: The curves; at least one has a point.
        unit: What is counted along x.
    """
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    right, ticks = max(*xs, 1.0), _ticks(min(ys), max(ys))
    low, high = min(ticks[0], *ys), max(ticks[-1], *ys)

    def level(y: float) -> float:
        return 100.0 * (high - y) / ((high - low) or 1.0)

    grid = [
        f'<line class="grid" x1="0" x2="100%" y1="{level(y):.2f}%" y2="{level(y):.2f}%"/>'
        f'<text class="tick" x="-6" y="{level(y):.2f}%" dy="4" text-anchor="end">{y:g}</text>'
        for y in ticks
    ]
    paths = "".join(_path(line, right, level) for line in lines)
    body = (
        '<svg x="11%" y="12" width="86%" height="200" overflow="visible">'
        f'{"".join(grid)}<svg width="100%" height="100%" viewBox="0 0 100 100" '
        f'preserveAspectRatio="none" overflow="visible">{paths}</svg></svg>'
        f"{_text('tick', '11%', 230, '0', 'middle')}"
        f"{_text('tick', '97%', 230, f'{count(right)} {unit}', 'end')}"
    )
    return _frame(key, title, description, body, 240)


def _frame(
    key: str, title: str, description: str, body: str, height: float, width: float | None = None
) -> str:
    """Return the outer element: as wide as the page, or of a fixed width that may shrink."""
    name = escape(key)
    size = 'width="100%"' if width is None else f'width="{width}" viewBox="0 0 {width} {height:g}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" role="img" {size} '
        f'height="{height:g}" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(description)}</desc>{body}</svg>'
    )


def _text(
    css: str, x: float | str, y: float, content: str, anchor: str = "start", shift: int = 0
) -> str:
    """Return a line of text; `x` may be a length in per cent, `shift` moves it by pixels."""
    place = x if isinstance(x, str) else f"{x:g}"
    move = f' dx="{shift}"' if shift else ""
    return (
        f'<text class="{css}" x="{place}" y="{y:g}"{move} text-anchor="{anchor}">'
        f"{escape(content)}</text>"
    )


def _scale(ends: tuple[float, float], bottom: int) -> str:
    step = 0.25 if ends[1] - ends[0] < 1.6 else 0.5  # noqa: PLR2004 - at most eight numbers
    first, last = math.ceil(ends[0] / step), math.floor(ends[1] / step)
    parts = []
    for value in (step * n for n in range(first, last + 1)):
        x = position(value, ends)
        parts.append(
            f'<line class="grid" x1="{x}%" x2="{x}%" y1="{_HEAD - 6}" y2="{bottom}"/>'
            f"{_text('tick', f'{x}%', bottom + 16, f'{value:g}', 'middle')}"
        )
    return "".join(parts)


def _anchors(ends: tuple[float, float], bottom: int, labels: tuple[str, str]) -> str:
    """Draw the two lines that a score stands between, with their names."""
    chance, ceiling = position(0.0, ends), position(1.0, ends)
    lift = 18 if ceiling - chance < 100.0 * _CLOSE else 0
    side = "end" if chance > 50.0 else "start"  # noqa: PLR2004 - the half with more room
    drawn = ((chance, labels[0], "chance", side, 0), (ceiling, labels[1], "ceiling", "end", lift))
    return "".join(
        f'<line class="{name}" x1="{x}%" x2="{x}%" y1="{_HEAD - 10 - up}" y2="{bottom}"/>'
        f"{_text(name, f'{x}%', _HEAD - 16 - up, label, at, 5 if at == 'start' else -5)}"
        for x, label, name, at, up in drawn
    )


def _level(top: int, number: int) -> int:
    """Return the height of a track of a lane."""
    return top + _LABEL + _TRACK * number + _TRACK // 2


def _tracks(lane: Lane, top: int) -> str:
    levels = [_level(top, number) for number in range(len(lane.tracks))]
    return "".join(f'<line class="track" x2="100%" y1="{y}" y2="{y}"/>' for y in levels)


def _lane(lane: Lane, top: int, ends: tuple[float, float]) -> str:
    """Draw a lane's text and marks, whiskers below symbols."""
    baseline = top + _LABEL - 6
    parts = [
        _text("label", 0, baseline, lane.label),
        _text("note", "100%", baseline, lane.note, "end"),
    ]
    for number, track in enumerate(lane.tracks):
        y = _level(top, number)
        parts += [_whisker(mark, y, ends) for mark in track if mark.high > mark.low]
        parts += [_mark(mark, y, ends) for mark in track]
    return "".join(parts)


def _mark(mark: Mark, y: int, ends: tuple[float, float]) -> str:
    """Draw a mark; one beyond the scale becomes an arrow at its edge."""
    stage = _stage(mark)
    size = {"seed": 3.0, "mean": 6.0, "agent": 4.5, "best": 6.5}[mark.kind]
    if not ends[0] <= mark.value <= ends[1]:
        way = 1 if mark.value > ends[1] else -1
        shape = f'<path d="M{7 * way} 0L{-3 * way} -6V6Z"/>'
    elif stage == "test":
        shape = f'<circle r="{size:g}"/>'
    else:
        reach = 1.25 * size
        shape = f'<path d="M0 {-reach:g}L{reach:g} 0L0 {reach:g}L{-reach:g} 0Z"/>'
    return (
        f'<svg class="{mark.kind} {stage}" x="{position(mark.value, ends)}%" y="{y}" '
        f'overflow="visible"><title>{escape(mark.title)}</title>{shape}</svg>'
    )


def _whisker(mark: Mark, y: int, ends: tuple[float, float]) -> str:
    low, high = (position(value, ends) for value in (mark.low, mark.high))
    return f'<line class="whisker {_stage(mark)}" x1="{low}%" x2="{high}%" y1="{y}" y2="{y}"/>'


def _stage(mark: Mark) -> str:
    return "test" if mark.stage == "test" else "shift"


def _cell(value: float, x: float, y: float, side: int) -> str:
    part = min(max(value, 0.0), 1.0)
    rect = (
        f'<rect class="cell" x="{x:g}" y="{y:g}" width="{side - 1}" height="{side - 1}" '
        f'fill-opacity="{0.04 + 0.96 * part:.3f}"/>'
    )
    if side < 26:  # noqa: PLR2004 - too small for text
        return rect
    tone = "strong" if part > _STRONG else "faint"
    return (
        f'{rect}<text class="cell-{tone}" x="{x + side / 2:g}" y="{y + side / 2 + 4:g}" '
        f'text-anchor="middle">{value:.2f}</text>'
    )


def _path(line: Line, right: float, level: Callable[[float], float]) -> str:
    if not line.points:
        return ""
    points = " ".join(f"{100.0 * x / right:.2f},{level(y):.2f}" for x, y in line.points)
    return (
        f'<polyline class="curve style{line.style}" points="{points}">'
        f"<title>{escape(line.title)}</title></polyline>"
    )


def _ticks(low: float, high: float) -> list[float]:
    """Return three to six round numbers that span an interval."""
    width = (high - low) or abs(high) or 1.0
    rough = width / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(step * n, 10) for n in range(first, last + 1)]
