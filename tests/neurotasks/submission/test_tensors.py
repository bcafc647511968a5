from __future__ import annotations

import numpy as np
import pytest

from neurotasks.submission.tensors import problems


def told(path, content, seeds=(0,)):
    path.write_bytes(content)
    return [str(problem) for problem in problems(path, seeds)]


def test_what_the_library_writes_is_in_order(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    tensors = {
        f"{seed}.{name}": np.zeros(shape, kind)
        for seed in (3, 4)
        for name, shape, kind in (
            ("w", (4, 5), np.float32), ("b", (0,), np.float64), ("n", (), np.int64),
            ("m", (3,), np.bool_), ("h", (2, 2), np.float16),
        )
    }  # fmt: skip
    content = library.save(tensors, metadata={"format": "np"})
    assert told(tmp_path / "w", content, (3, 4)) == []
    assert "it belongs to no seed" in told(tmp_path / "w", content, (3,))[0]
    assert "do not have the same tensors" in told(tmp_path / "w", content, (3, 4, 5))[0]


def test_seeds_must_have_the_same_tensors(tmp_path, safetensors):
    tensor = {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}
    other = {**tensor, "data_offsets": [1, 2]}
    content = safetensors({"0.a": tensor, "1.b": other}, b"xx")
    assert "do not have the same tensors" in told(tmp_path / "w", content, (0, 1))[0]


def test_every_cut_and_every_addition_is_seen(tmp_path, safetensors):
    good = safetensors()
    assert told(tmp_path / "w", good) == []
    for length in range(len(good)):
        assert told(tmp_path / "w", good[:length])
    assert told(tmp_path / "w", good + b"\0")
