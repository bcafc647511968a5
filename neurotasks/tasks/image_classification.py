"""Name what a picture shows: digits and clothes.

What the subject sees: one grey picture, (1, height, width) in grey levels from 0 to 255.
`ImageClassificationDigits` has the 8 x 8 digits that come with scikit-learn, the other two the
28 x 28 pictures of MNIST and Fashion-MNIST.

What it may do: answer one of ten classes.

How it is scored: the fraction of correct answers.

When it ends: after the one answer.

Chance and ceiling: chance is always answering the most frequent class of the test set. What is
possible at best nobody knows; the ceiling is a published result or, for the 8 x 8 digits, a
reference run. In stage "shift" each picture is moved by whole pixels, up to `reach` in each
direction, and each pixel gets uniform noise of up to `noise` grey levels. There the ceiling of
MNIST and Fashion-MNIST is that of the unmoved pictures, an upper bound.

Splits: MNIST and Fashion-MNIST keep their test set; of the 60,000 training pictures the first
5,000 are for validation and the others for training. `train15k` of Fashion-MNIST is rows 5,000 to
19,999, for where only the first 20,000 training pictures are at hand. The 8 x 8 digits are split
within each class by their order in the file: of five successive pictures three are for training,
the fourth is for validation and the fifth for the test, so that each class is held out in equal
parts. A writer may occur on both sides.

Source: Alpaydin and Kaynak (1998); LeCun et al. (1998); Xiao et al. (2017).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from neurotasks import sources
from neurotasks.agent import Agent, Policy
from neurotasks.arrays import Array, Namespace
from neurotasks.card import Stage, TaskCard
from neurotasks.errors import MissingData
from neurotasks.metrics import ACCURACY
from neurotasks.registry import register
from neurotasks.rng import Draw
from neurotasks.sources import digits
from neurotasks.task import Batch, TrialTask, rows, split_of

CLASSES = 10
COURSES = ("Neuromatch Academy Deep Learning", "SpikeAI tutorial", "MAIN 2019")
MOST_FREQUENT = {
    "digits": 1,
    "mnist": 1,
    "fashion_mnist": 0,
}  # in the test set; the first of equals
FIRST_TRAINING_ROW = 5_000  # the rows before are for validation
CLEAN = {"noise": 0, "reach": 0}

DIGITS = TaskCard(
    name="ImageClassificationDigits",
    version=0,
    form="trial",
    topic="image classification",
    courses=COURSES,
    summary="Name a handwritten digit of 8 x 8 pixels.",
    metric=ACCURACY,
    ceiling="reference",
    ceiling_source="support vector machine (radial basis, gamma 0.05, C 10) trained on the "
    "training split and eight copies of it moved by up to one pixel; in stage 'shift' on twelve "
    "copies made as that stage makes them, mean over the trials of 20 seeds",
    chance_source="the most frequent class of the test set, exact",
    steps=1,
    stages={
        "test": Stage(trials=355, chance=36 / 355, ceiling=352 / 355, parameters=CLEAN),
        "shift": Stage(
            trials=355,
            chance=36 / 355,
            ceiling=0.9793,
            ceiling_error=0.0012,
            parameters={"noise": 32, "reach": 1},
        ),
    },
    splits={"train": 1085, "validation": 357, "test": 355},
    data="embedded",
    licence="CC BY 4.0",
    citation="Alpaydin, Kaynak (1998), Optical recognition of handwritten digits, UCI repository",
    tags=("vision", "classification"),
)

MNIST = TaskCard(
    name="ImageClassificationMNIST",
    version=0,
    form="trial",
    topic="image classification",
    courses=COURSES,
    summary="Name a handwritten digit of MNIST.",
    metric=ACCURACY,
    ceiling="published",
    ceiling_source="ensemble of nine small convolutional networks: An, Lee, Park, Yang, So (2020), "
    "arXiv:2008.10400",
    chance_source="the most frequent class of the test set, exact",
    steps=1,
    stages={
        "test": Stage(trials=10_000, chance=0.1135, ceiling=0.9991, parameters=CLEAN),
        "shift": Stage(
            trials=10_000, chance=0.1135, ceiling=0.9991, parameters={"noise": 64, "reach": 3}
        ),
    },
    splits={"train": 55_000, "validation": 5_000, "test": 10_000},
    data="recorded",
    source="mnist",
    licence="CC BY-SA 3.0",
    citation="LeCun, Bottou, Bengio, Haffner (1998), Proceedings of the IEEE 86:2278",
    tags=("vision", "classification"),
)

FASHION = TaskCard(
    name="ImageClassificationFashionMNIST",
    version=0,
    form="trial",
    topic="image classification",
    courses=COURSES,
    summary="Name a piece of clothing of Fashion-MNIST.",
    metric=ACCURACY,
    ceiling="published",
    ceiling_source="wide residual network 28-10 with random erasing, error 3.65 %: Zhong, Zheng, "
    "Kang, Li, Yang (2020), AAAI, arXiv:1708.04896",
    chance_source="any class: the ten classes of the test set are equally frequent, exact",
    steps=1,
    stages={
        "test": Stage(trials=10_000, chance=0.1, ceiling=0.9635, parameters=CLEAN),
        "shift": Stage(
            trials=10_000, chance=0.1, ceiling=0.9635, parameters={"noise": 64, "reach": 3}
        ),
    },
    splits={"train": 55_000, "train15k": 15_000, "validation": 5_000, "test": 10_000},
    data="recorded",
    source="fashion_mnist",
    licence="MIT",
    citation="Xiao, Rasul, Vollgraf (2017), arXiv:1708.07747",
    tags=("vision", "classification"),
)


@register(DIGITS)
class ImageClassificationDigits(TrialTask):
    """The digits that come with scikit-learn."""

    observation_space = spaces.Box(0, 255, (1, 8, 8), np.uint8)
    action_space = spaces.Discrete(CLASSES)

    def generate(self, draw: Draw, *, noise: int, reach: int) -> Batch:
        """Show pictures of the draw's split, moved and noisy."""
        return _show(draw, _digits(split_of(draw, self.card)), noise, reach)

    def trivial(self, stage: str = "test") -> Agent:
        """Answer the most frequent class."""
        return _always(MOST_FREQUENT["digits"], self.card, stage)


@register(MNIST)
class ImageClassificationMNIST(TrialTask):
    """The digits of MNIST."""

    observation_space = spaces.Box(0, 255, (1, 28, 28), np.uint8)
    action_space = spaces.Discrete(CLASSES)

    def generate(self, draw: Draw, *, noise: int, reach: int) -> Batch:
        """Show pictures of the draw's split, moved and noisy."""
        return _show(draw, _recorded("mnist", split_of(draw, self.card)), noise, reach)

    def trivial(self, stage: str = "test") -> Agent:
        """Answer the most frequent class."""
        return _always(MOST_FREQUENT["mnist"], self.card, stage)


@register(FASHION)
class ImageClassificationFashionMNIST(TrialTask):
    """The clothes of Fashion-MNIST."""

    observation_space = spaces.Box(0, 255, (1, 28, 28), np.uint8)
    action_space = spaces.Discrete(CLASSES)

    def generate(self, draw: Draw, *, noise: int, reach: int) -> Batch:
        """Show pictures of the draw's split, moved and noisy."""
        return _show(draw, _recorded("fashion_mnist", split_of(draw, self.card)), noise, reach)

    def trivial(self, stage: str = "test") -> Agent:
        """Answer one class."""
        return _always(MOST_FREQUENT["fashion_mnist"], self.card, stage)


class _Pictures(NamedTuple):
    """A split: images (N, H, W) and labels (N,), both uint8."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def _show(draw: Draw, pictures: _Pictures, noise: int, reach: int) -> Batch:
    row = rows(draw, len(pictures.labels))
    xp, image = draw.xp, draw.asarray(pictures.images[row])
    if reach:
        down, right = (draw.integers(name, 2 * reach + 1) - reach for name in ("down", "right"))
        image = _moved(image, down, right, xp)
    if noise:
        # Integers, so that all devices show exactly the same picture.
        grain = draw.integers("noise", 2 * noise + 1, tuple(image.shape[1:])) - noise
        image = xp.astype(xp.clip(xp.astype(image, xp.int64) + grain, 0, 255), xp.uint8)
    label = draw.asarray(pictures.labels[row].astype(np.int64))
    mask = xp.ones((draw.size, 1), dtype=xp.bool, device=draw.device)
    return Batch(image[:, None, None], label[:, None], mask, {"row": draw.asarray(row)})


def _moved(image: Array, down: Array, right: Array, xp: Namespace) -> Array:
    """Return images (B, H, W) moved by whole pixels (B,) each; what comes in is black."""
    _, height, width = image.shape
    y = xp.arange(height, device=image.device)[None, :, None] - down[:, None, None]
    x = xp.arange(width, device=image.device)[None, None, :] - right[:, None, None]
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    index = xp.clip(y, 0, height - 1) * width + xp.clip(x, 0, width - 1)
    flat = xp.reshape(image, (image.shape[0], -1))
    moved = xp.take_along_axis(flat, xp.reshape(index, flat.shape), axis=1)
    return xp.reshape(moved, image.shape) * xp.astype(inside, image.dtype)


def _always(label: int, card: TaskCard, stage: str) -> Agent:
    card.stage(stage)
    return Policy(lambda x: np.full(x.shape[:2], label))


@lru_cache(maxsize=4)
def _digits(split: str) -> _Pictures:
    pictures, labels = digits()
    number = np.zeros(len(labels), dtype=np.int64)  # of the picture within its class
    for label in range(CLASSES):
        number[labels == label] = np.arange(np.count_nonzero(labels == label))
    part = number % 5
    chosen = {"train": part < 3, "validation": part == 3, "test": part == 4}[split]  # noqa: PLR2004
    return _Pictures(pictures[chosen], labels[chosen])


def _recorded(source: str, split: str) -> _Pictures:
    arrays = sources.get(source).load()
    if split == "test":
        return _Pictures(arrays["test_images"], arrays["test_labels"])
    images = arrays.get("train_images", np.empty((0, 28, 28), np.uint8))
    stop = {"validation": FIRST_TRAINING_ROW, "train15k": 20_000, "train": 60_000}[split]
    if len(images) < stop:
        instead = "use the split 'train15k', or " if len(images) >= 20_000 else ""  # noqa: PLR2004
        raise MissingData(
            f"the split {split!r} of {source!r} needs the first {stop:,} training pictures, and "
            f"{len(images):,} are there; {instead}get the whole: "
            f"run `neurotasks data fetch {source}`"
        )
    start = 0 if split == "validation" else FIRST_TRAINING_ROW
    return _Pictures(images[start:stop], arrays["train_labels"][start:stop])
