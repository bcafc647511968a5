from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from neurotasks.errors import CorruptData
from neurotasks.sources._idx import read_idx

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
HEADER = struct.pack(">BBBBIII", 0, 0, 8, 3, *IMAGES.shape)


def write(tmp_path, content):
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    return path


def test_an_array_comes_back(tmp_path):
    read = read_idx(write(tmp_path, gzip.compress(HEADER + IMAGES.tobytes())))
    assert read.dtype == np.uint8
    assert np.array_equal(read, IMAGES)


@pytest.mark.parametrize("length", [0, 3, 4, 10, 16, 39])
def test_a_truncated_array_is_refused(tmp_path, length):
    path = write(tmp_path, gzip.compress((HEADER + IMAGES.tobytes())[:length]))
    with pytest.raises(CorruptData, match=r"images.gz (holds|is no idx file)"):
        read_idx(path)


def test_an_array_that_is_too_long_is_refused(tmp_path):
    path = write(tmp_path, gzip.compress(HEADER + IMAGES.tobytes() + b"!"))
    with pytest.raises(CorruptData, match="holds 41 bytes where its header says 40"):
        read_idx(path)


def test_other_types_are_refused(tmp_path):
    path = write(tmp_path, gzip.compress(b"\x00\x00\x0d\x01" + bytes(8)))
    with pytest.raises(CorruptData, match="no idx file of bytes: it begins with 00000d01"):
        read_idx(path)


def test_half_a_gzip_file_is_refused(tmp_path):
    path = write(tmp_path, gzip.compress(HEADER + IMAGES.tobytes())[:-6])
    with pytest.raises(CorruptData, match="cut off"):
        read_idx(path)


def test_what_is_not_gzipped_is_refused(tmp_path):
    with pytest.raises(CorruptData, match="no gzip file"):
        read_idx(write(tmp_path, HEADER + IMAGES.tobytes()))
