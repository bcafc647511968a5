"""What a film shows: fifty small objects in ten categories, and eleven places to film them in.

An object is a list of parts, and every part is a tapered box with round corners, solid or hollow: a
disc, a ring, a capsule and a frame are special cases. The categories are those of CORe50 (Lomonaco
and Maltoni, 2017), five objects each, which differ in colours, proportions, number of parts and
surface. `neurotasks.rendering` paints them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

__all__ = ["CATEGORIES", "OBJECTS", "SESSIONS", "Colour", "Part", "Pattern", "Session", "Thing"]

_EACH = 5  # objects of a category
_METAL, _DARK, _PALE = (0.72, 0.74, 0.78), (0.12, 0.12, 0.15), (0.93, 0.92, 0.88)
_RED = (0.85, 0.12, 0.10)

Colour: TypeAlias = tuple[float, float, float]


class Part(NamedTuple):
    """A tapered box with round corners; lengths in halves of the object's size, y points down.

    Attributes:
        colour: Red, green and blue from 0 to 1.
        x: Centre.
        y: Centre.
        width: Half width.
        height: Half height.
        corner: Radius of the corners.
        turn: Angle in radians.
        taper: How much narrower it is at its lower end than in its middle, as a fraction of it.
        hollow: Half thickness of the outline; 0 for a solid part.
        second: The second colour of the object's pattern, where the part has it.
    """

    colour: Colour
    x: float
    y: float
    width: float
    height: float
    corner: float = 0.0
    turn: float = 0.0
    taper: float = 0.0
    hollow: float = 0.0
    second: Colour | None = None


class Pattern(NamedTuple):
    """A surface in two colours: stripes, checks or dots.

    Attributes:
        across: Half cycles across the object's size.
        down: Half cycles down.
        threshold: From -1 to 1; higher ones leave less of the second colour.
    """

    across: float = 0.0
    down: float = 0.0
    threshold: float = 0.0


class Thing(NamedTuple):
    """An object.

    Attributes:
        category: Its name.
        parts: What it is made of; later ones cover earlier ones.
        pattern: That of its surface.
    """

    category: str
    parts: tuple[Part, ...]
    pattern: Pattern


class Look(NamedTuple):
    """What makes an object differ from the other four of its category.

    Attributes:
        body: Main colour.
        other: Second colour.
        a: A proportion from 0 to 1.
        b: Another one.
        kind: Number within the category, from 0 to 4.
    """

    body: Colour
    other: Colour
    a: float
    b: float
    kind: int


class Session(NamedTuple):
    """Where and how a film is taken.

    Attributes:
        colours: The two colours of the background.
        waves: Cycles across and down the picture of its regular pattern.
        grain: Cycles across and down the picture of its irregular pattern.
        mixture: Weights of the regular and the irregular pattern and of a gradient downwards.
        sharpness: How sharp the borders between the two colours are.
        light: Gain of red, green and blue.
        angle: Where the light comes from, in radians.
        size: Half size of the object, as a fraction of half the picture.
        lean: Mean angle at which the object is held, in radians.
        grip: From which angle the hand comes, in radians.
        reach: How far the fingers reach over the object.
        skin: Colour of the hand.
    """

    colours: tuple[Colour, Colour]
    waves: tuple[float, float]
    grain: tuple[float, float]
    mixture: tuple[float, float, float]
    sharpness: float
    light: Colour
    angle: float
    size: float
    lean: float
    grip: float
    reach: float
    skin: Colour


# fmt: off
SESSIONS: tuple[Session, ...] = (
    # a plaster wall, a wooden table, grass
    Session(((.90, .88, .82), (.74, .73, .72)), (0, 0), (.6, .5), (0, .6, .8), 0.8,
            (1.05, 1.00, .92), -2.3, .66, .00, 1.3, .30, (.91, .72, .60)),
    Session(((.62, .41, .22), (.43, .26, .12)), (0, 3), (.4, 5), (.5, .8, 0), 1.5,
            (.95, .90, .80), -0.8, .60, .40, 1.9, .45, (.80, .57, .42)),
    Session(((.30, .52, .16), (.14, .32, .08)), (0, 0), (7, 3.5), (0, 1, .2), 2.0,
            (1.10, 1.10, 1.00), -1.2, .58, -.35, 1.2, .35, (.93, .76, .66)),
    # tiles, a striped carpet, bricks
    Session(((.86, .84, .78), (.50, .62, .66)), (2, 2), (1, 1), (1, .1, 0), 6.0,
            (.85, .90, 1.00), -2.0, .64, .20, 2.2, .50, (.55, .37, .26)),
    Session(((.30, .35, .56), (.76, .71, .62)), (3, 0), (1, 1), (1, .1, 0), 3.0,
            (1.00, .92, .78), -0.4, .68, -.60, 1.6, .25, (.88, .68, .55)),
    Session(((.62, .24, .17), (.80, .72, .62)), (1.5, 4), (3, 2), (.9, .5, .1), 3.0,
            (.90, .88, .86), -1.7, .56, .70, .9, .40, (.72, .50, .37)),
    # lamps at night, leaves, concrete
    Session(((.10, .12, .24), (.62, .50, .20)), (0, 0), (1.6, 1.6), (0, 1.2, -.7), 2.5,
            (.62, .62, .78), -2.7, .64, .10, 1.8, .45, (.84, .64, .52)),
    Session(((.46, .62, .20), (.10, .26, .16)), (0, 0), (2.2, 2.2), (0, 1, 0), 4.0,
            (.88, 1.02, .82), -1.0, .70, -.20, 1.4, .55, (.60, .42, .30)),
    Session(((.56, .56, .57), (.40, .40, .42)), (0, 0), (5, 5), (0, .9, .3), 1.0,
            (.78, .80, .84), -1.5, .58, -.80, 2.0, .30, (.94, .78, .70)),
    # the evening sky, clouds
    Session(((.95, .58, .28), (.42, .18, .34)), (0, .5), (1, 2), (.3, .4, 1.2), 1.4,
            (1.08, .82, .62), -0.2, .62, .55, 1.1, .50, (.76, .54, .42)),
    Session(((.40, .62, .88), (.95, .96, .97)), (0, 0), (1, 1.8), (0, 1.1, .4), 2.0,
            (1.00, 1.04, 1.10), -1.9, .66, -.10, 1.7, .40, (.90, .70, .58)),
)
# fmt: on
"""The eleven sessions, in order."""


_PATTERNS = (
    Pattern(0.0, 1.5, 0.0),
    Pattern(1.2, 0.0, 0.0),
    Pattern(1.1, 1.1, 0.0),
    Pattern(0.0, 0.6, 0.75),
    Pattern(1.5, 1.5, 0.4),
)


def _mixed(colour: Colour, share: float, other: float) -> Colour:
    """Return a colour of which a share is mixed with a grey."""
    red, green, blue = (share * c + (1 - share) * other for c in colour)
    return red, green, blue


def _adapter(look: Look) -> list[Part]:
    wide, pins = 0.5 + 0.2 * look.a, (-0.24, 0.24) if look.kind % 2 else (-0.3, 0.0, 0.3)
    face = 0.32 + 0.1 * look.b
    prongs = [Part(_METAL, x, -0.72, 0.07 + 0.03 * look.b, 0.28, 0.03) for x in pins]
    return [
        *prongs,
        Part(look.body, 0, 0.15, wide, 0.62, 0.1 + 0.4 * look.b, second=look.other),
        Part(look.other, 0, 0.2, face, face, face * (look.kind > 1)),
        *(Part(_DARK, x, 0.2, 0.08, 0.08, 0.08) for x in (-0.16, 0.16)),
    ]


def _phone(look: Look) -> list[Part]:
    wide, bezel = 0.44 + 0.12 * look.a, 0.05 + 0.06 * look.b
    screen = 0.84 - bezel if look.kind % 2 else 0.5
    parts = [
        Part(look.body, 0, 0, wide, 0.95, 0.05 + 0.15 * look.b),
        Part(_PALE, 0, screen - 0.84, wide - bezel, screen, 0.02, second=look.other),
    ]
    if look.kind % 2:
        return [*parts, Part(_METAL, 0, 0.86, 0.14, 0.04, 0.04)]
    rows, columns = (0.34, 0.56, 0.78), (-0.26, 0.0, 0.26)
    return parts + [Part(_METAL, x, y, 0.09, 0.065, 0.05) for x in columns for y in rows]


def _scissors(look: Look) -> list[Part]:
    spread, ring = 0.2 + 0.25 * look.a, 0.25 + 0.1 * look.b
    parts = []
    for side in (-1, 1):
        turn = side * spread
        blade, grip = (-0.45 * math.sin(-turn), -0.45), (-side * 0.36, 0.62)
        parts.append(Part(_METAL, *blade, 0.1, 0.55, 0.05, turn, -0.6))
        parts.append(Part(look.body, grip[0] * 0.6, 0.22, 0.08, 0.26, 0.08, turn))
        tall = ring * (1.35 if look.kind % 2 else 1.0)
        parts.append(Part(look.body, *grip, ring, tall, ring, turn, hollow=0.08 + 0.04 * look.b))
    return [*parts, Part(look.other, 0, -0.02, 0.09, 0.09, 0.09)]


def _bulb(look: Look) -> list[Part]:
    globe = 0.5 + 0.16 * look.a
    tall = globe + (0.16 if look.kind % 2 else 0.0)
    long = 0.2 + 0.12 * look.b
    glass = _mixed(look.body, 0.45, 1.0)
    end = 2 * tall - 0.95  # of the globe
    return [
        Part(_DARK, 0, 0.98 - 0.05, 0.12, 0.07, 0.05),
        Part(_METAL, 0, 0.9 - long, 0.26, long, 0.05, second=look.other),
        Part(glass, 0, end, 0.58 * globe, 0.3, 0.05, taper=0.3),
        Part(glass, 0, -0.95 + tall, globe, tall, globe),
        Part(look.body, 0, -0.95 + tall, globe * 0.45, tall * 0.4, 0.2, hollow=0.05),
    ]


def _can(look: Look) -> list[Part]:
    wide, tall = 0.46 + 0.18 * look.a, 0.95 - 0.3 * look.b * (look.kind % 2)
    return [
        Part(_METAL, 0, 0, wide, tall, 0.12),
        Part(look.body, 0, 0.04, wide + 0.02, tall - 0.18, 0.03, second=look.other),
        Part((0.5, 0.52, 0.56), 0, 0.1 - tall, wide - 0.06, 0.09, 0.09),
        Part(_DARK, 0.08, 0.1 - tall, 0.14, 0.04, 0.04),
    ]


def _glasses(look: Look) -> list[Part]:
    lens, tall = 0.38 + 0.04 * look.a, 0.24 + 0.14 * look.b
    corner = tall if look.kind % 2 else 0.1
    rim, glass = 0.06 + 0.05 * look.a, look.other if look.kind > 1 else None
    parts = [Part(look.body, 0, -0.08, 0.18, 0.05, 0.05)]
    for side in (-1, 1):
        parts.append(Part(look.body, side * 0.88, -0.32, 0.05, 0.34, 0.05, -side * 0.25))
        if glass:
            parts.append(Part(glass, side * 0.52, 0, lens, tall, corner))
        parts.append(Part(look.body, side * 0.52, 0, lens, tall, corner, hollow=rim))
    return parts


def _ball(look: Look) -> list[Part]:
    size = 0.7 + 0.2 * look.a
    ball = Part(look.body, 0, 0, size, size, size, second=look.other)
    if look.kind % 2:
        return [ball]
    return [ball, Part(look.other, 0, 0, size * 0.55, size, size * 0.55, hollow=0.05)]


def _marker(look: Look) -> list[Part]:
    thick, cap = 0.16 + 0.08 * look.a, 0.25 + 0.2 * look.b
    barrel = _PALE if look.kind % 2 else _DARK
    return [
        Part(_METAL, 0, 0.92, 0.07, 0.12, 0.05),
        Part(barrel, 0, 0.2, thick, 0.66, 0.04, second=look.other),
        Part(look.body, 0, cap - 1, thick + 0.03, cap, 0.05 + 0.1 * look.b),
        Part(look.body, thick + 0.08, cap - 0.85, 0.035, cap * 0.8, 0.03),
    ]


def _cup(look: Look) -> list[Part]:
    wide, tall = 0.5 + 0.1 * look.a, 0.55 + 0.25 * look.b
    ring = 0.26 + 0.08 * look.b
    inside = _mixed(look.body, 0.35, 0.0)
    taper = 0.05 + 0.2 * (look.kind % 2)
    return [
        Part(look.body, wide + 0.02, 0.05, 0.26, ring, 0.24, hollow=0.09),
        Part(look.body, -0.12, 0.05, wide, tall, 0.1, taper=taper, second=look.other),
        Part(look.body, -0.12, 0.05 - tall, wide * (1 + taper), 0.16, 0.16),
        Part(inside, -0.12, 0.05 - tall, wide * (1 + taper) - 0.08, 0.1, 0.1),
    ]


def _remote(look: Look) -> list[Part]:
    wide = 0.3 + 0.12 * look.a
    case = _DARK if look.kind % 2 else look.body
    columns = (-0.5, 0.5) if look.b > look.a else (-0.56, 0.0, 0.56)
    rows = (-0.05, 0.23, 0.52, 0.8) if look.kind % 2 else (-0.05, 0.375, 0.8)
    keys = [Part(look.other, x * wide, y, 0.07, 0.06, 0.05) for x in columns for y in rows]
    return [
        Part(case, 0, 0, wide, 0.98, 0.04 + 0.24 * look.b),
        Part(_RED, wide * 0.45, -0.8, 0.08, 0.08, 0.08),
        Part(look.other, 0, -0.42, wide * 0.6, 0.2, 0.2, hollow=0.07),
        *keys,
    ]


CATEGORIES: Mapping[str, Callable[[Look], list[Part]]] = MappingProxyType(
    {
        "plug adapter": _adapter,
        "mobile phone": _phone,
        "scissors": _scissors,
        "light bulb": _bulb,
        "can": _can,
        "glasses": _glasses,
        "ball": _ball,
        "marker": _marker,
        "cup": _cup,
        "remote control": _remote,
    }
)
"""The ten categories, and how the parts of one of their objects follow from its look."""


def _hue(hue: float, saturation: float, value: float) -> Colour:
    """Return the colour of a hue in turns."""
    parts = (abs((hue + third) % 1.0 * 6 - 3) - 1 for third in (0.0, 2 / 3, 1 / 3))
    red, green, blue = (value * (1 - saturation * (1 - min(max(p, 0.0), 1.0))) for p in parts)
    return red, green, blue


def _look(category: int, kind: int) -> Look:
    """Return the look of an object: each trait takes five levels within a category."""
    a, b, tone = ((kind * step + category) % _EACH / (_EACH - 1) for step in (2, 3, 4))
    hue = kind / _EACH + 0.037 * category
    body = _hue(hue, 0.85 - 0.45 * tone, 0.55 + 0.4 * b)
    return Look(body, _hue(hue + 0.4 + 0.2 * a, 0.35 + 0.55 * tone, 0.95 - 0.45 * b), a, b, kind)


OBJECTS: tuple[Thing, ...] = tuple(
    Thing(name, tuple(build(_look(place, kind))), _PATTERNS[(kind + place) % _EACH])
    for place, (name, build) in enumerate(CATEGORIES.items())
    for kind in range(_EACH)
)
"""The fifty objects, in order: those of a category follow each other."""
