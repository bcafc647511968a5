"""Arrays of NumPy and of torch through one standard interface."""

from __future__ import annotations

from typing import Any, TypeAlias

import array_api_compat
import numpy as np

__all__ = ["Array", "Namespace", "namespace"]

Array: TypeAlias = Any
"""A NumPy array or a torch tensor, as the array API standard describes it."""

Namespace: TypeAlias = Any
"""The module that holds the functions of an array: `numpy` or `array_api_compat.torch`."""


def namespace(array: Array) -> Namespace:
    """Return the array API namespace of an array: `numpy` itself for NumPy's arrays."""
    if isinstance(
        array, np.ndarray
    ):  # NumPy 2 keeps the standard, and its wrapper is slow to import
        return np
    return array_api_compat.array_namespace(array)
