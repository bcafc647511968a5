"""Fashion-MNIST: 70,000 pictures of clothes.

The 60,000 training images can be had whole, or as their first 20,000 in the original order (files
train20k-..., for places without a connection). What is there says itself which: `train_images` has
60,000 or 20,000 rows, or is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from neurotasks.sources._idx import read_idx
from neurotasks.sources._source import File, Source

_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_TRAIN_IMAGES, _TRAIN_LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
_PART_IMAGES, _PART_LABELS = "train20k-images-idx3-ubyte.gz", "train20k-labels-idx1-ubyte.gz"
_TEST_IMAGES, _TEST_LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"


def _prepare(raw: Path) -> Mapping[str, NDArray[Any]]:
    """Return images (N, 28, 28) and labels (N,), uint8."""
    arrays = {
        "test_images": read_idx(raw / _TEST_IMAGES),
        "test_labels": read_idx(raw / _TEST_LABELS),
    }
    for images, labels in ((_TRAIN_IMAGES, _TRAIN_LABELS), (_PART_IMAGES, _PART_LABELS)):
        if (raw / images).is_file() and (raw / labels).is_file():
            arrays["train_images"] = read_idx(raw / images)
            arrays["train_labels"] = read_idx(raw / labels)
            break
    return arrays


SOURCE = Source(
    name="fashion_mnist",
    title="Fashion-MNIST",
    homepage="https://github.com/zalandoresearch/fashion-mnist",
    licence="MIT",
    citation="Xiao, Rasul, Vollgraf (2017), arXiv:1708.07747",
    files=(
        # The publisher gives these two as MD5 of the compressed files.
        File(
            _TRAIN_IMAGES, _URL + _TRAIN_IMAGES, 26_421_880,
            "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            optional=True,
        ),
        File(
            _TRAIN_LABELS, _URL + _TRAIN_LABELS, 29_515,
            "md5:25c81989df183df01b3e8a0aad5dffbe",
            optional=True,
        ),
        File(
            _PART_IMAGES, None, 15_680_016,
            "sha256:f675812a188eaff57e6cc99252d4b1fa2d27bc3e00cec09f67474894e24358ad",
            content=True, optional=True,
        ),
        File(
            _PART_LABELS, None, 20_008,
            "sha256:c1d29b30febfce7b7c5d4dfc17d6ab9f9f8e49101ae51e79e3b24d5df6a1317e",
            content=True, optional=True,
        ),
        File(
            _TEST_IMAGES, _URL + _TEST_IMAGES, 7_840_016,
            "sha256:5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            content=True,
        ),
        File(
            _TEST_LABELS, _URL + _TEST_LABELS, 10_008,
            "sha256:0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            content=True,
        ),
    ),
    prepare=_prepare,
)  # fmt: skip
