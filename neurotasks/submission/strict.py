"""Reading what somebody hostile may have written: JSON without surprises, text safe to show."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

__all__ = ["loads", "shown"]

_DEPTH = 32  # levels of lists and objects
_LARGEST = 2**63 - 1  # of an integer: what a database takes


def loads(text: str | bytes) -> Any:
    """Return what JSON text holds.

    Raises:
        ValueError: It is not JSON, not UTF-8, or holds what readers understand differently: a key
            twice, half a surrogate pair, a number that is infinite, NaN or beyond 64 bits, or more
            than 32 levels.
    """
    try:
        value = json.loads(
            text.decode("utf-8") if isinstance(text, bytes) else text,
            parse_constant=_no_number,
            object_pairs_hook=_object,
        )
    except RecursionError as error:
        raise ValueError(f"it nests deeper than {_DEPTH} levels") from error
    fault = next(_faults(value), "")
    if fault:
        raise ValueError(fault)
    return value


def shown(text: object, length: int = 60) -> str:
    """Return what somebody else wrote as one short line without control characters."""
    whole = str(text)
    start = " ".join(whole[: 4 * length].split())
    plain = "".join(letter if letter.isprintable() else "?" for letter in start)
    cut = len(plain) > length or len(whole) > 4 * length
    return plain[: length - 3] + "..." if cut else plain


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"the key {shown(twice)!r} stands there twice")
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a number that JSON knows")


def _faults(value: Any) -> Iterator[str]:
    """Yield what readers of JSON understand differently; without recursion."""
    waiting = [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        if isinstance(one, dict | list):
            if depth > _DEPTH:
                yield f"it nests deeper than {_DEPTH} levels"
                return
            inner = [*one, *one.values()] if isinstance(one, dict) else one
            waiting += [(item, depth + 1) for item in inner]
        elif isinstance(one, str):
            if any("\ud800" <= letter <= "\udfff" for letter in one):
                yield f"{one[:20]!a} holds half a surrogate pair"
        elif isinstance(one, float) and not math.isfinite(one):
            yield "it holds a number beyond what a float can be"
        elif isinstance(one, int) and abs(one) > _LARGEST:
            yield "it holds a number beyond 64 bits"
