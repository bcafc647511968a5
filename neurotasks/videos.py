"""Streams of videos: fifty objects in ten categories, each filmed in eleven sessions.

The protocol is that of CORe50 (Lomonaco and Maltoni, 2017). Sessions 3, 7 and 10 are for testing;
the frames of the other eight come in batches that are never seen again:

    NI           new instances: 8 batches, each all fifty objects in one session
    NC           new classes: 9 batches, ten objects and then five at a time, in all eight sessions
    NIC          both: 79 batches, ten objects and then five at a time, in one session
    NICv2_79     the same, but the objects of a batch are any: ten videos, then five at a time
    NICv2_196    ten videos, then two at a time
    NICv2_391    ten videos, then one at a time
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from neurotasks.agent import Agent, Policy
from neurotasks.rng import check_seed
from neurotasks.task import Batch, StreamTask, tell

__all__ = [
    "BATCHES",
    "CATEGORIES",
    "OBJECTS",
    "TEST",
    "TEST_SESSIONS",
    "TRAIN_SESSIONS",
    "Frames",
    "VideoStream",
]

BATCHES: Mapping[str, int] = MappingProxyType(
    {"NI": 8, "NC": 9, "NIC": 79, "NICv2_79": 79, "NICv2_196": 196, "NICv2_391": 391}
)
"""The scenarios, and how many training batches each has."""

OBJECTS, CATEGORIES = 50, 10
TEST_SESSIONS = (3, 7, 10)
TRAIN_SESSIONS = (1, 2, 4, 5, 6, 8, 9, 11)
TEST = -1  # the number of the test list, after those of the batches
_FIRST, _NEXT = 10, 5  # objects that a batch of NC teaches


class Frames(NamedTuple):
    """Which frames a list names, (N,) int64 each.

    Attributes:
        item: Number of the object, from 1.
        session: Number of the session, from 1.
        frame: Number of the frame in its video, from 0.
    """

    item: NDArray[np.int64]
    session: NDArray[np.int64]
    frame: NDArray[np.int64]


class VideoStream(StreamTask):
    """What all of these streams share.

    A subclass sets the class attributes and `observation_space`, and says which frames a list names
    and what they show. The table of its trials holds "group", "object", "session" and "frame", and
    "task" where the agent is told the batch of NC that teaches an object.

    Attributes:
        scenario: One of `BATCHES`.
        level: "object", fifty classes, or "category", ten classes of five objects each.
    """

    scenario: ClassVar[str]
    level: ClassVar[str] = "object"

    def __init_subclass__(cls) -> None:
        """Derive what follows from the scenario and the level."""
        super().__init_subclass__()
        if not hasattr(cls, "scenario"):
            return
        cls.experiences = BATCHES[cls.scenario]
        classes = CATEGORIES if cls.level == "category" or cls.told else OBJECTS
        cls.action_space = spaces.Discrete(classes)  # told the batch, one of ten objects is left

    @abstractmethod
    def frames(self, seed: int, batch: int, stage: str) -> Frames:
        """Return the frames of a training batch, or with batch `TEST` those of a stage's test."""

    @abstractmethod
    def images(self, seed: int, frames: Frames, stage: str) -> NDArray[np.uint8]:
        """Return what frames show, (N, 3, side, side), in stage "train" or one of evaluation."""

    @abstractmethod
    def taught(self, seed: int) -> NDArray[np.int64]:
        """Return which batch of scenario NC teaches each object, (50,)."""

    def classes(self, seed: int) -> NDArray[np.int64]:
        """Return the class of each object at the object level, (50,); by default its number."""
        del seed
        return np.arange(OBJECTS)

    def experience(self, index: int, seed: int) -> Batch:
        """Return the frames of a batch in the order of its list.

        Raises:
            IndexError: There is no such batch.
        """
        if not 0 <= index < self.experiences:
            raise IndexError(f"{self.card.id} has batches 0 to {self.experiences - 1}, not {index}")
        return self._show(check_seed(seed), self.frames(seed, index, "train"), "train")

    def test(self, seed: int, stage: str = "test") -> Batch:
        """Return frames of the three test sessions.

        Its groups are the batches that teach the objects in NC, and else the sessions.
        """
        self.card.stage(stage)
        return self._show(check_seed(seed), self.frames(seed, TEST, stage), stage)

    def sizes(self, seed: int) -> list[int]:
        """Return the number of frames of each batch, from the lists alone."""
        batches = range(self.experiences)
        return [len(self.frames(check_seed(seed), batch, "train").item) for batch in batches]

    def sample(self, trials: int | range, seed: int = 0, stage: str = "train") -> Batch:
        """Return trials by their numbers, as `StreamTask` does; no other frame is looked at."""
        self.card.stage(stage)
        shown = "test" if stage == "validation" else stage
        batches = range(self.experiences) if stage == "train" else (TEST,)
        parts = [self.frames(check_seed(seed), batch, shown) for batch in batches]
        numbers = np.arange(trials) if isinstance(trials, int) else np.asarray(trials, np.int64)
        columns = (np.concatenate(column) for column in zip(*parts, strict=True))
        listed = Frames(*(column[numbers % len(column)] for column in columns))
        return self._show(seed, listed, shown)

    def trivial(self, stage: str = "test") -> Agent:
        """Answer one class; of fifty the last, which a batch of NC teaches with four others."""
        self.card.stage(stage)
        answer = 0 if self.told or self.level == "category" else OBJECTS - 1
        return Policy(lambda x: np.full(x.shape[:2], answer))

    def _show(self, seed: int, listed: Frames, stage: str) -> Batch:
        """Return frames with their truths."""
        item, images = listed.item - 1, self.images(seed, listed, stage)
        label = (
            item // (OBJECTS // CATEGORIES)
            if self.level == "category"
            else self.classes(seed)[item]
        )
        table = {"object": listed.item, "session": listed.session, "frame": listed.frame}
        if self.scenario == "NC":
            taught = self.taught(seed)
            table["group"] = taught[item]
            if self.told:
                table["task"] = taught[item]
                label = _positions(taught)[item]
                images = tell(images, taught[item], self.told)
        else:  # means nothing in training
            table["group"] = np.searchsorted(TEST_SESSIONS, listed.session)
        mask = np.ones((len(item), 1), dtype=np.bool_)
        return Batch(x=images[:, None], y=label[:, None], mask=mask, trials=table)


def _positions(taught: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the place of each object among those that its batch teaches, (50,)."""
    places = np.zeros_like(taught)
    for batch in np.unique(taught):
        members = np.flatnonzero(taught == batch)
        places[members] = np.arange(len(members))
    return places
