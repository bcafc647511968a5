"""The films and what they show."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from neurotasks.props import CATEGORIES, OBJECTS, SESSIONS, Part
from neurotasks.rendering import _distance, film

FRAMES = 30


def rms(left, right):
    return float(np.sqrt(np.mean((left.astype(float) - right.astype(float)) ** 2)))


@pytest.fixture(scope="module")
def films():
    """All films of session 9: (50, 30, 3 * 32 * 32)."""
    shown = [film(item, 9, FRAMES) for item in range(1, len(OBJECTS) + 1)]
    return np.stack(shown).reshape(len(OBJECTS), FRAMES, -1).astype(np.float64)


def test_there_are_fifty_objects_in_ten_categories_and_eleven_sessions():
    names = [thing.category for thing in OBJECTS]
    assert names == [name for name in CATEGORIES for _ in range(5)]
    assert len(CATEGORIES) == 10
    assert len(SESSIONS) == 11


@pytest.mark.parametrize(
    ("part", "point", "distance"),
    [
        (Part((1, 1, 1), 0, 0, 0.5, 0.5, 0.5), (0.9, 1.2), 1.0),  # a disc
        (Part((1, 1, 1), 0, 0, 0.5, 0.5, 0.5), (0.0, 0.1), -0.4),
        (Part((1, 1, 1), 0, 0, 0.5, 0.5, 0.5, hollow=0.1), (0.0, 0.1), 0.3),  # a ring
        (Part((1, 1, 1), 0, 0, 0.3, 0.7), (0.6, 1.1), 0.5),  # a box, from its corner
        (Part((1, 1, 1), 0, 0, 0.3, 0.7), (-0.1, 0.2), -0.2),
        (Part((1, 1, 1), 0, 0, 0.2, 1.0, 0.2), (0.0, -1.5), 0.5),  # a capsule
        (Part((1, 1, 1), 0, 0, 0.2, 1.0, 9.0), (0.5, 0.7), 0.3),  # too large a corner is cut
    ],
)
def test_the_distance_to_the_edge_of_a_part(part, point, distance):
    u, v = (np.array([value]) for value in point)
    np.testing.assert_allclose(_distance(part, u, v), [distance], atol=1e-12)


@pytest.mark.parametrize(
    ("item", "session", "frame", "total"),
    [(1, 1, 0, 552862), (18, 7, 11, 221488), (33, 5, 20, 352849), (50, 11, 29, 574106)],
)
def test_a_film_is_one_fixed_thing(item, session, frame, total):
    """Frames that move make other tasks: raise the version of those that show them."""
    assert film(item, session, FRAMES)[frame].sum(dtype=int) == total


def test_a_film_is_an_array_of_bytes_that_nobody_changes():
    shown = film(7, 2, 4, side=20)
    assert shown.shape == (4, 3, 20, 20)
    assert shown.dtype == np.uint8
    assert shown.min() >= 16
    assert shown.max() <= 235
    with pytest.raises(ValueError, match="read-only"):
        shown[0] = 0


def test_more_frames_show_the_same_motion_in_finer_steps():
    np.testing.assert_array_equal(film(12, 4, 10), film(12, 4, 30)[1::3])


@pytest.mark.parametrize("item", [3, 9, 14, 33, 48])
def test_a_larger_picture_shows_the_same(item):
    """Edges are smooth: the mean over blocks of a large picture is about the small one."""
    large, small = film(item, 8, 3, side=128), film(item, 8, 3)
    blocks = large.reshape(3, 3, 32, 4, 32, 4).mean(axis=(3, 5))
    assert rms(blocks, small) < 12
    assert rms(blocks, film(item % 50 + 1, 8, 3)) > 25


def test_the_motion_is_slow(films):
    steps = np.array([[rms(a, b) for a, b in pairwise(shown)] for shown in films[::7]])
    far = np.array(
        [[rms(a, b) for a, b in zip(shown[:15], shown[15:], strict=True)] for shown in films[::7]]
    )
    assert steps.mean() < 0.7 * far.mean()
    assert steps.min() > 0.5  # but it never rests


def test_no_two_objects_look_alike(films):
    """In one session, no frame of an object is as near to any frame of another."""
    flat = films.reshape(-1, films.shape[-1])
    square = (flat**2).sum(axis=1)
    distance = square[:, None] + square - 2 * flat @ flat.T
    pairs = distance.reshape(50, FRAMES, 50, FRAMES).min(axis=(1, 3)) / films.shape[-1]
    np.fill_diagonal(pairs, np.inf)
    assert np.sqrt(pairs.min()) > 8  # as large as the noise that a task adds, over all pixels


def test_other_frames_of_a_session_tell_the_object(films):
    """The nearest neighbour of an unseen frame is a frame of the same object."""
    known, asked = films[:, 0::2].reshape(750, -1), films[:, 1::2].reshape(750, -1)
    nearest = ((known**2).sum(axis=1) - 2 * asked @ known.T).argmin(axis=1)
    assert (nearest // 15 == np.arange(750) // 15).mean() > 0.98


def test_a_session_has_a_look_of_its_own():
    """The mean colours of any two sessions differ more than those of two films of one."""
    means = np.array(
        [
            [film(item, session, 6).mean(axis=(0, 2, 3)) for item in (4, 21, 33)]
            for session in range(1, 12)
        ]
    )
    names = np.repeat(np.arange(11), 3)
    distance = np.linalg.norm(means.reshape(-1, 1, 3) - means.reshape(1, -1, 3), axis=-1)
    other = names[:, None] != names
    within = distance[~other & (distance > 0)].mean()
    assert distance[other].mean() > 2.5 * within


@pytest.mark.parametrize(("item", "session"), [(0, 1), (51, 1), (1, 0), (1, 12)])
def test_an_unknown_film_is_refused(item, session):
    with pytest.raises(ValueError, match=f"no film of object {item} in session {session}"):
        film(item, session, 3)
