"""A renderer of short films in which a hand turns a small object.

Everything is analytic. The signed distance of each pixel to the edge of a part gives smooth edges
at any size of the picture, and the place of the pixel within the part its shading. A film is
painted all at once, as arrays over the pixels of all its frames; its slow motion is drawn from
`Draw` with fixed seeds, so that the film of an object in a session is one fixed thing.

    film(item=42, session=3, frames=30)  # (30, 3, 32, 32) uint8
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neurotasks.props import OBJECTS, SESSIONS, Part, Pattern, Session
from neurotasks.rng import Draw

__all__ = ["film"]

Real: TypeAlias = NDArray[np.float64]

_NAME = "Films"  # of the generator's streams
_BLACK, _WHITE = 16.0, 235.0  # bytes of no light and of full light, as in video
_PANORAMA = 3  # sides of a picture that a background is wide and high
_PLAIN = Pattern()
_WAVES = 24  # waves that make a background's irregular pattern


class _Axes(NamedTuple):
    """A film of F frames and P pixels in all, seen from the axes of a thing that moves in it.

    Attributes:
        x: Place of each pixel, (P,), in halves of the thing's size.
        y: Likewise.
        pixel: Width of a pixel, (F,).
        turn: Angle of the thing in the picture, (F,).
        light: Angle from which the light comes in the picture.
    """

    x: Real
    y: Real
    pixel: Real
    turn: Real
    light: float


def film(item: int, session: int, frames: int, side: int = 32) -> NDArray[np.uint8]:
    """Return the film of an object in a session, without noise.

    Args:
        item: Number of the object, from 1 to 50.
        session: Number of the session, from 1 to 11.
        frames: How many frames, F; more of them show the same motion in finer steps.
        side: Width and height in pixels.

    Returns:
        (F, 3, side, side), read-only.

    Raises:
        ValueError: There is no such object or session.
    """
    if not 1 <= item <= len(OBJECTS) or not 1 <= session <= len(SESSIONS):
        raise ValueError(
            f"there is no film of object {item} in session {session}; objects are numbered from 1 "
            f"to {len(OBJECTS)}, sessions from 1 to {len(SESSIONS)}"
        )
    return _rendered(item, session, frames, side)


@lru_cache(maxsize=len(SESSIONS) * len(OBJECTS))
def _rendered(item: int, session: int, frames: int, side: int) -> NDArray[np.uint8]:
    """Paint a film; all films of one length and size are kept."""
    thing, taken = OBJECTS[item - 1], SESSIONS[session - 1]
    pan, sway, turn, near, tilt, slip = np.split(_motion(session, item, frames), (2, 4, 5, 6, 7))
    place = (0.16 * sway[0], 0.14 * sway[1] - 0.08)
    size, tilted = taken.size * (1 + 0.15 * near[0]), np.cos(0.95 * tilt[0])
    narrow = np.ones(frames) if thing.category == "ball" else tilted
    held = _axes(side, place, taken.lean + 0.5 * turn[0], size, narrow, taken.angle)
    grip = taken.grip - math.pi / 2 + 0.15 * slip[0]
    hand = _axes(side, place, grip, size, np.ones(frames), taken.angle)

    towards = Draw(_NAME, "train", session, item).uniform("towards", (2, 1), low=-1)[0]
    paint = _background(session, side, 0.7 * towards + 0.3 * pan) * _shadow(held)
    palm, *fingers = _hand(taken)
    _draw(paint, hand, palm)
    for part in thing.parts:
        _draw(paint, held, part, thing.pattern)
    for part in fingers:
        _draw(paint, hand, part)
    return _exposed(paint.reshape(frames, side, side, 3), taken)


def _motion(session: int, item: int, frames: int) -> Real:
    """Return eight slow motions between -1 and 1, (8, F)."""
    drawn = Draw(_NAME, "train", session, item).uniform("motion", (8, 4))[0]
    speed, phase = (0.4, 1.0) + (0.5, 1.0) * drawn[:, :2], drawn[:, 2:]
    time = (np.arange(frames) + 0.5) / frames
    waves = np.sin(2 * math.pi * (speed[:, :, None] * time + phase[:, :, None]))
    return 0.7 * waves[:, 0] + 0.3 * waves[:, 1]


def _axes(
    side: int, place: tuple[Real, Real], turn: Real, size: Real, narrow: Real, light: float
) -> _Axes:
    """Return the axes of a thing that is somewhere, turned, so large and so narrow, (F,) each."""
    pixels = (np.arange(side) + 0.5) * (2 / side) - 1
    dx = (pixels - place[0][:, None])[:, None, :]
    dy = (pixels - place[1][:, None])[:, :, None]
    cos, sin = ((f(turn) / size)[:, None, None] for f in (np.cos, np.sin))
    x = (cos * dx + sin * dy) / narrow[:, None, None]
    return _Axes(x.reshape(-1), (cos * dy - sin * dx).reshape(-1), 2 / side / size, turn, light)


@lru_cache(maxsize=len(SESSIONS))
def _panorama(session: int, side: int) -> Real:
    """Return all of a session's background, (wide, wide, 3)."""
    taken = SESSIONS[session - 1]
    place = (np.arange(_PANORAMA * side) + 0.5) * (2 / side) - _PANORAMA
    y, x = np.meshgrid(place, place, indexing="ij")
    drawn = Draw(_NAME, "train", session).uniform("grain", (_WAVES, 3))[0]
    grain = np.zeros_like(x)
    for u, v, w in 2 * drawn - 1:
        grain += np.cos(math.pi * (taken.grain[0] * u * x + taken.grain[1] * v * y + w))
    grain /= math.sqrt(_WAVES / 2)
    regular = np.cos(math.pi * taken.waves[0] * x) * np.cos(math.pi * taken.waves[1] * y)
    parts = zip(taken.mixture, (regular, grain, y / _PANORAMA), strict=True)
    field = sum(weight * part for weight, part in parts)
    first, second = np.array(taken.colours)
    return first + (second - first) * (0.5 + 0.5 * np.tanh(taken.sharpness * field))[:, :, None]


def _background(session: int, side: int, pan: Real) -> Real:
    """Return what the camera sees of the background as it pans, (P, 3)."""
    room = (_PANORAMA - 1) * side
    top, left = np.rint((pan + 1) * (room / 2)).astype(np.int64)
    views = np.lib.stride_tricks.sliding_window_view(_panorama(session, side), (side, side), (0, 1))
    return np.moveaxis(views[top, left], 1, -1).reshape(-1, 3)


def _shadow(axes: _Axes) -> Real:
    """Return how light the background is: an object shades what is away from the light, (P, 1)."""
    x, y = _toward_light(axes, 0.0)
    pixels = len(axes.x) // len(x)
    away = (axes.x + 0.45 * np.repeat(x, pixels)) ** 2 + (axes.y + 0.45 * np.repeat(y, pixels)) ** 2
    return (1 - 0.5 * np.exp(-1.2 * away))[:, None]


def _toward_light(axes: _Axes, turn: float) -> tuple[Real, Real]:
    """Return where the light comes from, on axes turned further, (F,) each."""
    angle = axes.light - axes.turn - turn
    return np.cos(angle), np.sin(angle)


def _hand(taken: Session) -> list[Part]:
    """Return palm, thumb and two fingers of a hand that comes from below."""
    skin, tip = taken.skin, 1.0 - taken.reach
    red, green, blue = (0.88 * c for c in skin)
    return [
        Part((red, green, blue), 0.05, 2.2, 0.5, 1.5, 0.4),
        Part(skin, -0.42, tip + 0.75, 0.15, 0.75, 0.15, 0.35),
        Part(skin, 0.3, tip + 0.8, 0.13, 0.65, 0.13, -0.3),
        Part(skin, 0.57, tip + 0.9, 0.13, 0.65, 0.13, -0.3),
    ]


def _draw(paint: Real, axes: _Axes, part: Part, pattern: Pattern = _PLAIN) -> None:
    """Paint a part into every frame of a film, (P, 3)."""
    reach = math.hypot(part.width * (1 + abs(part.taper)), part.height) + part.hollow
    reach += float(axes.pixel.max())
    near = np.flatnonzero((axes.x - part.x) ** 2 + (axes.y - part.y) ** 2 < reach * reach)
    frame = near // (len(axes.x) // len(axes.pixel))
    x, y = axes.x[near], axes.y[near]
    cos, sin = math.cos(part.turn), math.sin(part.turn)
    u = cos * (x - part.x) + sin * (y - part.y)
    v = cos * (y - part.y) - sin * (x - part.x)
    if part.taper:
        u /= 1 - part.taper * np.clip(v / part.height, -1, 1)
    cover = np.clip(0.5 - _distance(part, u, v) / axes.pixel[frame], 0, 1)
    colour = np.asarray(part.colour)
    if part.second is not None:
        wave = np.cos(math.pi * pattern.across * x) * np.cos(math.pi * pattern.down * y)
        share = 0.5 + 0.5 * np.tanh(5 * (wave - pattern.threshold))
        colour = colour + (np.asarray(part.second) - colour) * share[:, None]
    shown = colour * _shade(part, axes, u, v, frame)[:, None]
    under = paint[near]
    paint[near] = under + cover[:, None] * (shown - under)


def _corner(part: Part) -> float:
    return min(part.corner, part.width, part.height)


def _distance(part: Part, u: Real, v: Real) -> Real:
    """Return the signed distance of points on a part's own axes to its edge."""
    corner = _corner(part)
    u, v = np.abs(u) - (part.width - corner), np.abs(v) - (part.height - corner)
    outside = np.sqrt(np.maximum(u, 0) ** 2 + np.maximum(v, 0) ** 2)
    distance = outside + np.minimum(np.maximum(u, v), 0) - corner
    return np.abs(distance) - part.hollow if part.hollow else distance


def _shade(part: Part, axes: _Axes, u: Real, v: Real, frame: NDArray[np.int64]) -> Real:
    """Return how bright points on a part's own axes are: 1 where it is flat, (n,)."""
    # A disc is bent all over, a box at its rim.
    bent = _corner(part) / min(part.width, part.height)
    slope = np.zeros_like(u)
    for place, half, light in zip(
        (u, v), (part.width, part.height), _toward_light(axes, part.turn), strict=True
    ):
        inside = np.clip(place / half, -1, 1)
        slope += light[frame] * inside * (bent + (1 - bent) * inside * inside)
    return 1 + 0.35 * slope + 0.5 * np.maximum(slope - 0.45, 0)


def _exposed(paint: Real, taken: Session) -> NDArray[np.uint8]:
    """Return pictures (F, side, side, 3) in bytes (F, 3, side, side), in the session's light."""
    pixels = np.linspace(-1, 1, paint.shape[1])
    x, y = 0.12 * math.cos(taken.angle) * pixels, 0.12 * math.sin(taken.angle) * pixels
    paint *= np.array(taken.light) * (1 + x + y[:, None])[:, :, None]
    level = _BLACK + (_WHITE - _BLACK) * np.clip(paint, 0, 1)
    shown = np.ascontiguousarray(np.rint(level).astype(np.uint8).transpose(0, 3, 1, 2))
    shown.setflags(write=False)
    return shown
