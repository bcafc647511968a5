"""How numbers are written: never with more digits than their interval allows."""

from __future__ import annotations

import math

from neurotasks.scores import Interval

__all__ = ["count", "duration", "energy", "exact", "fixed", "mean_and_spread", "plain", "size"]

MINUS = "\u2212"
_PLACES = 4  # no metric of ours is known better than to a ten-thousandth
_KILO = 1e3
_HUNDRED = 99.5  # from which on two digits would be written with an exponent
_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def mean_and_spread(interval: Interval) -> tuple[str, str]:
    """Return a mean and the half width of its interval as text; no half width for one run.

    The half width keeps two digits where it begins with 1 or 2, else one, and the mean ends where
    the half width ends.
    """
    half = (interval.high - interval.low) / 2
    if interval.runs == 1:
        return plain(interval.mean, 2), ""
    places = _places(half)
    if half <= 0.5 * 10.0**-_PLACES:
        return plain(interval.mean, 3), "0"
    return fixed(interval.mean, places), fixed(half, places)


def plain(value: float, digits: int = 4) -> str:
    """Return a number with so many significant digits, and at most four decimals."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return fixed(value, min(digits - 1 - math.floor(math.log10(abs(value))), _PLACES))


def exact(value: float, digits: int = 6) -> str:
    """Return a number that is known well, without idle zeros."""
    return f"{value:.{digits}g}".replace("-", MINUS)


def fixed(value: float, places: int) -> str:
    """Return a number rounded to some decimals; fewer than none rounds to tens, hundreds ..."""
    rounded = round(value, places) + 0.0  # turns a negative zero into zero
    return f"{rounded:.{max(places, 0)}f}".replace("-", MINUS)


def count(number: float) -> str:
    """Return a count with three significant digits: 812, 12.3 k, 1.5 M."""
    for size, prefix in _PREFIXES:
        if number >= size:
            return f"{number / size:.3g} {prefix}"
    return f"{number:g}"


def duration(seconds: float) -> str:
    """Return a duration in the largest fitting unit, with two or three digits."""
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004 - digits


def energy(kwh: float) -> str:
    """Return an energy in the largest fitting unit, with two or three digits."""
    for size, unit in ((1.0, "kWh"), (1e-3, "Wh")):
        if kwh >= size:
            return f"{kwh / size:.3g} {unit}"
    milli = kwh / 1e-6
    return f"{milli:.2g} mWh" if milli < _HUNDRED else f"{milli:.0f} mWh"


def size(count_of_bytes: float) -> str:
    """Return a number of bytes in the largest fitting unit, with three digits."""
    return f"{count(count_of_bytes)}B" if count_of_bytes >= _KILO else f"{count_of_bytes:.0f} B"


def _places(half: float) -> int:
    """Return how many decimals a half width of an interval allows."""
    digits, exponent = f"{half:.1e}".split("e")
    return min(-int(exponent) + (1 if digits[0] in "12" else 0), _PLACES)
