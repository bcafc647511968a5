"""What is dear is kept until something changes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["Kept"]

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
        with self._lock:
            self._values[key] = (stamp, value)
            self._values.move_to_end(key)
            while len(self._values) > self._size:
                self._values.popitem(last=False)
        return value
