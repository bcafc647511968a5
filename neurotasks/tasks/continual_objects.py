"""Recognise fifty rendered objects from short films that come one batch after the other.

What the subject sees: colour images of 32 x 32 pixels, frames of films in which a hand turns an
object. Fifty objects of ten categories (plug adapters, mobile phones, scissors, light bulbs, cans,
glasses, balls, markers, cups, remote controls) are filmed in eleven places (sessions), which differ
in background, light, distance and hand; three sessions are for testing. A film has 30 frames and is
the same for all seeds. A seed draws which of them are shown (15 of a film in training, 10 in each
test) and the noise of each pixel. The training frames come in batches that are never seen again:

- NI, new instances: 8 batches, each all fifty objects in one new session;
- NC, new classes: 9 batches, ten objects and then five at a time, in all eight sessions;
- NIC, both: 79 batches, ten objects and then five at a time, in one session;
- NICv2Of79, NICv2Of196, NICv2Of391: ten films, and then five, two or one at a time.

Which objects come together, and all orders, are the seed's own; the first batch of all but NI holds
one object of each category, and a later one of NC objects of five categories. The scenarios of a
seed show the same training frames.

What it may do: answer one of the fifty objects, or in "...Category" one of the ten categories. In
NC, objects are counted as they are taught. In NCTask the subject is told which batch taught the
object, by nine planes after the colours, and answers the object's place in that batch.

How it is scored: accuracy in each group of the test set, averaged over the groups, after the last
batch. In NC a group is what one batch teaches, elsewhere one of the test sessions 3, 7, 10. All
groups are equally large: in NC, the ten objects of the first batch show 5 frames a film. The whole
matrix (accuracy in each group after each batch) stays in the result. In the shifted stage fog takes
most of the contrast, and the noise is stronger.

When it ends: after the one answer; the stream ends after its last batch.

Chance and ceiling: always the same object, category or place, exact. The ideal observer knows all
films of the test sessions without noise, and sums the likelihood of the pixels over the frames of
each object (of each category); how often it is right was counted. It takes the density of the noise
for the probability of a byte, which makes no difference that counts.

Source: the protocol is that of CORe50 (Lomonaco and Maltoni, 2017, "CORe50: a new dataset and
benchmark for continuous object recognition", Conference on Robot Learning); the films are our own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from neurotasks.agent import Agent
from neurotasks.arrays import Array
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import AVERAGE_ACCURACY
from neurotasks.registry import register
from neurotasks.rendering import film
from neurotasks.rng import Draw, check_seed
from neurotasks.task import Batch
from neurotasks.videos import (
    BATCHES,
    CATEGORIES,
    OBJECTS,
    TEST,
    TEST_SESSIONS,
    TRAIN_SESSIONS,
    Frames,
    VideoStream,
)

SIDE, FRAMES = 32, 30
TRAINED, TESTED = 15, 10  # frames of a film
GREY = 128.0  # of the fog, a byte
STREAM = "ContinualObjects-v0"  # one name for all scenarios: their frames are the same
_SESSIONS = len(TRAIN_SESSIONS) + len(TEST_SESSIONS)
_FIRST, _NEXT = 10, 5  # objects that a batch of NC teaches
_BLOCK = 512  # images that get their noise at a time
_KEPT = 16  # test sets that are kept, 5 MB each


class _ContinualObjects(VideoStream):
    """What all scenarios share."""

    observation_space = spaces.Box(0, 255, (3, SIDE, SIDE), np.uint8)

    def taught(self, seed: int) -> NDArray[np.int64]:
        """Return which batch of scenario NC teaches each object, (50,)."""
        return np.maximum(_place(seed) // _NEXT - 1, 0)

    def classes(self, seed: int) -> NDArray[np.int64]:
        """Return the class of each object, (50,): in NC its place in the order of teaching."""
        return _place(seed) if self.scenario == "NC" else np.arange(OBJECTS)

    def frames(self, seed: int, batch: int, stage: str) -> Frames:
        """Return the frames of a training batch film by film, those of a test in any order."""
        return Frames(*(column.copy() for column in _listed(self.scenario, seed, batch, stage)))

    def images(self, seed: int, frames: Frames, stage: str) -> NDArray[np.uint8]:
        """Return frames in the contrast of the stage and with noise of their own."""
        parameters = self.card.stage(stage).parameters
        shown = np.empty((len(frames.item), 3, SIDE, SIDE), dtype=np.uint8)
        number = (frames.item - 1) * _SESSIONS + frames.session - 1
        for one in np.unique(number):
            rows = np.flatnonzero(number == one)
            shown[rows] = _film(one)[frames.frame[rows]]
        for start in range(0, len(shown), _BLOCK):
            part = slice(start, start + _BLOCK)
            which = number[part] * FRAMES + frames.frame[part]
            draw = Draw(STREAM, stage, np.full(len(which), seed), which)
            noise = draw.normal("noise", shown.shape[1:])
            seen = _in_fog(shown[part], parameters["contrast"]) + parameters["noise"] * noise
            shown[part] = np.clip(np.rint(seen), 0, 255)
        return shown

    def test(self, seed: int, stage: str = "test") -> Batch:
        """Return frames of the three test sessions, as many of each object in each of them."""
        self.card.stage(stage)
        kept = _test(type(self), check_seed(seed), stage)
        return kept[np.arange(len(kept))]

    def ideal(self, stage: str = "test") -> Agent:
        """Weigh all frames of all films of the test sessions."""
        self.card.stage(stage)
        return _Ideal(self, stage)


@lru_cache(maxsize=_KEPT)
def _test(task: type[_ContinualObjects], seed: int, stage: str) -> Batch:
    """Draw a test set; it is kept, because it is shown again after every batch of a stream."""
    return VideoStream.test(task(), seed, stage)


def _summed(logarithms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithm of the sum of exponentials along the last axis."""
    highest = logarithms.max(axis=-1, keepdims=True)
    sums: NDArray[np.float64] = np.log(np.exp(logarithms - highest).sum(axis=-1))
    return sums + highest[..., 0]


def _film(number: int) -> NDArray[np.uint8]:
    """Return a film by its number, (30, 3, 32, 32)."""
    item, session = divmod(int(number), _SESSIONS)
    return film(item + 1, session + 1, FRAMES, SIDE)


def _in_fog(images: NDArray[np.uint8], contrast: float) -> NDArray[np.float32]:
    return GREY + np.float32(contrast) * (images.astype(np.float32) - np.float32(GREY))


# -- which frames ------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _listed(scenario: str, seed: int, batch: int, stage: str) -> Frames:
    """Return the frames of a training batch or of a test set."""
    if batch != TEST:
        return _taken(seed, stage, _order(scenario, seed)[batch], TRAINED)
    films = np.arange(OBJECTS)[:, None] * _SESSIONS + np.array(TEST_SESSIONS) - 1
    early = (_place(seed) < _FIRST) & (scenario == "NC")  # twice as many objects of one batch
    half = _taken(seed, stage, films[early].reshape(-1), TESTED // 2)
    full = _taken(seed, stage, films[~early].reshape(-1), TESTED)
    columns = [np.concatenate(pair) for pair in zip(half, full, strict=True)]
    mixed = Draw(STREAM, stage, seed).permutation("rows", len(columns[0]))[0]
    return Frames(*(column[mixed] for column in columns))


def _taken(seed: int, stage: str, films: NDArray[np.int64], count: int) -> Frames:
    """Return so many frames of each film, one of every stretch of it."""
    draw = Draw(STREAM, stage, np.full(len(films), seed), films)
    stretch = FRAMES // count
    frame = draw.integers(f"{count} frames", stretch, (count,)) + np.arange(count) * stretch
    item, session = np.divmod(np.repeat(films, count), _SESSIONS)
    return Frames(item + 1, session + 1, frame.reshape(-1))


@lru_cache(maxsize=1024)
def _place(seed: int) -> NDArray[np.int64]:
    """Return the place of each object in the order of teaching, (50,).

    The first ten are one of each category, each later five are of five categories.
    """
    time = Draw(STREAM, "train", seed).uniform("time", (CATEGORIES, OBJECTS // CATEGORIES))[0]
    rank = time.argsort(axis=1).argsort(axis=1)  # among the objects of its category
    return (rank + time).reshape(-1).argsort().argsort()


@lru_cache(maxsize=1024)
def _order(scenario: str, seed: int) -> list[NDArray[np.int64]]:
    """Return the films of each batch of a stream, by their numbers."""
    draw, sessions = Draw(STREAM, "train", seed), np.array(TRAIN_SESSIONS) - 1
    sessions = sessions[draw.permutation("sessions", len(sessions))[0]]
    films = np.argsort(_place(seed))[:, None] * _SESSIONS + sessions  # (50, 8)
    if scenario == "NI":
        return list(films.T)
    if scenario == "NC":
        return [part.reshape(-1) for part in np.split(films, range(_FIRST, OBJECTS, _NEXT))]
    units = films.reshape(-1, _NEXT, len(sessions)).swapaxes(1, 2)  # five objects in a session
    begun = _FIRST // _NEXT
    first = units[:begun, 0].reshape(-1)
    rest = np.concatenate((units[:begun, 1:].reshape(-1, _NEXT), units[begun:].reshape(-1, _NEXT)))
    if scenario != "NIC":  # any films together
        rest = rest.reshape(-1)[draw.permutation("films", rest.size)[0]]
    batches = rest.reshape(BATCHES[scenario] - 1, -1)
    return [first, *batches[draw.permutation("batches", len(batches))[0]]]


# -- the ideal observer ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Ideal:
    """Answers what most of the probability is on.

    Attributes:
        task: The stream.
        stage: The stage.
        seed: The seed, whose order of teaching it knows.
    """

    task: _ContinualObjects
    stage: str
    seed: int = 0

    def act(self, observation: Array, state: Any) -> tuple[Array, Any]:
        """Answer each frame by itself."""
        shown = np.asarray(observation).reshape(-1, *observation.shape[2:])
        test = self.task.test(self.seed, self.stage)
        item = test.trials["object"] - 1
        evidence = _evidence(shown[:, :3], **self.task.card.stage(self.stage).parameters)
        evidence += np.log(np.bincount(item))
        if self.task.told:
            taught = shown[:, 3:, 0, 0].argmax(axis=1)[:, None]
            evidence[taught != self.task.taught(self.seed)] = -np.inf
        belongs = np.zeros((OBJECTS, test.y.max() + 1))
        belongs[item, test.y[:, 0]] = 1
        belief = np.exp(evidence - evidence.max(axis=1, keepdims=True)) @ belongs
        return belief.argmax(axis=1).reshape(observation.shape[:2]), state


def _evidence(images: NDArray[np.uint8], contrast: float, noise: float) -> NDArray[np.float64]:
    """Return the log-likelihood of each object, (N, 50), up to a constant of each image."""
    x = images.reshape(len(images), -1).astype(np.float32) - np.float32(GREY)
    total = np.full((len(images), OBJECTS), -np.inf)
    for session in TEST_SESSIONS:
        films = np.concatenate([_film(i * _SESSIONS + session - 1) for i in range(OBJECTS)])
        clean = _in_fog(films, contrast).reshape(len(films), -1) - np.float32(GREY)
        fits = (x @ clean.T - 0.5 * np.square(clean).sum(axis=1)) / noise**2
        each = _summed(fits.reshape(len(x), OBJECTS, FRAMES).astype(np.float64))
        total = np.logaddexp(total, each)
    return total


# -- the ids -----------------------------------------------------------------------------------


class _Answer(NamedTuple):
    """What the tasks of one kind of answer have in common.

    Attributes:
        asked: What is asked.
        chance: Accuracy of the best constant answer.
        foggy: Accuracy of the ideal observer in stage "shift".
        error: Its standard error.
    """

    asked: str
    chance: float
    foggy: float
    error: float


_GROUPS = BATCHES["NC"]
_OBJECT = _Answer("fifty rendered objects", 1 / OBJECTS, 0.9972, 0.0003)
_CATEGORY = _Answer("ten categories of rendered objects", 1 / CATEGORIES, 0.9976, 0.0003)
# The last object is of one group, and one of five in it; a category is one of ten in all.
_NEW_OBJECT = _OBJECT._replace(chance=1 / _NEXT / _GROUPS, foggy=0.9973)
_NEW_CATEGORY = _CATEGORY._replace(foggy=0.9977)
_PLACE = _Answer(
    "fifty rendered objects, told the batch of each",
    (1 / _FIRST + (_GROUPS - 1) / _NEXT) / _GROUPS,  # one of ten in a group, one of five in others
    0.9998,
    0.0001,
)

_SHOWN = {
    "NI": "each batch shows all in a new place",
    "NC": "each batch shows new objects",
    "NIC": "new objects and places",
    "NICv2_79": "five new films at a time",
    "NICv2_196": "two new films at a time",
    "NICv2_391": "one new film at a time",
}


def _card(scenario: str, suffix: str, answer: _Answer) -> TaskCard:
    early = _FIRST if scenario == "NC" else 0  # objects that show half as many frames
    tested = (OBJECTS - early / 2) * TESTED * len(TEST_SESSIONS)
    test = Stage(
        trials=int(tested),
        chance=answer.chance,
        ceiling=1.0,
        parameters={"contrast": 1.0, "noise": 8.0},
    )
    fog = {"contrast": 0.16, "noise": 32.0}
    return TaskCard(
        name=f"ContinualObjects{scenario.replace('_', 'Of')}{suffix}",
        version=0,
        form="stream",
        topic="continual learning",
        courses=("Neuromatch Academy Deep Learning, W3D4 Tutorial 1",),
        summary=f"Recognise {answer.asked}; {_SHOWN[scenario]}.",
        metric=AVERAGE_ACCURACY,
        ceiling="monte-carlo",
        ceiling_source="the ideal observer, who weighs all frames of the films of the test "
        "sessions; counted over at least 10,000 frames of stage test, 32,000 of stage shift",
        chance_source="one answer always, exact",
        steps=1,
        stages={
            "test": test,
            "shift": replace(
                test, ceiling=answer.foggy, ceiling_error=answer.error, parameters=fog
            ),
        },
        splits={"train": OBJECTS * len(TRAIN_SESSIONS) * TRAINED, "test": test.trials},
        licence="generated; MIT",
        citation="Lomonaco, Maltoni (2017), Conference on Robot Learning, PMLR 78:17",
        tags=("vision", "classification", "video"),
    )


def _add(scenario: str, suffix: str, answer: _Answer, **attributes: Any) -> None:
    """Register one scenario with one kind of answer."""
    card = _card(scenario, suffix, answer)
    body = {"__doc__": card.summary, "__module__": __name__, "scenario": scenario, **attributes}
    register(card)(type(card.name, (_ContinualObjects,), body))


for _scenario in BATCHES:
    _new = _scenario == "NC"
    _add(_scenario, "", _NEW_OBJECT if _new else _OBJECT)
    _add(_scenario, "Category", _NEW_CATEGORY if _new else _CATEGORY, level="category")
_told = spaces.Box(0, 255, (3 + _GROUPS, SIDE, SIDE), np.uint8)
_add("NC", "Task", _PLACE, told=_GROUPS, observation_space=_told)
