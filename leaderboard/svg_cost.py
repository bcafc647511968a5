"""Plots of score against cost, and of performance profiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from leaderboard.numbers import duration
from leaderboard.svg import HIGHEST, LOWEST, frame, line_of_text
from leaderboard.svg_learning import ticks_of

__all__ = ["Dot", "Profile", "cost_plot", "profile_plot"]

_LEFT, _WIDTH, _TOP, _HEIGHT = 9.0, 86.0, 14, 220  # per cent along x, pixels along y
_LABELS, _LONGEST = 7, 22  # names at most, and characters of one
_BESIDE, _CHARACTER = 10, 6.8  # pixels from a dot to its name, and of a character
_NARROW = 340  # pixels of a plot on a phone
_WORD = 14.0  # per cent that the name of chance or ceiling takes
_APART = 15.0  # per cent between two costs below the axis
_TIMES = (60, 180, 600, 1800, 3600, 10_800, 36_000, 108_000, 360_000, 1_080_000, 3_600_000)


@dataclass(frozen=True)
class Dot:
    """One agent: what it costs, what it earns, and whether no other is better and cheaper."""

    name: str
    cost: float
    score: float
    front: bool


@dataclass(frozen=True)
class Profile:
    """The part of an agent's runs above each threshold, and the class of its line."""

    name: str
    points: tuple[tuple[float, float], ...]
    style: str


def cost_plot(
    key: str, title: str, description: str, dots: Sequence[Dot], written: Callable[[float], str]
) -> str:
    """Draw score against cost on a logarithmic axis; a line joins those that nobody beats.

    Args:
        key: Distinguishes this plot's ids.
        title: What it shows.
        description: The same for who cannot see it.
        dots: At least one; every cost is above 0.
        written: How a cost is written below the axis.
    """
    first = math.floor(math.log10(min(dot.cost for dot in dots)) - 0.05)
    last = max(math.ceil(math.log10(max(dot.cost for dot in dots)) + 0.05), first + 1)
    level = _levels([dot.score for dot in dots])

    def place(cost: float) -> float:
        return round(_LEFT + _WIDTH * (math.log10(cost) - first) / (last - first), 2)

    grid = [
        f'<line class="grid" x1="{place(cost)}%" x2="{place(cost)}%" y1="{_TOP}" '
        f'y2="{_TOP + _HEIGHT}"/>'
        + line_of_text("tick", f"{place(cost)}%", _TOP + _HEIGHT + 17,
                       written(cost).replace(".0 ", " "), "middle")
        for cost in _round_costs(first, last, place, times=written is duration)
    ]  # fmt: skip
    front = _front(dots, place, level)
    drawn = [
        f'<line class="front" x1="{step.left}%" x2="{step.right}%" y1="{step.top}" '
        f'y2="{step.bottom}"/>'
        for step in front
    ]
    drawn += [
        f'<circle class="{"best" if dot.front else "agent"} test" cx="{place(dot.cost)}%" '
        f'cy="{level(dot.score):.1f}" r="{6 if dot.front else 4}">'
        f"<title>{escape(dot.name)}: {dot.score:.3g}, {escape(written(dot.cost))}</title></circle>"
        for dot in sorted(dots, key=lambda dot: dot.front)
    ]
    body = "".join(
        [*_horizontal(place, level, dots), *grid, *drawn, *_labels(dots, place, level, front)]
    )
    return frame(key, title, description, body, _TOP + _HEIGHT + 26)


def profile_plot(key: str, title: str, description: str, profiles: Sequence[Profile]) -> str:
    """Draw which part of the runs of each agent lies above each threshold.

    Args:
        key: Distinguishes this plot's ids.
        title: What it shows.
        description: The same for who cannot see it.
        profiles: Points of threshold and part; all have the same thresholds.
    """
    xs = [x for profile in profiles for x, _ in profile.points]
    low, high = min(xs), max(xs)

    def place(x: float) -> float:
        return round(100.0 * (x - low) / (high - low), 2)

    ticks = [x for x in ticks_of(low, high) if low <= x <= high]
    grid = [
        f'<line class="grid" x1="0" x2="100%" y1="{100 - 25 * n}%" y2="{100 - 25 * n}%"/>'
        f'<text class="tick" x="-6" y="{100 - 25 * n}%" dy="4" text-anchor="end">{n / 4:g}</text>'
        for n in range(5)
    ]
    grid += [
        f'<line class="{"ceiling" if x == 1 else "grid"}" x1="{place(x)}%" x2="{place(x)}%" '
        f'y1="0" y2="100%"/>'
        f'<text class="tick" x="{place(x)}%" y="100%" dy="17" text-anchor="middle">{x:g}</text>'
        for x in ticks
    ]
    lines = "".join(
        f'<polyline class="curve {profile.style}" points="'
        + " ".join(f"{place(x):g},{100 - 100 * y:.2f}" for x, y in profile.points)
        + f'"><title>{escape(profile.name)}</title></polyline>'
        for profile in reversed(profiles)
    )
    body = (
        f'<svg x="{_LEFT}%" y="{_TOP}" width="{_WIDTH}%" height="{_HEIGHT}" overflow="visible">'
        f'{"".join(grid)}<svg width="100%" height="100%" viewBox="0 0 100 100" '
        f'preserveAspectRatio="none" overflow="visible">{lines}</svg></svg>'
        + line_of_text("axis", f"{_LEFT + _WIDTH / 2}%", _TOP + _HEIGHT + 36, "score", "middle")
    )
    return frame(key, title, description, body, _TOP + _HEIGHT + 44)


def _round_costs(
    first: int, last: int, place: Callable[[float], float], *, times: bool
) -> list[float]:
    """Return the costs that are named: powers of ten; of times, round minutes and hours too."""
    costs = [10.0**n for n in range(first, last + 1)]
    if times:
        later = [time for time in _TIMES if 10.0**first <= time <= 10.0**last]
        costs = [cost for cost in costs if cost < _TIMES[0]] + [float(time) for time in later]
    named: list[float] = []
    for cost in costs:
        if not named or place(cost) - place(named[-1]) >= _APART:
            named.append(cost)
    return named


def _levels(scores: Sequence[float]) -> Callable[[float], float]:
    """Return the function from a score to its height in pixels; what lies far out is cut."""
    held = [min(max(score, LOWEST), HIGHEST) for score in scores]
    low, high = min([0.0, *held]) - 0.03, max([1.0, *held]) + 0.06

    def level(score: float) -> float:
        part = (high - min(max(score, low), high)) / (high - low)
        return round(_TOP + _HEIGHT * part, 1)

    return level


def _horizontal(
    place: Callable[[float], float], level: Callable[[float], float], dots: Sequence[Dot]
) -> list[str]:
    """Draw the scores that are named; chance and ceiling where fewer dots are in the way."""
    low = max(min(dot.score for dot in dots), LOWEST)
    high = min(max(dot.score for dot in dots), HIGHEST)
    ends = min(0.0, low) - 0.02, max(1.0, high) + 0.02
    ticks = [y for y in ticks_of(*ends) if ends[0] <= y <= ends[1]]
    lines = [
        f'<line class="{_NAMES.get(y, "grid")}" x1="{_LEFT}%" x2="{_LEFT + _WIDTH}%" '
        f'y1="{level(y)}" y2="{level(y)}"/>'
        + line_of_text("tick", f"{_LEFT - 1}%", level(y) + 4, f"{y:g}", "end")
        for y in ticks
    ]
    lines += [
        line_of_text(name, f"{_LEFT}%", level(y) - 5, name, "start", 4)
        if word.left == _LEFT
        else line_of_text(name, f"{_LEFT + _WIDTH}%", level(y) - 5, name, "end")
        for (y, name), word in zip(_NAMES.items(), _words(place, level, dots), strict=True)
    ]
    return lines


_NAMES = {0.0: "chance", 1.0: "ceiling"}


def _front(
    dots: Sequence[Dot], place: Callable[[float], float], level: Callable[[float], float]
) -> list[_Box]:
    """Return the staircase through the agents that nobody beats, line by line."""
    front = sorted((dot for dot in dots if dot.front), key=lambda dot: (dot.cost, dot.score))
    steps = []
    for one, two in pairwise(front):
        x, y, top = place(two.cost), level(one.score), level(two.score)
        steps += [_Box(place(one.cost), x, y, y), _Box(x, x, top, y)]
    return steps


def _labels(
    dots: Sequence[Dot],
    place: Callable[[float], float],
    level: Callable[[float], float],
    front: Sequence[_Box],
) -> list[str]:
    """Name the best of those that nobody beats, where a name touches nothing else."""
    taken = [*_words(place, level, dots), *front, *_symbols(place, level, dots)]
    drawn: list[str] = []
    for dot in sorted((dot for dot in dots if dot.front), key=lambda dot: -dot.score):
        x, y = place(dot.cost), level(dot.score)
        name = dot.name if len(dot.name) <= _LONGEST else f"{dot.name[: _LONGEST - 1]}\u2026"
        sides = ("end", "start") if x > _LEFT + _WIDTH / 2 else ("start", "end")
        for side, lift in ((side, lift) for lift in (16, -8) for side in sides):
            box = _box(x, y + lift, name, side)
            if len(drawn) < _LABELS and box.left >= 0 and box.right <= 100 and box.free(taken):  # noqa: PLR2004 - per cent
                taken.append(box)
                shift = -_BESIDE if side == "end" else _BESIDE
                drawn.append(line_of_text("name", f"{x}%", y + lift, name, side, shift))
                break
    return drawn


def _words(
    place: Callable[[float], float], level: Callable[[float], float], dots: Sequence[Dot]
) -> list[_Box]:
    """Return the room of the names of chance and ceiling: at the right, or else at the left."""
    symbols, end = _symbols(place, level, dots), _LEFT + _WIDTH
    words = []
    for y in _NAMES:
        left, right = (
            _Box(start, start + _WORD, level(y) - 17, level(y) - 4)
            for start in (_LEFT, end - _WORD)
        )
        words.append(left if left.hit(symbols) < right.hit(symbols) else right)
    return words


def _symbols(
    place: Callable[[float], float], level: Callable[[float], float], dots: Sequence[Dot]
) -> list[_Box]:
    points = [(place(dot.cost), level(dot.score)) for dot in dots]
    return [_Box(x - 1.5, x + 1.5, y - 5, y + 5) for x, y in points]


@dataclass(frozen=True)
class _Box:
    """The room of a symbol or a name: per cent along x, pixels along y."""

    left: float
    right: float
    top: float
    bottom: float

    def free(self, others: Sequence[_Box]) -> bool:
        """Return whether it touches none of the others."""
        return self.hit(others) == 0

    def hit(self, others: Sequence[_Box]) -> int:
        """Return how many of the others it touches."""
        return sum(
            self.left < other.right and other.left < self.right
            and self.top < other.bottom and other.top < self.bottom
            for other in others
        )  # fmt: skip


def _box(x: float, baseline: float, name: str, side: str) -> _Box:
    """Return the room of a name beside a dot, on a plot as narrow as a phone's."""
    far = 100 * (_BESIDE + _CHARACTER * len(name)) / _NARROW
    near = 100 * _BESIDE / _NARROW
    ends = (x - far, x - near) if side == "end" else (x + near, x + far)
    return _Box(*ends, baseline - 11, baseline + 3)
