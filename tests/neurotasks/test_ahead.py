"""Trials that are drawn side by side are those of their seeds, however they are cut into parts."""

from __future__ import annotations

import numpy as np
import pytest

import neurotasks
from neurotasks import ahead


@pytest.mark.parametrize(
    "label",
    [
        "PerceptualDecisionMaking-v0",  # few words a trial
        "NBack-v0",  # many
        "ReadySetGo-v0",  # durations that differ between trials
        "OrientationDecoding-v0",  # no timeline
        "ImageClassificationDigits-v0",  # recorded
        "ContinualDigits-v0",  # a stream
    ],
)
@pytest.mark.parametrize("seeds", [[7], [3, 900, 4, 4, 2**40]])
def test_side_by_side(monkeypatch, label, seeds):
    task, count = neurotasks.load(label), 5
    first = np.arange(len(seeds)) * 3
    size = ahead._size(task)
    monkeypatch.setattr(ahead, "_BYTES_OF_WORDS", 3 * count * size)  # three seeds at a time
    monkeypatch.setattr(ahead, "_BYTES_AT_A_TIME", 6 * size)  # two trials of each
    seen = np.zeros((len(seeds), count), dtype=int)
    parts = ahead.draw_side_by_side(task, "train", np.array(seeds), first, count)
    for some, trials, batch in parts:
        seen[some, trials] += 1
        rows = [(s, k) for k in range(count)[trials] for s in range(len(seeds))[some]]
        assert len(rows) == len(batch)
        for row, (s, k) in enumerate(rows):
            number = int(first[s]) + k
            alone = task.sample(range(number, number + 1), seeds[s])
            np.testing.assert_allclose(batch.x[row], alone.x[0], rtol=1e-5, atol=1e-5)
            np.testing.assert_array_equal(batch.y[row], alone.y[0])
            np.testing.assert_array_equal(batch.mask[row], alone.mask[0])
    assert (seen == 1).all()
