"""What all streams of videos share, on a stream that shows the numbers of its frames."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import AVERAGE_ACCURACY
from neurotasks.videos import BATCHES, TEST, TEST_SESSIONS, TRAIN_SESSIONS, Frames, VideoStream

CARD = TaskCard(
    name="Numbers",
    version=0,
    form="stream",
    topic="continual learning",
    courses=("none",),
    summary="Numbers.",
    metric=AVERAGE_ACCURACY,
    ceiling="exact",
    ceiling_source="all right",
    chance_source="one answer always",
    steps=1,
    stages={"test": Stage(trials=150, chance=0.02, ceiling=1.0)},
    splits={"train": 400, "test": 150},
    licence="generated",
    citation="nobody",
)
TAUGHT = np.array([0 if o % 5 == 0 else 2 * (o % 5) - (o < 25) for o in range(50)])


class Numbers(VideoStream):
    """Videos of one frame, whose colour is object, session and seed; object 50 is class 0."""

    card = CARD
    scenario = "NC"
    observation_space = spaces.Box(0, 255, (3, 2, 2), np.uint8)

    def frames(self, seed, batch, stage):
        if batch == TEST:
            shown = [(s, o) for s in TEST_SESSIONS for o in range(1, 51)]
        elif self.scenario == "NC":
            shown = [(s, o) for s in TRAIN_SESSIONS for o in 1 + np.flatnonzero(batch == TAUGHT)]
        else:
            shown = [(TRAIN_SESSIONS[batch], o) for o in range(1, 51)]
        session, item = np.array(shown).T
        return Frames(item, session, np.zeros_like(item))

    def images(self, seed, frames, stage):
        colour = np.stack([frames.item, frames.session, np.full_like(frames.item, seed)], axis=1)
        return np.broadcast_to(colour[:, :, None, None], (*colour.shape, 2, 2)).astype(np.uint8)

    def taught(self, seed):
        return TAUGHT

    def classes(self, seed):
        return np.arange(49, -1, -1)


class Instances(Numbers):
    scenario = "NI"


class Category(Instances):
    level = "category"


class Told(Numbers):
    told = 9
    observation_space = spaces.Box(0, 255, (12, 2, 2), np.uint8)


@pytest.mark.parametrize(
    ("kind", "batches", "classes"),
    [(Numbers, 9, 50), (Instances, 8, 50), (Category, 8, 10), (Told, 9, 10)],
)
def test_scenario_and_level_say_how_many_batches_and_answers_there_are(kind, batches, classes):
    task = kind()
    assert task.experiences == BATCHES[kind.scenario] == batches
    assert task.action_space.n == classes
    test = task.test(0)
    assert test.x.shape == (150, 1, *task.observation_space.shape)
    assert np.unique(test.y).tolist() == list(range(classes))
    assert test.mask.all()


def test_each_level_has_its_truth():
    objects = np.tile(np.arange(1, 51), 3)
    assert np.array_equal(Instances().test(0).y[:, 0], 50 - objects)
    assert np.array_equal(Category().test(0).y[:, 0], (objects - 1) // 5)


def test_groups_are_sessions_or_the_batches_that_teach():
    test = Instances().test(0)
    assert np.array_equal(np.array(TEST_SESSIONS)[test.trials["group"]], test.trials["session"])
    assert np.array_equal(Numbers().test(0).trials["group"], np.tile(TAUGHT, 3))
    assert "task" not in Numbers().test(0).trials


def test_a_told_batch_has_a_plane_and_numbers_its_own_objects():
    for index in range(9):
        batch = Told().experience(index, 0)
        assert (batch.trials["task"] == index).all()
        planes = batch.x[:, 0, 3:, 0, 0]
        assert (planes == 255 * (np.arange(9) == index)).all()
        per_object = dict(zip(batch.trials["object"].tolist(), batch.y[:, 0].tolist(), strict=True))
        assert sorted(per_object.values()) == list(range(10 if index == 0 else 5))


@pytest.mark.parametrize("kind", [Numbers, Instances, Category, Told])
def test_a_part_of_the_stream_looks_at_its_own_frames_alone(kind, monkeypatch):
    task = kind()
    batches = [task.experience(index, 3) for index in range(task.experiences)]
    whole = {name: np.concatenate([getattr(b, name) for b in batches]) for name in ("x", "y")}
    objects = np.concatenate([batch.trials["object"] for batch in batches])
    assert sum(task.sizes(3)) == len(objects) == 400
    looked, images = [], kind.images
    monkeypatch.setattr(
        kind, "images", lambda self, *args: looked.append(len(args[1].item)) or images(self, *args)
    )
    part = task.sample(range(398, 403), 3)
    rows = [398, 399, 0, 1, 2]  # the first follows the last
    assert np.array_equal(part.x, whole["x"][rows])
    assert np.array_equal(part.y, whole["y"][rows])
    assert np.array_equal(part.trials["object"], objects[rows])
    assert np.array_equal(task.sample(2, 3).x, whole["x"][:2])
    assert task.sample(0, 3).x.shape == (0, *whole["x"].shape[1:])
    assert looked == [5, 2, 0]
    test = task.test(3)
    assert np.array_equal(task.sample(range(149, 151), 3, "validation").y, test.y[[149, 0]])


def test_there_is_no_batch_before_the_first_nor_after_the_last():
    for index in (-1, 8):  # the test list has the number -1
        with pytest.raises(IndexError, match=f"Numbers-v0 has batches 0 to 7, not {index}"):
            Instances().experience(index, 0)


@pytest.mark.parametrize(
    ("kind", "chance"), [(Numbers, 1 / 45), (Instances, 0.02), (Category, 0.1), (Told, 17 / 90)]
)
def test_the_trivial_answer_is_the_best_constant(kind, chance):
    task = kind()
    if kind is Numbers:  # objects are counted as they are taught
        task.classes = lambda _: np.argsort(np.argsort(TAUGHT, kind="stable"))
    test = task.test(0)
    group, truth = test.trials["group"], test.y[:, 0]
    answer = np.unique(task.trivial().act(test.x, None)[0])
    earned = [
        (np.bincount(group, truth == label) / np.bincount(group)).mean()
        for label in range(task.action_space.n)
    ]
    assert len(answer) == 1
    assert earned[answer[0]] == pytest.approx(chance)
    assert max(earned) == pytest.approx(chance)
