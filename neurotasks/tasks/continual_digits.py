"""Learn ten digits in five steps, two digits at a time, and forget none.

What the subject sees: grey-scale images of 8 x 8 pixels of handwritten digits, each image a trial
of one step. The stream has five experiences; each teaches two of the ten digits and is never seen
again. Which digits come together, and when, is the seed's own order.

What it may do: answer one of the ten digits. It is not told from which experience an image comes
(class-incremental learning).

How it is scored: accuracy on the test images of each experience, averaged over the five, after the
last experience. The whole matrix (accuracy on experience j after experience i) stays in the result,
with forgetting, backward and forward transfer.

When it ends: after the one answer; the stream ends after its fifth experience.

Chance and ceiling: every digit has 45 test images, so that any constant answer earns exactly 0.1.
The ceiling is a reference: the same network that the continual learners use, trained on all ten
digits at once.

Source: images of the Optical Recognition of Handwritten Digits set (Alpaydin and Kaynak, 1998) as
bundled with scikit-learn; class-incremental splits after van de Ven and Tolias (2019), "Three
scenarios for continual learning".
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from neurotasks.agent import Agent, Policy
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import AVERAGE_ACCURACY
from neurotasks.registry import register
from neurotasks.rng import Draw, check_seed
from neurotasks.sources import digits
from neurotasks.task import Batch, StreamTask

DIGITS, EXPERIENCES = 10, 5
TESTED = 45  # test images of each digit; the other 129 to 138 of it are for learning

CARD = TaskCard(
    name="ContinualDigits",
    version=0,
    form="stream",
    topic="continual learning",
    courses=("Neuromatch Academy Deep Learning, W3D4 Tutorial 1",),
    summary="Learn ten handwritten digits two at a time, without forgetting the earlier ones.",
    metric=AVERAGE_ACCURACY,
    ceiling="reference",
    ceiling_source="network of two hidden layers of 128 units trained on all digits at once (SGD, "
    "learning rate 0.03, momentum 0.9, batches of 32, 40 passes), mean of 10 seeds",
    chance_source="any constant answer, exact",
    steps=1,
    stages={"test": Stage(trials=DIGITS * TESTED, chance=0.1, ceiling=0.981, ceiling_error=0.0015)},
    splits={"train": 1347, "test": DIGITS * TESTED},
    data="embedded",
    licence="CC BY 4.0 (UCI Machine Learning Repository)",
    citation="Alpaydin, Kaynak (1998), Optical Recognition of Handwritten Digits, UCI",
    tags=("vision", "classification", "class-incremental"),
)


@register(CARD)
class ContinualDigits(StreamTask):
    """Five experiences of two digits each."""

    observation_space = spaces.Box(0, 255, (1, 8, 8), np.uint8)
    action_space = spaces.Discrete(DIGITS)
    experiences = EXPERIENCES

    def experience(self, index: int, seed: int) -> Batch:
        """Return the training images of two digits, in an order of the seed's own."""
        return _batch(_taught(index, check_seed(seed)), seed)

    def test(self, seed: int, stage: str = "test") -> Batch:
        """Return the 450 test images, the same for every seed; "group" is the seed's."""
        self.card.stage(stage)
        return _batch(_digits().test, seed)

    def trivial(self, stage: str = "test") -> Agent:
        """Answer 0."""
        self.card.stage(stage)
        return Policy(lambda x: np.zeros(x.shape[:2], dtype=np.int64))


class _Digits(NamedTuple):
    """The bundled images, and which rows are for learning and for testing."""

    images: NDArray[np.uint8]  # (1797, 1, 8, 8)
    labels: NDArray[np.int64]  # (1797,)
    train: NDArray[np.int64]
    test: NDArray[np.int64]


@lru_cache(maxsize=1)
def _digits() -> _Digits:
    """Load the images and split them once and for all, each digit by itself.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    pictures, labels = digits()
    shuffled = Draw(CARD.label, "test", 0).permutation("split", len(labels))[0]
    rows = [shuffled[labels[shuffled] == digit] for digit in range(DIGITS)]
    train = np.sort(np.concatenate([row[TESTED:] for row in rows]))
    test = np.sort(np.concatenate([row[:TESTED] for row in rows]))
    return _Digits(pictures[:, None], labels.astype(np.int64), train, test)


@lru_cache(maxsize=1024)
def _order(seed: int) -> NDArray[np.int64]:
    """Return the digits of a seed in the order in which they are taught, (10,)."""
    return Draw(CARD.label, "train", seed).permutation("digits", DIGITS)[0]


@lru_cache(maxsize=1024)
def _taught(index: int, seed: int) -> NDArray[np.int64]:
    """Return the rows of an experience."""
    _, labels, train, _ = _digits()
    rows = train[np.isin(labels[train], _order(seed).reshape(EXPERIENCES, -1)[index])]
    return rows[Draw(CARD.label, "train", seed, index).permutation("rows", len(rows))[0]]


def _batch(rows: NDArray[np.int64], seed: int) -> Batch:
    images, labels, _, _ = _digits()
    digit = labels[rows]
    group = np.argsort(_order(check_seed(seed)))[digit] // (DIGITS // EXPERIENCES)
    return Batch(
        x=images[rows][:, None],
        y=digit[:, None],
        mask=np.ones((len(rows), 1), dtype=np.bool_),
        trials={"row": rows.copy(), "group": group},
    )
