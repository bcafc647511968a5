"""Plots of learning curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from leaderboard.numbers import count
from leaderboard.svg import frame, line_of_text

__all__ = ["Line", "curve_plot", "ticks_of"]


@dataclass(frozen=True)
class Line:
    """One learning curve: pairs of samples and value, and the number of its agent's style."""

    points: tuple[tuple[float, float], ...]
    style: int
    title: str


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
    right, ticks = max(xs) or 1.0, ticks_of(min(ys), max(ys))
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
        f"{line_of_text('tick', '11%', 230, '0', 'middle')}"
        f"{line_of_text('tick', '97%', 230, f'{count(right)} {unit}', 'end')}"
    )
    return frame(key, title, description, body, 240)


def _path(line: Line, right: float, level: Callable[[float], float]) -> str:
    if not line.points:
        return ""
    points = " ".join(f"{100.0 * x / right:.2f},{level(y):.2f}" for x, y in line.points)
    return (
        f'<polyline class="curve style{line.style}" points="{points}">'
        f"<title>{escape(line.title)}</title></polyline>"
    )


def ticks_of(low: float, high: float) -> list[float]:
    """Return three to six round numbers that span an interval."""
    width = (high - low) or abs(high) or 1.0
    rough = width / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(step * n, 10) for n in range(first, last + 1)]
