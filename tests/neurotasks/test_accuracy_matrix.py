from __future__ import annotations

import numpy as np
import pytest

from neurotasks.accuracy_matrix import (
    area,
    backward_transfer,
    forgetting,
    forward_transfer,
    incremental,
)

# Worked by hand: three experiences, accuracy on each after each.
MATRIX = np.array([[0.9, 0.3, 0.2], [0.6, 0.8, 0.4], [0.5, 0.85, 0.7]])


def test_forgetting_takes_the_best_earlier_accuracy_and_may_be_negative():
    assert forgetting(MATRIX) == pytest.approx(((0.9 - 0.5) + (0.8 - 0.85)) / 2)


def test_forgetting_differs_from_the_first_minus_the_last():
    """Avalanche's definition, which misses what was learned later than it was taught."""
    late = np.array([[0.2, 0.0, 0.0], [0.8, 0.5, 0.0], [0.4, 0.5, 0.9]])
    assert forgetting(late) == pytest.approx((0.8 - 0.4) / 2)
    assert -backward_transfer(late) == pytest.approx((0.2 - 0.4) / 2)


def test_transfer_backward_and_forward():
    assert backward_transfer(MATRIX) == pytest.approx(((0.5 - 0.9) + (0.85 - 0.8)) / 2)
    assert forward_transfer(MATRIX, np.full(3, 0.1)) == pytest.approx(
        ((0.3 - 0.1) + (0.4 - 0.1)) / 2
    )


def test_incremental_accuracy_looks_at_what_was_taught():
    assert incremental(MATRIX) == pytest.approx((0.9 + 0.7 + (0.5 + 0.85 + 0.7) / 3) / 3)


def test_area_is_the_mean_over_stream_and_groups():
    assert area(MATRIX[:, :2]) == pytest.approx((0.6 + 0.7 + 0.675) / 3)
