from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from neurotasks.sources import Blocks
from neurotasks.sources._arrays import mapped, write

BYTE = np.dtype(np.uint8)


def blocks(count, rows=16, width=1 << 16):
    return (np.full((rows, width), number, dtype=np.uint8) for number in range(count))


def test_blocks_become_one_array_and_never_lie_in_memory_together(tmp_path):
    """Blocks of one MiB make 40 MiB."""
    tracemalloc.start()
    try:
        write({"large": Blocks((640, 1 << 16), BYTE, blocks(40))}, tmp_path / "whole")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20
    large = mapped(tmp_path / "whole")["large"]
    assert large.shape == (640, 1 << 16)
    assert np.array_equal(large[:, 7], np.repeat(np.arange(40), 16))


def test_blocks_and_arrays_are_written_alike(tmp_path):
    whole = np.arange(30, dtype=np.int16).reshape(5, 3, 2)
    parts = Blocks(whole.shape, whole.dtype, [whole[:2], whole[2:2], whole[2:, ::-1][:, ::-1]])
    write({"parts": parts, "whole": whole}, tmp_path / "both")
    assert (tmp_path / "both/parts.npy").read_bytes() == (tmp_path / "both/whole.npy").read_bytes()


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((33, 8), BYTE, "hold 32 rows instead of 33"),
        ((32, 9), BYTE, r"a block of uint8 \(16, 8\) is no part of uint8 \(32, 9\)"),
        ((32, 8), np.dtype(np.int8), r"a block of uint8 .* is no part of int8"),
    ],
)
def test_blocks_that_do_not_fit_leave_nothing(tmp_path, shape, dtype, message):
    with pytest.raises(ValueError, match=message):
        write({"x": Blocks(shape, dtype, blocks(2, width=8))}, tmp_path / "folder")
    assert not list(tmp_path.iterdir())
