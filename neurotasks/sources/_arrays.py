"""Prepared arrays: written into a folder whole or not at all, and mapped from there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Blocks", "Prepared", "mapped", "write"]


@dataclass(frozen=True)
class Blocks:
    """An array that may be larger than the memory: it is written block by block as it is made.

    Attributes:
        shape: The shape of the whole.
        dtype: Its type.
        blocks: Arrays that follow each other along the first axis.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    blocks: Iterable[NDArray[Any]]


Prepared: TypeAlias = NDArray[Any] | Blocks


def write(arrays: Mapping[str, Prepared], folder: Path) -> None:
    """Write arrays into a new folder, whole or not at all."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".preparing-") as temporary:
        whole = Path(temporary) / folder.name
        whole.mkdir()
        for name, array in arrays.items():
            with (whole / f"{name}.npy").open("wb") as file:
                if isinstance(array, Blocks):
                    _stream(array, file)
                else:
                    np.save(file, np.ascontiguousarray(array), allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
        if not folder.is_dir():  # else another process was faster, with the same arrays
            whole.rename(folder)


def _stream(array: Blocks, file: BinaryIO) -> None:
    """Write an array in the format of `numpy.save`; of its blocks one is in memory at a time."""
    header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "shape": array.shape}
    np.lib.format.write_array_header_1_0(file, {**header, "fortran_order": False})
    rows = 0
    for block in array.blocks:
        if block.shape[1:] != array.shape[1:] or block.dtype != array.dtype:
            raise ValueError(
                f"a block of {block.dtype} {block.shape} is no part of {array.dtype} {array.shape}"
            )
        file.write(np.ascontiguousarray(block).data)
        rows += len(block)
    if rows != array.shape[0]:
        raise ValueError(f"the blocks hold {rows} rows instead of {array.shape[0]}")


@lru_cache(maxsize=32)
def mapped(folder: Path) -> Mapping[str, NDArray[Any]]:
    """Return the arrays of a folder by name, mapped read-only: only what is looked at is read."""
    files = sorted(folder.glob("*.npy"))
    return MappingProxyType({file.stem: np.load(file, mmap_mode="r") for file in files})
