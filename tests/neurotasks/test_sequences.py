"""Sequences are the trials of a seed without a gap, cut at equal distances."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

import neurotasks
from neurotasks.sequences import sample_sequences, sequences

TASK = neurotasks.load("PerceptualDecisionMaking-v0")
PARTS = ("x", "y", "mask")


def joined(part, stage="train", trials=200):
    """All steps of the first trials, one after the other."""
    whole = getattr(TASK.sample(trials, 3, stage), part)
    return whole.reshape(-1, *whole.shape[2:])


@pytest.mark.parametrize("stage", ["train", "shift"])
@pytest.mark.parametrize("steps", [1, 7, 22, 100])
def test_sequences_are_the_joined_trials(steps, stage):
    drawn = sample_sequences(TASK, range(3, 8), steps, 3, stage)
    for part in PARTS:
        wanted = joined(part, stage)[3 * steps : 8 * steps]
        np.testing.assert_array_equal(
            getattr(drawn, part), wanted.reshape(5, steps, *wanted.shape[1:])
        )


@pytest.mark.parametrize(("batch", "steps"), [(4, 100), (3, 9000)])
def test_batches_follow_each_other_and_share_no_memory(batch, steps):
    """Small batches are drawn several at once, large ones alone."""
    drawn = list(islice(sequences(TASK, batch, steps, 3), 3))
    whole = sample_sequences(TASK, 3 * batch, steps, 3)
    for part in PARTS:
        pieces = [getattr(one, part) for one in drawn]
        np.testing.assert_array_equal(np.concatenate(pieces), getattr(whole, part))
        assert not np.shares_memory(pieces[0], pieces[1])
    kept = drawn[1].x.copy()
    drawn[0].x[:] = np.nan
    np.testing.assert_array_equal(drawn[1].x, kept)


def test_batches_go_on_beyond_what_is_drawn_at_once():
    drawn = np.concatenate([batch.y for batch in islice(sequences(TASK, 50, 100, 3), 12)])
    np.testing.assert_array_equal(drawn, sample_sequences(TASK, 600, 100, 3).y)


def test_sequences_that_do_not_exist_say_so():
    for numbers, steps in ((range(0, 4, 2), 10), (range(-1, 3), 10), (4, 0)):
        with pytest.raises(ValueError, match="consecutive numbers from 0 up"):
            sample_sequences(TASK, numbers, steps)
    with pytest.raises(ValueError, match="both must be positive"):
        next(sequences(TASK, 0, 10))
