"""A valid submission of each format, made without a learner."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from neurotasks import load
from neurotasks.submission.manifest import Manifest
from neurotasks.submission.pack import pack_files

POINTS = "neurotasks/OrientationDecoding-v0"
CLASSES = "neurotasks/GoNogo-v0"


def make_manifest(format_="predictions", task=POINTS, **changes):
    card = load(task).card
    told = {"task": task, "card": card.hash, "agent": "mlp", "format": format_, "files": {},
            "seeds": (0,)}  # fmt: skip
    if format_ == "weights":
        told["architecture"] = {"name": "mlp", "width": 2}
    return Manifest(**{**told, **changes})


def make_npz(task=POINTS, seeds=(0,), **changes):
    task = load(task)
    kind = np.float32 if task.action_space.shape else np.int64
    arrays = {}
    for stage in task.card.evaluated:
        number = task.card.stage(stage).trials
        steps = task.sample(1, 0, stage).mask.shape[1]
        for seed in seeds:
            shape = (number, steps, *(task.action_space.shape or ()))
            arrays[f"{stage}.{seed}"] = np.zeros(shape, kind)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{**arrays, **changes})
    return buffer.getvalue()


def make_safetensors(header=None, data=bytes(24)):
    if header is None:
        header = {
            "0.a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
            "0.b": {"dtype": "F32", "shape": [2], "data_offsets": [16, 24]},
        }
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.fixture
def manifest():
    return make_manifest


@pytest.fixture
def npz():
    return make_npz


@pytest.fixture
def safetensors():
    return make_safetensors


@pytest.fixture
def packed(tmp_path):
    """Return the folder of a valid submission of predictions."""
    folder = tmp_path / "packed"
    pack_files(make_manifest(), {"predictions.npz": make_npz()}, folder)
    return folder
