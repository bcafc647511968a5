from __future__ import annotations

import numpy as np
import pytest

from neurotasks.metrics import (
    BITS_PER_SYMBOL,
    CIRCULAR_ERROR,
    RETURN,
    correct,
    direction_error,
    orientation_error,
    per_trial,
    surprise,
)


def unit(degrees):
    angle = np.deg2rad(2 * np.asarray(degrees, dtype=np.float64))
    return np.stack((np.cos(angle), np.sin(angle)), axis=-1)[None]


@pytest.mark.parametrize(
    ("answer", "truth", "error"),
    [(0, 0, 0), (10, 30, 20), (179, 1, 2), (0, 90, 90), (135, 45, 90), (100, 20, 80)],
)
@pytest.mark.parametrize("length", [1e-6, 1.0, 50.0])
def test_orientation_error_meets_at_the_ends_and_ignores_length(answer, truth, error, length):
    found = orientation_error(unit([answer]) * length, unit([truth]))
    np.testing.assert_allclose(found, [[error]], atol=1e-6)


def test_surprise_is_minus_log2_of_the_probability_given():
    p = np.array([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]])
    truth = np.array([[1, 2]])
    np.testing.assert_allclose(surprise(np.log(p), truth), [[2.0, -np.log2(0.8)]])
    np.testing.assert_allclose(surprise(np.log(p) + 700.0, truth), surprise(np.log(p), truth))


def test_correct_and_the_mean_over_scored_steps():
    values = correct(np.array([[1, 2, 3]]), np.array([[1, 0, 3]]))
    np.testing.assert_array_equal(values, [[1.0, 0.0, 1.0]])
    np.testing.assert_allclose(per_trial(values, np.array([[True, True, False]])), [0.5])


def test_directions():
    assert (RETURN.sign, CIRCULAR_ERROR.sign, BITS_PER_SYMBOL.sign) == (1.0, -1.0, -1.0)


@pytest.mark.parametrize(
    ("answer", "truth", "error"),
    [(0, 0, 0), (10, 30, 20), (359, 1, 2), (0, 180, 180), (270, 45, 135)],
)
@pytest.mark.parametrize("length", [1e-6, 1.0, 50.0])
def test_direction_error_goes_up_to_half_a_turn(answer, truth, error, length):
    point, target = unit([answer / 2]), unit([truth / 2])
    np.testing.assert_allclose(direction_error(point * length, target), [[error]], atol=1e-6)
