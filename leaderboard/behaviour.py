"""Plots of behaviour: how answers change with the stimulus, agent beside ideal observer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from leaderboard.svg import frame, line_of_text
from leaderboard.svg_learning import ticks_of
from neurotasks.analysis import fit_chronometric, fit_psychometric
from neurotasks.scores import Interval

__all__ = ["Behaviour", "behaviour", "in_order"]

_STYLES = 6  # colours and dashes of curves in the style sheet
_POINTS = 121  # of a fitted curve
_TRIALS = 1000  # that each level counts for in a fit: results tell no numbers
_FLAT = 0.02  # what changes less with the stimulus is not fitted
_CHARACTER = 2.2  # per cent of a phone's width, with what stands between names
_DODGE = 0.06  # between the points of neighbouring agents, where conditions are one apart
_STRENGTH = "signed strength of the stimulus"
_UNITS = {
    "psychometric": "probability of the positive answer",
    "chronometric": "mean number of steps until the answer",
    "weight of an earlier choice": "log odds",
    "weight of an earlier reward": "log odds",
}
_TOP, _HEIGHT, _FOOT = 32, 200, 232  # pixels
_ROWS = 3  # of names of conditions below each other; levels stand in one
Fitted = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Behaviour:
    """A plot of behaviour.

    Attributes:
        plot: The SVG.
        legend: Style and agent of each series.
        names: The parameters of the fitted functions; empty where nothing is fitted.
        said: What they mean.
        fits: For each agent their values.
    """

    plot: str
    legend: tuple[tuple[int, str], ...]
    names: tuple[str, ...]
    said: str
    fits: tuple[tuple[str, tuple[float, ...]], ...]


def in_order(parts: Iterable[str]) -> tuple[str, ...]:
    """Return the parts of a figure, levels of a stimulus from the lowest to the highest."""
    names = tuple(parts)
    return names if _levels(names) is None else tuple(sorted(names, key=float))


def behaviour(
    key: str,
    name: str,
    parts: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Interval]]],
) -> Behaviour | None:
    """Draw a figure part by part: points for means, whiskers for intervals, lines for fits.

    Args:
        key: Distinguishes this plot's ids.
        name: What it is; what begins with "psychometric" or "chronometric" is fitted.
        parts: Levels of a stimulus (numbers), or names of conditions.
        rows: Each agent with its mean in each part.

    Returns:
        None where the parts are no levels and too many for a plot.
    """
    levels = _levels(parts)
    if levels is None and len(parts) > 8:  # noqa: PLR2004 - more names would run into each other
        return None
    x = np.arange(float(len(parts))) if levels is None else levels
    low, high = 0.0, 1.0
    kind = name.split(",", maxsplit=1)[0]
    if kind != "psychometric" and "probability" not in name:  # whose intervals end there
        low = min([low, *(value.low for _, means in rows for value in means)])
        high = max([high, *(value.high for _, means in rows for value in means)])
    room = 0.3 if levels is None else 0.0  # for agents side by side
    axes = _Axes(float(x.min()) - room, float(x.max()) + room, low, high)
    label = _STRENGTH if kind in _PARAMETERS else ""
    drawn = [axes.grid(parts, x, label, _UNITS.get(kind, ""))]
    legend, fits = [], []
    for number, (agent, means) in enumerate(rows):
        style = number % _STYLES
        legend.append((style, agent))
        values = np.array([value.mean for value in means])
        fit = None if levels is None else _fit(kind, x, values)
        if fit is not None:
            function, told = fit
            fits.append((agent, tuple(told.values())))
            fine = np.linspace(x.min(), x.max(), _POINTS)
            drawn.append(axes.line(fine, function(fine), style, agent))
        elif levels is not None:
            drawn.append(axes.line(x, values, style, agent))
        aside = 0.0 if levels is not None else _DODGE * (number - (len(rows) - 1) / 2.0)
        drawn += [
            axes.point(place + aside, value, style, f"{agent}, {part}: {value.mean:.3g}")
            for place, value, part in zip(x, means, parts, strict=True)
        ]
    said = "; ".join(
        f"{agent}: " + ", ".join(f"{p} {v.mean:.2f}" for p, v in zip(parts, means, strict=True))
        for agent, means in rows
    )
    plot = frame(key, name.capitalize(), said, "".join(drawn), _FOOT + 50)
    names = _PARAMETERS[kind] if fits else ()
    return Behaviour(plot, tuple(legend), names, _MEANING.get(kind, ""), tuple(fits))


_PARAMETERS = {
    "psychometric": ("bias", "threshold", "lapse"),
    "chronometric": ("sensitivity", "bound", "residual"),
}
_MEANING = {
    "psychometric": "lapse / 2 + (1 \u2212 lapse) \u03a6((strength \u2212 bias) / threshold)",
    "chronometric": "diffusion to a bound, with the drift for each unit of strength "
    "(sensitivity), the bound, and the steps not spent on deciding (residual)",
}


def _fit(
    name: str, x: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[Fitted, dict[str, float]] | None:
    """Return the fitted function and its parameters, where there is one of that name."""
    count = np.full(len(x), _TRIALS)
    if name not in _PARAMETERS or len(x) < 3 or np.ptp(values) < _FLAT:  # noqa: PLR2004 - too few
        return None
    fit = fit_psychometric if name == "psychometric" else fit_chronometric
    function = fit(x, np.clip(values, 0.0, 1.0) if name == "psychometric" else values, count)
    return function, {part: float(getattr(function, part)) for part in _PARAMETERS[name]}


def _levels(parts: Sequence[str]) -> NDArray[np.float64] | None:
    """Return the parts as numbers, or None where any is none."""
    try:
        levels = [float(part) for part in parts]
    except ValueError:
        return None
    if len({*levels}) < len(parts) or len(parts) < 2 or not all(map(math.isfinite, levels)):  # noqa: PLR2004
        return None
    return np.array(levels)


@dataclass(frozen=True)
class _Axes:
    """From numbers to per cent of the plot's inside."""

    left: float
    right: float
    low: float
    high: float

    def _x(self, value: float) -> float:
        return round(3.0 + 94.0 * (value - self.left) / ((self.right - self.left) or 1.0), 2)

    def _y(self, value: float) -> float:
        return round(100.0 * (self.high - value) / (self.high - self.low), 2)

    def grid(self, parts: Sequence[str], x: NDArray[np.float64], label: str, unit: str) -> str:
        """Draw the scale, and the name of each part that has room: zero, then the ends."""
        lines = [line_of_text("axis", 0, 12, unit)]
        lines += [
            f'<line class="grid" x1="8%" x2="98%" y1="{self._top(y):.2f}" y2="{self._top(y):.2f}"/>'
            + line_of_text("tick", "7%", self._top(y) + 4, f"{y:g}", "end")
            for y in ticks_of(self.low, self.high)
            if self.low <= y <= self.high
        ]
        rows: list[list[tuple[float, float]]] = [
            [] for _ in range(_ROWS if _levels(parts) is None else 1)
        ]
        places = zip(parts, x.tolist(), strict=True)
        for part, place in sorted(places, key=lambda pair: (pair[1] != 0, -abs(pair[1]))):
            half = _CHARACTER * len(part) / 2
            at = min(max(8.0 + 0.9 * self._x(place), half), 100.0 - half)
            for number, row in enumerate(rows):
                if all(at + half < left or right < at - half for left, right in row):
                    words, y = part.replace("-", "\u2212"), _FOOT + 16 + 14 * number
                    lines.append(line_of_text("tick", f"{at:.2f}%", y, words, "middle"))
                    row.append((at - half, at + half))
                    break
        return "".join(lines) + line_of_text("axis", "53%", _FOOT + 38, label, "middle")

    def line(self, x: NDArray[np.float64], y: NDArray[np.float64], style: int, title: str) -> str:
        """Draw a line through points."""
        points = " ".join(
            f"{self._x(float(a)):g},{self._y(float(b)):g}" for a, b in zip(x, y, strict=True)
        )
        return (
            f'<svg x="8%" y="{_TOP}" width="90%" height="{_HEIGHT}" viewBox="0 0 100 100" '
            'preserveAspectRatio="none" overflow="visible">'
            f'<polyline class="curve style{style}" points="{points}">'
            f"<title>{escape(title)}</title></polyline></svg>"
        )

    def point(self, x: float, value: Interval, style: int, title: str) -> str:
        """Draw a mean with its interval."""
        at = f"{8.0 + 0.9 * self._x(x):.2f}%"
        top, bottom, y = (
            self._top(min(max(v, self.low), self.high)) for v in (value.high, value.low, value.mean)
        )
        return (
            f'<line class="whisker style{style}" x1="{at}" x2="{at}" '
            f'y1="{top:.1f}" y2="{bottom:.1f}"/>'
            f'<circle class="point style{style}" cx="{at}" cy="{y:.1f}" r="3.5">'
            f"<title>{escape(title)}</title></circle>"
        )

    def _top(self, value: float) -> float:
        return _TOP + _HEIGHT * self._y(value) / 100.0
