"""Recognise fifty objects from short videos that come one batch after the other.

What the subject sees: colour images of 32 x 32 pixels (ids with "128": of 128 x 128), frames of
videos in which a hand turns an object. Fifty objects, five in each of ten categories, were filmed
in eleven places (sessions); three sessions are for testing. The training frames come in batches
that are never seen again, in one of six scenarios:

- NI, new instances: 8 batches, each all fifty objects in one new session;
- NC, new classes: 9 batches, ten objects and then five at a time, in all eight sessions;
- NIC, both: 79 batches, ten objects and then five at a time, in one session;
- NICv2Of79, NICv2Of196, NICv2Of391: both in smaller steps, ten videos and then five, two or one at
  a time, of any objects and sessions.

Seed s is run s modulo 10 of the ten official runs, which differ in the order of the batches.

What it may do: answer one of the fifty objects, or (ids with "Category") one of the ten categories.
In NC, objects are counted as they are taught. In NCTask the subject is told which batch teaches the
object that it sees, by nine planes that follow the image, and answers its place among the five or
ten objects of that batch.

How it is scored: accuracy in each group of the test set, averaged over the groups, after the last
batch. In NC a group is what one batch teaches, in the others one of the test sessions 3, 7, 10. The
whole matrix (accuracy in each group after each batch) stays in the result.

When it ends: after the one answer; the stream ends after its last batch.

Chance and ceiling: always the same answer. At the object level the ceiling is the published
accuracy of a network that was trained on all batches so far (cumulative): the row "avg" of the
benchmark's own files, which its leaderboard quotes; it averages the runs 0 to 8 of NI, five runs of
NC and three of NIC. The network saw 128 x 128 pixels, and its accuracy was taken over the whole
test set rather than over groups. NICv2 has no such figure and takes that of NIC: the same frames
in another order. For categories and for NCTask no figure of joint training is published; their
ceiling is 1, all answers right, which bounds every learner and need not be reached.

Source: Lomonaco and Maltoni (2017), "CORe50", Conference on Robot Learning; NICv2: Lomonaco,
Maltoni and Pellegrini (2020), "Rehearsal-free continual learning over small non-i.i.d. batches",
CVPR Workshops; NCTask: the continual learning challenge of CVPR 2020.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any, ClassVar, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from neurotasks import sources
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import AVERAGE_ACCURACY
from neurotasks.registry import register
from neurotasks.sources import core50, core50_curves
from neurotasks.videos import BATCHES, CATEGORIES, OBJECTS, Frames, VideoStream

SMALL, LARGE = 32, 128  # pixels
SOURCES = {SMALL: "core50", LARGE: "core50_128"}
TRAINED, TESTED = 119_894, 44_972  # frames

# Mid-VGG trained cumulatively: accuracy after the last batch.
JOINT: Mapping[str, float] = {"NI": 0.6987, "NC": 0.7041, "NIC": 0.7073}


class Variant(NamedTuple):
    """What tells the streams apart."""

    scenario: str
    level: str = "object"
    side: int = SMALL
    told: int = 0

    @property
    def name(self) -> str:
        """The name of the stream."""
        scenario = self.scenario.replace("_", "Of") + ("Task" if self.told else "")
        level = "Category" if self.level == "category" else ""
        return f"ContinualCORe50{scenario}{level}{'' if self.side == SMALL else self.side}"


VARIANTS = (
    *(Variant(*facts) for facts in product(BATCHES, ("object", "category"), SOURCES)),
    Variant("NC", told=BATCHES["NC"]),
)

SHOWN: Mapping[str, str] = {
    "NI": "each batch shows all in a new place",
    "NC": "each batch shows new objects",
    "NIC": "new objects and places",
    "NICv2_79": "five new videos at a time",
    "NICv2_196": "two new videos at a time",
    "NICv2_391": "one new video at a time",
}


def chance(variant: Variant) -> float:
    """Return the accuracy of the best constant answer, averaged over the groups.

    The first batch of NC teaches an object of each category, each later one an object of each of
    five categories.
    """
    if variant.scenario != "NC":
        return 1 / (CATEGORIES if variant.level == "category" else OBJECTS)
    later = BATCHES["NC"] - 1
    if variant.told:  # one of ten, and one of five in each later batch
        return (1 / 10 + later / 5) / BATCHES["NC"]
    if variant.level == "category":  # it comes in half of the later batches
        return (1 / 10 + later / 2 / 5) / BATCHES["NC"]
    return 1 / 5 / BATCHES["NC"]  # one of five objects in one batch


def ceiling(variant: Variant) -> tuple[float, str]:
    """Return the ceiling, and what it rests on."""
    if variant.told or variant.level == "category":
        return 1.0, "all answers right, an upper bound: no figure of joint training is published"
    scenario = variant.scenario.partition("v2")[0]
    size = "" if variant.side == LARGE else ", frames of 128 x 128 pixels"
    same = "" if scenario == variant.scenario else "; NICv2 has no such figure"
    return JOINT[scenario], (
        f"Mid-VGG trained cumulatively{size}, accuracy over the whole test set after the last "
        f"batch (benchmark's repository, {scenario}.tsv, row avg{same})"
    )


def _card(variant: Variant) -> TaskCard:
    highest, source = ceiling(variant)
    lowest = chance(variant)
    asked = "ten categories" if variant.level == "category" else "fifty objects"
    where = ", told the batch of each" if variant.told else ""
    return TaskCard(
        name=variant.name,
        version=0,
        form="stream",
        topic="continual learning",
        courses=("Neuromatch Academy Deep Learning, W3D4 Tutorial 1",),
        summary=f"Recognise {asked}{where}; {SHOWN[variant.scenario]}.",
        metric=AVERAGE_ACCURACY,
        ceiling="exact" if highest == 1 else "published",
        ceiling_source=source,
        chance_source="one answer always; a video has 293 to 300 frames, so within 0.0005",
        steps=1,
        stages={"test": Stage(trials=TESTED, chance=lowest, ceiling=highest, chance_error=1e-4)},
        splits={"train": TRAINED, "test": TESTED},
        data="recorded",
        source=SOURCES[variant.side],
        licence="CC BY 4.0",
        citation="Lomonaco, Maltoni (2017), Conference on Robot Learning, PMLR 78:17",
        tags=("vision", "classification", "video"),
    )


class _CORe50(VideoStream):
    """The official frames and lists.

    Attributes:
        source: The source of the frames of one size.
    """

    source: ClassVar[str]

    def frames(self, seed: int, batch: int, stage: str) -> Frames:
        """Return the frames of an official list."""
        del stage
        arrays = self._arrays()
        rows = core50.rows(arrays, self.scenario, seed % core50.RUNS, batch)
        columns = (arrays[name][rows] for name in ("object", "session", "frame"))
        return Frames(*(column.astype(np.int64) for column in columns))

    def images(self, seed: int, frames: Frames, stage: str) -> NDArray[np.uint8]:
        """Return the recorded frames; only these are read."""
        del seed, stage
        arrays = self._arrays()
        return np.asarray(arrays["images"][core50.find(arrays, frames)])

    def taught(self, seed: int) -> NDArray[np.int64]:
        """Return which batch of scenario NC teaches each object, (50,)."""
        found = np.zeros(OBJECTS, dtype=np.int64)
        for batch in range(BATCHES["NC"]):
            found[self.frames(seed, batch, "train").item - 1] = batch
        return found

    def classes(self, seed: int) -> NDArray[np.int64]:
        """Return the official label of each object, (50,)."""
        labels = self._arrays()[f"{self.scenario}_labels"]
        return np.asarray(labels[seed % core50.RUNS], dtype=np.int64)

    def published(self) -> Mapping[str, NDArray[np.float64]]:
        """Return the published courses of the scenario, if they are in the cache.

        They are of the object level and average over the whole test set, of which the first ten
        objects of NC are a fifth, and not over groups.
        """
        known = (
            self.level == "object" and not self.told and self.scenario in core50_curves.SCENARIOS
        )
        if not known or not core50_curves.SOURCE.present:
            return {}
        return {name: course[0] for name, course in core50_curves.curves(self.scenario).items()}

    def _arrays(self) -> Mapping[str, NDArray[Any]]:
        return sources.get(self.source).load()


for _variant in VARIANTS:
    _shape = (3 + _variant.told, _variant.side, _variant.side)
    _facts = {
        "scenario": _variant.scenario,
        "level": _variant.level,
        "told": _variant.told,
        "source": SOURCES[_variant.side],
        "observation_space": spaces.Box(0, 255, _shape, np.uint8),
        "__module__": __name__,
        "__doc__": SHOWN[_variant.scenario].capitalize() + ".",
    }
    register(_card(_variant))(type(_variant.name, (_CORe50,), _facts))
