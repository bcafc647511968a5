from __future__ import annotations

import numpy as np
import pytest
from array_api_compat import torch as xp_torch

from neurotasks.rng import Draw
from neurotasks.timeline import Timeline


def draw(count=6, **changes):
    return Draw("TimelineTest", "test", 1, 0, count, **changes)


def both():
    """Return the same phases once as integers and once drawn for each trial."""
    some = draw()
    same = np.full(6, 3)
    fixed = Timeline(some, {"fixation": 2, "stimulus": 3, "decision": 1})
    loose = Timeline(some, {"fixation": 2, "stimulus": same, "decision": 1}, steps=6)
    return fixed, loose


def laid(timeline):
    x = timeline.blank(4)
    timeline.show(x, 0, 1.0, "fixation", "stimulus")
    timeline.show(x, 1, np.arange(6.0), "stimulus")
    timeline.show(x, slice(2, 4), np.ones((6, 2)), "decision")
    timeline.noise(x, slice(2, 4), 0.5)
    return timeline.batch(x, np.arange(6), "decision", {})


def test_slices_and_masks_lay_the_same_trials():
    one, other = (laid(timeline) for timeline in both())
    assert np.array_equal(one.x, other.x)
    assert np.array_equal(one.y, other.y)
    assert np.array_equal(one.mask, other.mask)
    assert one.x[2, :, 0].tolist() == [1, 1, 1, 1, 1, 0]
    assert one.x[2, :, 1].tolist() == [0, 0, 2, 2, 2, 0]
    assert one.y[3].tolist() == [0, 0, 0, 0, 0, 3]


def test_durations_of_each_trial():
    delay = np.array([0, 1, 2, 0, 1, 2])
    timeline = Timeline(draw(), {"stimulus": 1, "delay": delay, "decision": 1}, steps=5)
    x = timeline.blank(1)
    timeline.show(x, 0, 1.0, "delay")
    batch = timeline.batch(x, np.full(6, 2), "decision", {})
    assert batch.x[..., 0].sum(axis=1).tolist() == delay.tolist()
    assert batch.mask.argmax(axis=1).tolist() == (1 + delay).tolist()
    assert (batch.mask.sum(axis=1) == 1).all()
    assert (timeline.during("delay").sum(axis=1) == delay).all()


def test_noise_of_a_phase_stays_in_it():
    for timeline in both():
        x = timeline.blank(2)
        timeline.noise(x, slice(0, 2), 1.0, "stimulus")
        assert not x[:, :2].any()
        assert x[:, 2:5].all()
        assert not x[:, 5].any()


def test_vectors_are_wanted_too():
    timeline = both()[0]
    batch = timeline.batch(timeline.blank(1), np.ones((6, 2), np.float32), "decision", {})
    assert batch.y.shape == (6, 6, 2)
    assert batch.y[:, 5].all()
    assert not batch.y[:, :5].any()


def test_drawn_durations_need_a_length():
    with pytest.raises(TypeError, match="say how many steps"):
        Timeline(draw(), {"delay": np.arange(6), "decision": 1})


def test_torch_lays_the_same():
    def trials(xp):
        some = draw(xp=xp)
        timeline = Timeline(some, {"fixation": 1, "delay": some.integers("d", 3), "end": 1}, 5)
        x = timeline.blank(2)
        timeline.show(x, 0, some.uniform("level"), "delay")
        timeline.noise(x, slice(1, 2), 0.1, "fixation", "end")
        return timeline.batch(x, some.integers("c", 2), "end", {})

    one, other = trials(np), trials(xp_torch)
    assert np.allclose(one.x, other.x.numpy(), atol=1e-6)
    assert np.array_equal(one.y, other.y.numpy())
    assert np.array_equal(one.mask, other.mask.numpy())
