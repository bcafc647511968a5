"""Streams of digits that change from experience to experience, in three scenarios.

What changes (the protocol):

    SplitStream      the digits: each experience teaches two of the ten, in an order of the seed's
                     own
    PermutedStream   the places of the pixels: experience 0 shows all digits as they are, each later
                     one all digits under a permutation of the seed's own (Goodfellow et al., 2013)
    RotatedStream    the angle: experience i of E shows all digits turned by 180 i / E degrees, the
                     range of Lopez-Paz and Ranzato (2017)

What the subject is told and asked (the scenario; van de Ven and Tolias, 2019, "Three scenarios for
continual learning"; van de Ven, Tuytelaars and Tolias, 2022, Nature Machine Intelligence 4:1185):

    Task     it is told the experience, and answers which of that experience's classes it sees
    Domain   it is not told the experience, and answers the same
    Class    it is not told the experience, and answers which of all experiences' classes it sees

In `SplitStream` the two classes of an experience are its first and its second digit in the order of
the seed; over all experiences the classes are the ten digits. In the other streams the classes of
an experience are the ten digits; over all experiences, class 10 i + d is digit d in experience i.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import ClassVar, NamedTuple, TypeAlias

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from neurotasks.agent import Agent, Policy
from neurotasks.rng import Draw, check_seed
from neurotasks.task import Batch, StreamTask, tell

__all__ = [
    "DIGITS",
    "PAIR",
    "SCENARIOS",
    "Images",
    "PermutedStream",
    "RotatedStream",
    "ScenarioStream",
    "SplitStream",
    "rotated",
]

SCENARIOS: Mapping[str, str] = MappingProxyType(
    {
        "Task": "told which experience an image belongs to",
        "Domain": "not told which experience an image belongs to",
        "Class": "without forgetting the earlier ones",
    }
)
"""The scenarios, and what a summary says of them."""

Numbers: TypeAlias = NDArray[np.int64]
"""One number for each image, (N,): its row, its digit, the experience that it belongs to."""

DIGITS, PAIR = 10, 2
_BITS = 4  # a rotated pixel lies on a grid of 1/16 of a pixel
_BLOCK = 512  # images that are rotated at a time, so that all stays in the cache


class Images(NamedTuple):
    """Images of digits, and which rows are for learning and for testing.

    Attributes:
        pixels: (N, side, side) uint8.
        labels: The digits, (N,) int64.
        train: Rows for learning, int64.
        test: Rows for testing, int64.
    """

    pixels: NDArray[np.uint8]
    labels: Numbers
    train: Numbers
    test: Numbers


class ScenarioStream(StreamTask):
    """What these streams share.

    A subclass sets the class attributes. The table of its trials holds "row", the row of the image,
    "group", the experience that the trial belongs to, and where this is told the same as "task".

    Attributes:
        scenario: One of `SCENARIOS`.
        source: Returns the images.
        side: Pixels of a side.
        frequent: The answer that is most often right.
        classes: How many classes one experience teaches.
    """

    scenario: ClassVar[str]
    source: ClassVar[Callable[[], Images]]
    side: ClassVar[int]
    frequent: ClassVar[int] = 0
    classes: ClassVar[int] = DIGITS

    def __init_subclass__(cls) -> None:
        """Derive what follows from the scenario."""
        super().__init_subclass__()
        if not hasattr(cls, "scenario"):
            return
        cls.told = cls.experiences if cls.scenario == "Task" else 0
        cls.observation_space = spaces.Box(0, 255, (1 + cls.told, cls.side, cls.side), np.uint8)
        answers = cls.classes * (cls.experiences if cls.scenario == "Class" else 1)
        cls.action_space = spaces.Discrete(answers)

    @property
    def images(self) -> Images:
        """The images of all experiences as they are."""
        return type(self).source()

    @abstractmethod
    def taught(self, index: int, seed: int) -> Numbers:
        """Return the rows that an experience teaches, in the order of the file."""

    @abstractmethod
    def tested(self, seed: int) -> tuple[Numbers, Numbers]:
        """Return the rows of the test set and the experience that each belongs to."""

    @abstractmethod
    def shown(self, rows: Numbers, group: Numbers, seed: int) -> NDArray[np.uint8]:
        """Return what rows look like in an experience each, (N, side, side)."""

    @abstractmethod
    def label(self, digit: Numbers, group: Numbers, seed: int) -> Numbers:
        """Return the class of each digit in the stream's scenario, (N,)."""

    def experience(self, index: int, seed: int) -> Batch:
        """Return the training images of an experience, in an order of the seed's own.

        Raises:
            ValueError: The stream has no such experience.
        """
        if not 0 <= index < self.experiences:
            last = self.experiences - 1
            raise ValueError(f"{self.card.id} has the experiences 0 to {last}, not {index}")
        rows = _order(self, index, check_seed(seed)).astype(np.int64)
        return self._batch(rows, np.full(len(rows), index), seed)

    def test(self, seed: int, stage: str = "test") -> Batch:
        """Return the test set: every test image once in each experience that has its digit."""
        self.card.stage(stage)
        return self._batch(*self.tested(check_seed(seed)), seed)

    def sizes(self, seed: int) -> list[int]:
        """Return the number of training images of each experience."""
        return [len(self.taught(index, check_seed(seed))) for index in range(self.experiences)]

    def sample(self, trials: int | range, seed: int = 0, stage: str = "train") -> Batch:
        """Return trials by their numbers: in stage "train", in the order of the stream.

        After the last trial of the stream (or of the test set) the first comes again.
        """
        self.card.stage(stage)
        numbers = np.arange(trials) if isinstance(trials, int) else np.array(trials, np.int64)
        if stage != "train":
            rows, group = self.tested(check_seed(seed))
            return self._batch(rows[numbers % len(rows)], group[numbers % len(rows)], seed)
        ends = np.cumsum(self.sizes(seed))
        numbers = numbers % ends[-1]
        group = np.searchsorted(ends, numbers, side="right")
        rows = np.empty_like(numbers)
        for index in np.unique(group).tolist():
            order, here = _order(self, index, seed), group == index
            rows[here] = order[numbers[here] - (ends[index] - len(order))]
        return self._batch(rows, group, seed)

    def trivial(self, stage: str = "test") -> Agent:
        """Answer the class that is most often right."""
        self.card.stage(stage)
        return Policy(lambda x: np.full(x.shape[:2], self.frequent))

    def _batch(self, rows: Numbers, group: Numbers, seed: int) -> Batch:
        digit = self.images.labels[rows]
        images = self.shown(rows, group, seed)[:, None]
        table = {"row": rows.copy(), "group": group}
        if self.told:
            table["task"] = group.copy()
        return Batch(
            x=tell(images, group, self.told)[:, None],
            y=self.label(digit, group, seed)[:, None],
            mask=np.ones((len(rows), 1), dtype=np.bool_),
            trials=table,
        )


@lru_cache(maxsize=1024)
def _order(task: ScenarioStream, index: int, seed: int) -> NDArray[np.int32]:
    """Return the rows of an experience in the order of a seed."""
    rows = task.taught(index, seed)
    order = Draw(task.card.label, "train", seed, index).permutation("rows", len(rows))[0]
    return rows[order].astype(np.int32)  # half as large, for where many are kept


class SplitStream(ScenarioStream):
    """Each experience teaches two digits."""

    classes = PAIR
    experiences = DIGITS // PAIR

    def taught(self, index: int, seed: int) -> Numbers:
        """Return the rows of two digits."""
        _, labels, train, _ = self.images
        return train[_place(self, seed)[labels[train]] // PAIR == index]

    def tested(self, seed: int) -> tuple[Numbers, Numbers]:
        """Return all rows once, each in the experience that teaches its digit."""
        _, labels, _, test = self.images
        return test, _place(self, seed)[labels[test]] // PAIR

    def shown(self, rows: Numbers, group: Numbers, seed: int) -> NDArray[np.uint8]:
        """Return the images as they are."""
        del group, seed
        return self.images.pixels[rows]

    def label(self, digit: Numbers, group: Numbers, seed: int) -> Numbers:
        """Return the digit itself, or whether it is the first or the second of its experience."""
        del group
        return digit if self.scenario == "Class" else _place(self, seed)[digit] % PAIR


@lru_cache(maxsize=1024)
def _place(task: ScenarioStream, seed: int) -> NDArray[np.int64]:
    """Return the place of each digit in the order in which a seed teaches them, (10,)."""
    return np.argsort(Draw(task.card.label, "train", seed).permutation("digits", DIGITS)[0])


class _AllDigitsStream(ScenarioStream):
    """Each experience teaches all digits and shows them in its own way."""

    @abstractmethod
    def change(self, images: NDArray[np.uint8], index: int, seed: int) -> NDArray[np.uint8]:
        """Return images (N, side, side) as they look in an experience other than the first."""

    def taught(self, index: int, seed: int) -> Numbers:
        """Return all rows."""
        del index, seed
        return self.images.train

    def tested(self, seed: int) -> tuple[Numbers, Numbers]:
        """Return each row once in every experience."""
        del seed
        test = self.images.test
        return np.repeat(test, self.experiences), np.tile(np.arange(self.experiences), len(test))

    def shown(self, rows: Numbers, group: Numbers, seed: int) -> NDArray[np.uint8]:
        """Return the images of each experience in its own way."""
        images = self.images.pixels[rows]
        indices = np.unique(group).tolist()
        for index in indices:
            here = slice(None) if len(indices) == 1 else group == index
            if index:
                images[here] = self.change(images[here], index, seed)
        return images

    def label(self, digit: Numbers, group: Numbers, seed: int) -> Numbers:
        """Return the digit, counted on from experience to experience where all are asked for."""
        del seed
        return digit + DIGITS * group if self.scenario == "Class" else digit


class PermutedStream(_AllDigitsStream):
    """Each experience permutes the pixels in its own way."""

    def change(self, images: NDArray[np.uint8], index: int, seed: int) -> NDArray[np.uint8]:
        """Permute the pixels."""
        flat = images.reshape(len(images), -1)
        return np.take(flat, _permutation(self, index, seed), axis=1).reshape(images.shape)


@lru_cache(maxsize=1024)
def _permutation(task: ScenarioStream, index: int, seed: int) -> NDArray[np.int64]:
    """Return which pixel an experience shows in the place of each."""
    return Draw(task.card.label, "train", seed, index).permutation("pixels", task.side**2)[0]


class RotatedStream(_AllDigitsStream):
    """Each experience turns the images by its own angle."""

    def change(self, images: NDArray[np.uint8], index: int, seed: int) -> NDArray[np.uint8]:
        """Turn the images."""
        del seed
        return rotated(images, 180 * index / self.experiences)


def rotated(images: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
    """Return images turned anticlockwise about their middle; what comes in is black.

    A pixel is interpolated between the four that lie around its place before the turn (bilinear).
    The place is rounded to 1/16 of a pixel and all sums are of integers, so that every machine
    shows the same bytes.

    Args:
        images: (N, side, side).
        degrees: The angle.
    """
    where, weight = _neighbours(images.shape[1], degrees)
    flat = images.reshape(len(images), -1)
    turned = np.empty_like(flat)
    for start in range(0, len(flat), _BLOCK):
        part = flat[start : start + _BLOCK]
        total = np.full(part.shape, 1 << (2 * _BITS - 1), dtype=np.uint16)  # rounds to nearest
        for pixel, share in zip(where, weight, strict=True):
            total += np.take(part, pixel, axis=1) * share
        turned[start : start + _BLOCK] = total >> (2 * _BITS)
    return turned.reshape(images.shape)


@lru_cache(maxsize=64)
def _neighbours(side: int, degrees: float) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """Return the four pixels that each turned pixel lies between, and their shares in 1/256.

    Returns:
        Both (4, side * side); the shares of pixels outside are 0.
    """
    unit = 1 << _BITS
    middle, angle = (side - 1) / 2, np.deg2rad(degrees)
    down, right = np.mgrid[:side, :side].reshape(2, -1) - middle
    before = np.stack(
        [
            np.sin(angle) * right + np.cos(angle) * down,
            np.cos(angle) * right - np.sin(angle) * down,
        ]
    )
    place = np.rint((before + middle) * unit).astype(np.int64)
    corner, rest = place >> _BITS, place & (unit - 1)
    where, weight = [], []
    for step in np.ndindex(2, 2):
        y, x = corner + np.reshape(step, (2, 1))
        dy, dx = np.where(np.reshape(step, (2, 1)), rest, unit - rest)
        inside = (y >= 0) & (y < side) & (x >= 0) & (x < side)
        where.append(np.where(inside, y * side + x, 0))
        weight.append(np.where(inside, dy * dx, 0))
    return np.stack(where), np.stack(weight).astype(np.uint16)
