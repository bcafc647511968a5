"""Recognise fifty objects from short videos that come one batch after the other.

What the subject sees: colour images of 32 x 32 pixels, frames of videos in which a hand turns an
object. Fifty objects were filmed in eleven places (sessions); three sessions are for testing. The
training frames come in batches that are never seen again, in one of three scenarios:

- NI, new instances: 8 batches, each all fifty objects in one new session;
- NC, new classes: 9 batches, ten objects and then five at a time, in all eight sessions;
- NIC, both: 79 batches, ten objects and then five at a time, in one session.

Seed s is run s modulo 10 of the ten official runs, which differ in the order of the batches.

What it may do: answer one of the fifty objects. In NC, objects are counted as they are taught.

How it is scored: accuracy in each group of the test set, averaged over the groups, after the last
batch. In NC a group is what one batch teaches, in NI and NIC one of the test sessions 3, 7, 10. The
whole matrix (accuracy in each group after each batch) stays in the result.

When it ends: after the one answer; the stream ends after its last batch.

Chance and ceiling: always the same object. The ceiling is the published accuracy of a network that
was trained on all batches so far (cumulative); it saw 128 x 128 pixels, the frames here have
32 x 32, and its accuracy was taken over the whole test set rather than over groups.

Source: Lomonaco and Maltoni (2017), "CORe50", Conference on Robot Learning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from neurotasks import sources
from neurotasks.agent import Agent, Policy
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import AVERAGE_ACCURACY
from neurotasks.registry import register
from neurotasks.rng import check_seed
from neurotasks.sources import core50
from neurotasks.task import Batch, StreamTask

TEST = -1  # the number of the test list, after those of the batches
TRAINED, TESTED = 119_894, 44_972  # frames


def _card(scenario: str, summary: str, chance: float, ceiling: float) -> TaskCard:
    return TaskCard(
        name=f"ContinualCORe50{scenario}",
        version=0,
        form="stream",
        topic="continual learning",
        courses=("Neuromatch Academy Deep Learning, W3D4 Tutorial 1",),
        summary=summary,
        metric=AVERAGE_ACCURACY,
        ceiling="published",
        ceiling_source="Mid-VGG trained cumulatively, frames of 128 x 128 pixels, accuracy over "
        f"the whole test set after the last batch (benchmark's repository, {scenario}.tsv)",
        chance_source="one object always; a video has 293 to 300 frames, so within 0.0005",
        steps=1,
        stages={"test": Stage(trials=TESTED, chance=chance, ceiling=ceiling, chance_error=1e-4)},
        splits={"train": TRAINED, "test": TESTED},
        data="recorded",
        source="core50",
        licence="CC BY 4.0",
        citation="Lomonaco, Maltoni (2017), Conference on Robot Learning, PMLR 78:17",
        tags=("vision", "classification", "video"),
    )


class _CORe50(StreamTask):
    """What the three scenarios share."""

    observation_space = spaces.Box(0, 255, (3, core50.SIDE, core50.SIDE), np.uint8)
    action_space = spaces.Discrete(core50.OBJECTS)
    scenario: ClassVar[str]

    def experience(self, index: int, seed: int) -> Batch:
        """Return the frames of a batch in the order of its official list."""
        return self._batch(check_seed(seed) % core50.RUNS, index)

    def test(self, seed: int, stage: str = "test") -> Batch:
        """Return the frames of the three test sessions."""
        self.card.stage(stage)
        return self._batch(check_seed(seed) % core50.RUNS, TEST)

    def sizes(self, seed: int) -> list[int]:
        """Return the number of frames of each batch, from the lists alone."""
        run, arrays = check_seed(seed) % core50.RUNS, sources.get("core50").load()
        batches = range(self.experiences)
        return [len(core50.rows(arrays, self.scenario, run, batch)) for batch in batches]

    def trivial(self, stage: str = "test") -> Agent:
        """Answer the last object; in NC it is one of a group of five, so the better guess."""
        self.card.stage(stage)
        return Policy(lambda x: np.full(x.shape[:2], core50.OBJECTS - 1))

    def _batch(self, run: int, batch: int) -> Batch:
        arrays = sources.get("core50").load()
        rows = core50.rows(arrays, self.scenario, run, batch)
        item, session = arrays["object"][rows].astype(np.int64), arrays["session"][rows]
        if self.scenario == "NC":
            group = _taught_in(arrays, run)[item - 1]
        else:
            group = np.searchsorted(core50.TEST_SESSIONS, session)  # means nothing in training
        return Batch(
            x=arrays["images"][rows][:, None],
            y=arrays[f"{self.scenario}_labels"][run][item - 1].astype(np.int64)[:, None],
            mask=np.ones((len(rows), 1), dtype=np.bool_),
            trials={
                "group": group,
                "object": item,
                "session": session.astype(np.int64),
                "frame": arrays["frame"][rows].astype(np.int64),
            },
        )


def _taught_in(arrays: Mapping[str, NDArray[Any]], run: int) -> NDArray[np.int64]:
    """Return which batch of scenario NC teaches each object, (50,)."""
    group = np.zeros(core50.OBJECTS, dtype=np.int64)
    for batch in range(core50.BATCHES["NC"]):
        group[arrays["object"][core50.rows(arrays, "NC", run, batch)] - 1] = batch
    return group


@register(
    _card("NI", "Recognise fifty objects; each batch shows all in a new place.", 0.02, 0.6987)
)
class ContinualCORe50NI(_CORe50):
    """New instances."""

    scenario = "NI"
    experiences = core50.BATCHES["NI"]


@register(_card("NC", "Recognise fifty objects; each batch shows new ones.", 1 / 45, 0.7041))
class ContinualCORe50NC(_CORe50):
    """New classes."""

    scenario = "NC"
    experiences = core50.BATCHES["NC"]


@register(_card("NIC", "Recognise fifty objects; new objects and places.", 0.02, 0.7073))
class ContinualCORe50NIC(_CORe50):
    """New instances and classes."""

    scenario = "NIC"
    experiences = core50.BATCHES["NIC"]
