"""The 8 x 8 digits that come with scikit-learn (Alpaydin and Kaynak, 1998)."""

from __future__ import annotations

import gzip
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotasks.errors import MissingExtra

__all__ = ["INK", "Digits", "digits"]

INK = 16
"""The darkest of the 17 grey levels."""

_FILE = "datasets/data/digits.csv.gz"


class Digits(NamedTuple):
    """All digits.

    Attributes:
        images: (1797, 8, 8) uint8, from 0 (paper) to 255 (ink).
        labels: (1797,) uint8.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


@cache
def digits() -> Digits:
    """Return the digits.

    Their file is read where it lies: `sklearn.datasets.load_digits` gives the same, but first loads
    the library, which takes longer than to train a first network.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    package = find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise MissingExtra("scikit-learn", "digits")
    with gzip.open(Path(package.submodule_search_locations[0]) / _FILE) as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)  # 64 pixels and the label
    images = (table[:, :-1].reshape(-1, 8, 8) * (255 / INK)).round().astype(np.uint8)
    for array in (images, table):
        array.flags.writeable = False
    return Digits(images, table[:, -1])
