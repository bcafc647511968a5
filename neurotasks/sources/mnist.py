"""MNIST: 70,000 handwritten digits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from neurotasks.sources._idx import read_idx
from neurotasks.sources._source import File, Source

# The authors' own page no longer serves the files; this mirror is the one that torchvision uses.
_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_TRAIN_IMAGES, _TRAIN_LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
_TEST_IMAGES, _TEST_LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"


def _prepare(raw: Path) -> Mapping[str, NDArray[Any]]:
    """Return images (N, 28, 28) and labels (N,), uint8."""
    return {
        "train_images": read_idx(raw / _TRAIN_IMAGES),
        "train_labels": read_idx(raw / _TRAIN_LABELS),
        "test_images": read_idx(raw / _TEST_IMAGES),
        "test_labels": read_idx(raw / _TEST_LABELS),
    }


SOURCE = Source(
    name="mnist",
    title="MNIST",
    homepage="http://yann.lecun.com/exdb/mnist/",
    licence="CC BY-SA 3.0",
    citation="LeCun, Bottou, Bengio, Haffner (1998), Proceedings of the IEEE 86:2278",
    files=(
        File(
            _TRAIN_IMAGES, _URL + _TRAIN_IMAGES, 47_040_016,
            "sha256:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            content=True,
        ),
        File(
            _TRAIN_LABELS, _URL + _TRAIN_LABELS, 60_008,
            "sha256:65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            content=True,
        ),
        File(
            _TEST_IMAGES, _URL + _TEST_IMAGES, 7_840_016,
            "sha256:0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            content=True,
        ),
        File(
            _TEST_LABELS, _URL + _TEST_LABELS, 10_008,
            "sha256:ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            content=True,
        ),
    ),
    prepare=_prepare,
)  # fmt: skip
