"""Plots: pure functions from data to inline SVG.

Lengths along x are percentages and lengths along y are pixels, so that a plot fills a wide page and
a phone alike and its text keeps its size. Colours come from the page's style sheet through classes;
shape says the same as colour. Every plot has a title and a description, and stands beside a table.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

__all__ = ["Lane", "Mark", "frame", "line_of_text", "position", "score_plot", "span"]

LOWEST, HIGHEST = -1.0, 2.0  # scores beyond are drawn as arrows at the edge
MARGIN = 3.0  # per cent of the width on either side of the scale
_HEAD, _LABEL, _TRACK, _GAP, _FOOT = 44, 20, 18, 12, 26  # pixels
_CLOSE = 0.55  # anchors nearer than this part of the width get labels on two lines
_CROWDED = 32  # characters of both anchors' labels that still stand side by side on a phone
_LONGEST, _SHORT = 38, 30  # characters of a label: on a page, on a phone

Kind = Literal["seed", "mean", "agent", "best"]


@dataclass(frozen=True)
class Mark:
    """One symbol on a track.

    Attributes:
        value: The score.
        kind: A single run, a mean with its interval, an agent's mean, or the best agent's.
        stage: "test" is drawn as a circle, "private" as a square, any other as a diamond.
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
    """A label, a note at the right, and one or more tracks of marks below.

    `who` stands before the note where the page is wide enough.
    """

    label: str
    note: str
    tracks: tuple[tuple[Mark, ...], ...]
    who: str = ""


def span(values: Iterable[float], lowest: float = LOWEST) -> tuple[float, float]:
    """Return the ends of a scale that holds chance, ceiling and all values within reason."""
    held = [min(max(value, lowest), HIGHEST) for value in values]
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
    lowest: float = LOWEST,
) -> str:
    """Draw scores from chance to ceiling, one lane for each agent or task.

    Args:
        key: Distinguishes this plot's ids from those of other plots of the page.
        title: What it shows, in a few words.
        description: The same for who cannot see it.
        lanes: From top to bottom.
        anchors: What is written at 0 and at 1.
        lowest: Scores below are drawn as arrows.
    """
    marks = [mark for lane in lanes for track in lane.tracks for mark in track]
    values = (v for m in marks for v in (m.value, *((m.low, m.high) if m.high > m.low else ())))
    ends = span(values, lowest)
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
    return frame(key, title, description, "".join(layers), bottom + _FOOT)


def frame(
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


def line_of_text(
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
            f"{line_of_text('tick', f'{x}%', bottom + 16, f'{value:g}', 'middle')}"
        )
    return "".join(parts)


def _anchors(ends: tuple[float, float], bottom: int, labels: tuple[str, str]) -> str:
    """Draw the two lines that a score stands between, with their names."""
    chance, ceiling = position(0.0, ends), position(1.0, ends)
    crowded = ceiling - chance < 100.0 * _CLOSE or sum(map(len, labels)) > _CROWDED
    lift = 18 if crowded else 0
    side = "end" if chance > 50.0 else "start"  # noqa: PLR2004 - the half with more room
    drawn = ((chance, labels[0], "chance", side, 0), (ceiling, labels[1], "ceiling", "end", lift))
    return "".join(
        f'<line class="{name}" x1="{x}%" x2="{x}%" y1="{_HEAD - 10 - up}" y2="{bottom}"/>'
        f"{line_of_text(name, f'{x}%', _HEAD - 16 - up, label, at, 5 if at == 'start' else -5)}"
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
    note = escape(lane.note)
    who = f'<tspan class="who">{escape(_cut(lane.who))} \u00b7 </tspan>' if lane.who else ""
    parts = [
        f'<text class="label" x="0" y="{baseline}">{_label(lane.label)}</text>',
        f'<text class="note" x="100%" y="{baseline}" text-anchor="end">{who}{note}</text>',
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
    elif stage == "private":
        half = 0.9 * size
        shape = f'<path d="M{-half:g} {-half:g}H{half:g}V{half:g}H{-half:g}Z"/>'
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


def _cut(name: str) -> str:
    """Return a name short enough for a label; the table has it whole."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}\u2026"


def _label(name: str) -> str:
    """Return a label of which a phone shows less: beside it stands a number."""
    cut = _cut(name)
    if len(cut) <= _SHORT:
        return escape(cut)
    first, rest = escape(cut[: _SHORT - 1]), escape(cut[_SHORT - 1 :])
    return f'{first}<tspan class="wide">{rest}</tspan><tspan class="narrow">\u2026</tspan>'


def _stage(mark: Mark) -> str:
    return mark.stage if mark.stage in ("test", "private") else "shift"
