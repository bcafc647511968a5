"""What is dear is kept until something changes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

__all__ = ["Kept"]

K = TypeVar("K")
T = TypeVar("T")
_ABSENT = object()


class Kept:
    """Values that hold until something changes: a stamp says of which state each was made.

    Args:
        size: How many are kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Any, tuple[Any, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Any, stamp: Any, make: Callable[[], T]) -> T:
        """Return a value, made anew if it was made under another stamp."""
        with self._lock:
            at, value = self._values.get(key, (_ABSENT, None))
            if at == stamp:
                self._values.move_to_end(key)
                return value
        value = make()
        self._put({key: value}, stamp)
        return value

    def many(self, keys: Iterable[K], make: Callable[[list[K]], Mapping[K, T]]) -> dict[K, T]:
        """Return values that never change; those that are missing are made together.

        Args:
            keys: Whose values are wanted.
            make: Makes values by their keys; it may leave some out, which then are asked for anew.
        """
        found: dict[K, T] = {}
        missing = []
        with self._lock:
            for key in keys:
                if key in self._values:
                    found[key] = self._values[key][1]
                    self._values.move_to_end(key)
                else:
                    missing.append(key)
        if missing:
            made = make(missing)
            self._put(made, None)
            found |= made
        return found

    def _put(self, values: Mapping[Any, Any], stamp: Any) -> None:
        with self._lock:
            for key, value in values.items():
                self._values[key] = (stamp, value)
                self._values.move_to_end(key)
            while len(self._values) > self._size:
                self._values.popitem(last=False)
