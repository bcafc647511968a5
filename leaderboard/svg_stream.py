"""Plots of streams: the accuracy matrix, and the course over experiences."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from leaderboard.svg import frame, line_of_text
from leaderboard.svg_learning import ticks_of

__all__ = ["Course", "course_plot", "matrix_plot"]

_STRONG = 0.665  # where black and white text stand out equally on a matrix cell
_LONGEST, _LARGEST, _SMALLEST = 320, 44, 1  # pixels of a matrix' side and of a cell's
_LEFT, _TOP = 40, 34  # pixels
_ROOM = 26  # pixels that a cell needs for its text
_LABEL = 16  # pixels that a label needs
_GAP = 6  # pixels from which on cells are set apart


@dataclass(frozen=True)
class Course:
    """How one agent fares.

    Attributes:
        name: The agent.
        points: After each experience mean, lower and upper end of the interval.
        style: Class of the style sheet: "style0" ..., "other", "reference".
    """

    name: str
    points: tuple[tuple[float, float, float], ...]
    style: str


def matrix_plot(
    key: str,
    title: str,
    description: str,
    matrix: Sequence[Sequence[float]],
    written: Sequence[Sequence[str]],
) -> str:
    """Draw a matrix: rows are what was learned last, columns what was tested.

    Args:
        key: Distinguishes this plot's ids.
        title: What it shows.
        description: The same for who cannot see it.
        matrix: Parts of the ceiling from 0 to 1, (E, G): how dark a cell is.
        written: What stands in a cell that has room for it, (E, G).
    """
    rows, columns = len(matrix), len(matrix[0])
    height, width = (max(_SMALLEST, min(_LARGEST, _LONGEST / n)) for n in (rows, columns))
    cells = [
        _cell(value, text, (_LEFT + width * j, _TOP + height * i), (width, height))
        for i, (line, words) in enumerate(zip(matrix, written, strict=True))
        for j, (value, text) in enumerate(zip(line, words, strict=True))
    ]
    cells += [
        line_of_text("tick", _LEFT - 8, _TOP + height * (i + 0.5) + 4, str(i + 1), "end")
        for i in range(0, rows, max(1, math.ceil(_LABEL / height)))
    ]
    cells += [
        line_of_text("tick", _LEFT + width * (j + 0.5), _TOP - 6, str(j + 1), "middle")
        for j in range(0, columns, max(1, math.ceil(_LABEL / width)))
    ]
    middle = _TOP + height * rows / 2
    cells.append(line_of_text("axis", _LEFT, 12, "tested on group"))
    cells.append(
        f'<text class="axis" transform="translate(11 {middle:g}) rotate(-90)" '
        'text-anchor="middle">after experience</text>'
    )
    whole = max(_LEFT + width * columns + 8, 200), max(_TOP + height * rows + 8, 150)
    return frame(key, title, description, "".join(cells), whole[1], whole[0])


def _cell(value: float, text: str, at: tuple[float, float], side: tuple[float, float]) -> str:
    part, (x, y), (width, height) = min(max(value, 0.0), 1.0), at, side
    gap = 1 if min(side) >= _GAP else 0
    rect = (
        f'<rect class="cell" x="{x:g}" y="{y:g}" width="{width - gap:g}" '
        f'height="{height - gap:g}" fill-opacity="{0.04 + 0.96 * part:.3f}"/>'
    )
    if min(side) < _ROOM:
        return rect
    tone = "strong" if part > _STRONG else "faint"
    return (
        f'{rect}<text class="cell-{tone}" x="{x + width / 2:g}" y="{y + height / 2 + 4:g}" '
        f'text-anchor="middle">{escape(text)}</text>'
    )


def course_plot(
    key: str,
    title: str,
    description: str,
    courses: Sequence[Course],
    anchors: tuple[float, float],
) -> str:
    """Draw how agents fare from experience to experience, with chance and ceiling.

    Args:
        key: Distinguishes this plot's ids.
        title: What it shows.
        description: The same for who cannot see it.
        courses: The best agent first; it is drawn last, above the others.
        anchors: Chance and ceiling.
    """
    values = [point[0] for course in courses for point in course.points] + [*anchors]
    ticks = ticks_of(min(values), max(values))
    low, high = min(ticks[0], *values), max(ticks[-1], *values)
    last = max(2, *(len(course.points) for course in courses))

    def place(experience: int, y: float) -> str:
        inside = min(max(y, low), high)  # an interval may leave the scale, such as below 0
        return f"{100.0 * experience / (last - 1):.2f},{100.0 * (high - inside) / (high - low):.2f}"

    def level(y: float) -> str:
        return f"{100.0 * (high - y) / (high - low):.2f}%"

    grid = [
        f'<line class="grid" x1="0" x2="100%" y1="{level(y)}" y2="{level(y)}"/>'
        f'<text class="tick" x="-6" y="{level(y)}" dy="4" text-anchor="end">{y:g}</text>'
        for y in ticks
    ]
    named = tuple(zip(("chance", "ceiling"), anchors, strict=True))
    grid += [
        f'<line class="{name}" x1="0" x2="100%" y1="{level(y)}" y2="{level(y)}"/>'
        for name, y in named
    ]
    labels = [
        f'<text class="{name}" x="100%" y="{level(y)}" dy="-4" text-anchor="end">{name}</text>'
        for name, y in named
    ]
    drawn = "".join(_course(course, place) for course in reversed(courses))
    body = (
        '<svg x="11%" y="18" width="86%" height="260" overflow="visible">'
        f'{"".join(grid)}<svg width="100%" height="100%" viewBox="0 0 100 100" '
        f'preserveAspectRatio="none" overflow="visible">{drawn}</svg>{"".join(labels)}</svg>'
        f"{line_of_text('tick', '11%', 298, 'after experience 1', 'start')}"
        f"{line_of_text('tick', '97%', 298, str(last), 'end')}"
    )
    return frame(key, title, description, body, 308)


def _course(course: Course, place: Callable[[int, float], str]) -> str:
    mean = " ".join(place(n, y) for n, (y, _, _) in enumerate(course.points))
    upper = [place(n, high) for n, (_, _, high) in enumerate(course.points)]
    lower = [place(n, low) for n, (_, low, _) in enumerate(course.points)]
    band = f'<polygon class="band {course.style}" points="{" ".join(upper + lower[::-1])}"/>'
    return (
        f"{band if course.style.startswith('style') else ''}"
        f'<polyline class="curve {course.style}" points="{mean}">'
        f"<title>{escape(course.name)}</title></polyline>"
    )
