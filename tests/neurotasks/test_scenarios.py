from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurotasks import load
from neurotasks.scenarios import (
    SCENARIOS,
    Images,
    PermutedStream,
    RotatedStream,
    SplitStream,
    rotated,
)

STREAMS = [SplitStream, PermutedStream, RotatedStream]
SIDE, TRAINED, TESTED = 7, 50, 20
EXPERIENCES = 5


def pictures():
    """Return images whose pixels all differ, so that a permutation can be read off them."""
    generator = np.random.Generator(np.random.Philox(key=3))
    pixels = generator.permuted(
        np.tile(np.arange(SIDE**2, dtype=np.uint8), (TRAINED + TESTED, 1)), axis=1
    )
    return Images(
        pixels.reshape(-1, SIDE, SIDE),
        np.arange(TRAINED + TESTED) % 10,
        np.arange(TRAINED),
        np.arange(TRAINED, TRAINED + TESTED),
    )


IMAGES = pictures()


def make(stream, scenario):
    """Return a small stream."""
    card = replace(load("SplitDigitsTask-v0").card, name="Small")
    body = {
        "scenario": scenario,
        "source": staticmethod(lambda: IMAGES),
        "side": SIDE,
        "experiences": EXPERIENCES,
        "card": card,
    }
    return type("Small", (stream,), body)()


@pytest.fixture(params=SCENARIOS)
def scenario(request):
    return request.param


@pytest.fixture(params=STREAMS, ids=lambda stream: stream.__name__)
def task(request, scenario):
    return make(request.param, scenario)


def expected_label(task, batch, seed):
    """Return the class of each trial, from the row and the experience alone."""
    digit, group = IMAGES.labels[batch.trials["row"]], batch.trials["group"]
    if isinstance(task, SplitStream):
        if task.scenario == "Class":
            return digit
        labels = [np.unique(task.experience(g, seed).y) for g in range(EXPERIENCES)]
        assert all(found.tolist() == [0, 1] for found in labels)
        first = {
            g: IMAGES.labels[part.trials["row"][part.y[:, 0] == 0][0]]
            for g, part in enumerate(task.experience(g, seed) for g in range(EXPERIENCES))
        }
        return np.array([int(d != first[g]) for d, g in zip(digit, group, strict=True)])
    return digit + 10 * group if task.scenario == "Class" else digit


def test_the_spaces_follow_from_the_scenario(task):
    planes = EXPERIENCES if task.scenario == "Task" else 0
    classes = 2 if isinstance(task, SplitStream) else 10
    assert task.told == planes
    assert task.observation_space.shape == (1 + planes, SIDE, SIDE)
    whole = EXPERIENCES * classes
    assert task.action_space.n == (whole if task.scenario == "Class" else classes)


def test_every_training_image_comes_once_in_each_experience_that_has_its_digit(task):
    parts = [task.experience(index, 6) for index in range(EXPERIENCES)]
    assert task.sizes(6) == [len(part) for part in parts]
    rows = [sorted(part.trials["row"]) for part in parts]
    if isinstance(task, SplitStream):
        assert sorted(np.concatenate(rows)) == list(range(TRAINED))
        assert [len(np.unique(IMAGES.labels[row])) for row in rows] == [2] * EXPERIENCES
    else:
        assert rows == [list(range(TRAINED))] * EXPERIENCES
    for index, part in enumerate(parts):
        assert set(part.trials["group"]) == {index}
        assert part.trials["row"].tolist() != rows[index]  # in an order of the seed's own


def test_every_test_image_comes_once_in_each_experience_that_has_its_digit(task):
    test = task.test(6)
    pairs = set(zip(test.trials["row"].tolist(), test.trials["group"].tolist(), strict=True))
    assert len(pairs) == len(test) == TESTED * (1 if task.classes == 2 else EXPERIENCES)
    assert set(test.trials["row"]) == set(IMAGES.test)
    for index in range(EXPERIENCES):
        here = test.y[test.trials["group"] == index]
        assert set(here[:, 0]) == set(task.experience(index, 6).y[:, 0])


def test_the_answer_is_the_one_that_the_scenario_asks_for(task):
    for batch in (task.test(2), *(task.experience(index, 2) for index in range(EXPERIENCES))):
        np.testing.assert_array_equal(batch.y[:, 0], expected_label(task, batch, 2))
        assert batch.y.max() < task.action_space.n


def test_the_planes_tell_the_task_where_it_is_told(task):
    for batch in (task.test(2), task.experience(3, 2)):
        assert batch.x.shape[1:] == (1, *task.observation_space.shape)
        if task.scenario != "Task":
            assert "task" not in batch.trials
            continue
        np.testing.assert_array_equal(batch.trials["task"], batch.trials["group"])
        white = np.arange(EXPERIENCES) == batch.trials["task"][:, None]
        planes = np.broadcast_to(255 * white[:, :, None, None], (len(batch), 5, SIDE, SIDE))
        np.testing.assert_array_equal(batch.x[:, 0, 1:], planes)


def test_trials_by_number_are_those_of_the_stream_in_order(task):
    parts = [task.experience(index, 4) for index in range(EXPERIENCES)]
    whole, total = task.dataset("test", 4), sum(task.sizes(4))
    images = np.concatenate([part.x for part in parts])
    for numbers in (range(0), range(3), range(total - 7, total + 5), range(8, total)):
        batch = task.sample(numbers, 4)
        np.testing.assert_array_equal(batch.x, images[np.array(numbers, np.int64) % total])
        labels = np.concatenate([part.y for part in parts])
        np.testing.assert_array_equal(batch.y, labels[np.array(numbers, np.int64) % total])
    tested = task.sample(range(4, len(whole) + 2), 4, "test")
    order = np.arange(4, len(whole) + 2) % len(whole)
    np.testing.assert_array_equal(tested.x, whole.x[order])
    np.testing.assert_array_equal(tested.trials["group"], whole.trials["group"][order])


def test_the_first_experience_shows_images_as_they_are(task):
    batch = task.experience(0, 5)
    np.testing.assert_array_equal(batch.x[:, 0, 0], IMAGES.pixels[batch.trials["row"]])


def test_training_and_test_images_are_changed_alike(task):
    changed = np.concatenate([task.experience(2, 5).x, task.test(5).x])[:, 0, 0]
    rows = np.concatenate([task.experience(2, 5).trials["row"], task.test(5).trials["row"]])
    group = np.concatenate([np.full(task.sizes(5)[2], 2), task.test(5).trials["group"]])
    for row, index, image in zip(rows, group, changed, strict=True):
        alone = task.shown(np.array([row]), np.array([index]), 5)
        np.testing.assert_array_equal(image, alone[0])


@pytest.mark.parametrize("index", [-1, EXPERIENCES])
def test_an_experience_that_does_not_exist_is_refused(task, index):
    with pytest.raises(ValueError, match=rf"has the experiences 0 to 4, not {index}"):
        task.experience(index, 0)


def test_a_caller_cannot_change_the_task(task):
    for batch in (task.experience(1, 0), task.test(0)):
        for array in (batch.x, batch.y, *batch.trials.values()):
            array[:] = 0
    assert task.test(0).x.max() > 0
    assert len(set(task.experience(1, 0).trials["row"])) == len(task.experience(1, 0))
    assert set(task.experience(1, 0).trials["group"]) == {1}


# -- permutations --------------------------------------------------------------------------------


def permutation(task, index, seed):
    """Return which pixel is shown in each place, read off the images."""
    batch = task.experience(index, seed)
    shown = batch.x[:, 0, 0].reshape(len(batch), -1)
    before = IMAGES.pixels[batch.trials["row"]].reshape(len(batch), -1)
    found = np.argsort(before, axis=1)[np.arange(len(batch))[:, None], shown]
    assert (found == found[0]).all()  # one for all images
    return found[0]


def test_permutations_are_permutations_and_all_differ():
    task = make(PermutedStream, "Domain")
    found = {(i, seed): permutation(task, i, seed) for i in range(EXPERIENCES) for seed in (0, 1)}
    for order in found.values():
        assert sorted(order) == list(range(SIDE**2))
    for seed in (0, 1):
        np.testing.assert_array_equal(found.pop((0, seed)), np.arange(SIDE**2))
    assert len({tuple(order) for order in found.values()}) == 2 * (EXPERIENCES - 1)


# -- rotations -----------------------------------------------------------------------------------


def blobs(side):
    """Return smooth images (3, side, side): two spots each, off the middle."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    spots = [((3, 1), (-4, 2)), ((0, 5), (2, -3)), ((-5, 0), (4, 4))]
    image = [sum(np.exp(-((y - a) ** 2 + (x - b) ** 2) / 6) for a, b in pair) for pair in spots]
    return (250 * np.array(image) / 1.2).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("side", [20, 21])
def test_quarter_turns_are_exact(side):
    images = blobs(side)
    for quarters in range(4):
        turned = rotated(images, 90 * quarters)
        assert turned.dtype == np.uint8
        np.testing.assert_array_equal(turned, np.rot90(images, quarters, axes=(1, 2)))


@pytest.mark.parametrize("side", [20, 21])
@pytest.mark.parametrize("degrees", [36, 72, 108, 144, -17])
def test_a_turn_agrees_with_another_implementation(side, degrees):
    ndimage = pytest.importorskip("scipy.ndimage")
    images = blobs(side)
    expected = ndimage.rotate(images.astype(float), degrees, (2, 1), reshape=False, order=1)
    error = np.abs(rotated(images, degrees) - expected)
    assert error.mean() < 0.7
    assert error.max() < 6  # of 255; places are rounded to 1/16 of a pixel


def test_five_turns_by_36_degrees_are_half_a_turn():
    images = blobs(28)
    turned = images
    for _ in range(5):
        turned = rotated(turned, 36)
    half = images[:, ::-1, ::-1].astype(int)
    error, untouched = (np.abs(half - other).mean() for other in (turned, images))
    assert error < 0.2 * untouched  # each turn smooths a little


def test_what_comes_in_is_black_and_nothing_gets_brighter():
    white = np.full((2, 9, 9), 255, np.uint8)
    turned = rotated(white, 45)
    assert (turned[:, 0, 0] == 0).all()
    assert (turned[:, 3:6, 3:6] == 255).all()


def test_many_images_are_turned_as_each_alone():
    images = np.tile(IMAGES.pixels, (20, 1, 1))
    alone = np.tile(rotated(IMAGES.pixels, 72), (20, 1, 1))
    np.testing.assert_array_equal(rotated(images, 72), alone)


def test_an_experience_turns_by_its_part_of_half_a_turn():
    task = make(RotatedStream, "Class")
    for index in range(EXPERIENCES):
        batch = task.experience(index, 8)
        before = IMAGES.pixels[batch.trials["row"]]
        np.testing.assert_array_equal(batch.x[:, 0, 0], rotated(before, 36 * index))
