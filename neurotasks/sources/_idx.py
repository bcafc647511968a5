"""The idx format of MNIST: big-endian arrays of bytes behind a short header, gzipped."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurotasks.errors import CorruptData

__all__ = ["read_idx"]

_UNSIGNED_BYTE = 8


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the array of a gzipped idx file of unsigned bytes.

    The header is two zero bytes, the type of the numbers, the number of axes, and for each axis its
    length as four bytes, the most significant first; the numbers follow, the last axis fastest.

    Raises:
        CorruptData: The file is cut off, too long, or of another type.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except EOFError as error:
        raise CorruptData(f"{path} is cut off: get the file again") from error
    except gzip.BadGzipFile as error:
        raise CorruptData(f"{path} is no gzip file: get the file again") from error
    if len(content) < 4 or content[:3] != bytes((0, 0, _UNSIGNED_BYTE)):  # noqa: PLR2004
        raise CorruptData(f"{path} is no idx file of bytes: it begins with {content[:4].hex()}")
    start = 4 + 4 * content[3]
    shape = np.frombuffer(content[4:start].ljust(start - 4, b"\0"), dtype=">u4").tolist()
    expected = start + math.prod(shape)
    if len(content) != expected:
        raise CorruptData(f"{path} holds {len(content)} bytes where its header says {expected}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
