from __future__ import annotations

import pytest

from leaderboard.numbers import count, duration, energy, exact, fixed, mean_and_spread, plain, size
from neurotasks.scores import Interval


@pytest.mark.parametrize(
    ("mean", "half", "shown"),
    [
        (0.91234, 0.0123, ("0.912", "0.012")),
        (0.91234, 0.0399, ("0.91", "0.04")),
        (0.91234, 0.0996, ("0.91", "0.10")),
        (483.27, 23.4, ("483", "23")),
        (4832.7, 431.0, ("4800", "400")),
        (0.0002, 0.3, ("0.0", "0.3")),
        (-0.0002, 0.3, ("0.0", "0.3")),
        (-1.5, 0.2, ("\u22121.50", "0.20")),
        (0.5, 0.00031, ("0.5000", "0.0003")),
    ],
)
def test_a_mean_ends_where_its_interval_ends(mean, half, shown):
    assert mean_and_spread(Interval(mean, mean - half, mean + half, 5)) == shown


def test_one_run_shows_two_digits_and_no_interval():
    assert mean_and_spread(Interval(0.91234, 0.91234, 0.91234, 1)) == ("0.91", "")


def test_equal_runs_show_three_digits_and_a_spread_of_zero():
    assert mean_and_spread(Interval(0.91234, 0.91234, 0.91234, 5)) == ("0.912", "0")
    assert mean_and_spread(Interval(0.0, 0.0, 0.0, 5)) == ("0", "0")


def test_plain_numbers():
    assert plain(0.00012345, 2) == "0.0001"
    assert plain(1234.5, 2) == "1200"
    assert fixed(-0.04, 1) == "0.0"
    assert exact(45.0) == "45"
    assert exact(-0.125) == "\u22120.125"


def test_quantities_keep_their_unit():
    assert [count(n) for n in (812, 12_345, 1_500_000, 2.5e13)] == [
        "812", "12.3 k", "1.5 M", "25 T",
    ]  # fmt: skip
    assert [duration(s) for s in (0.512, 42.4, 83.0, 7200.0)] == [
        "0.51 s", "42 s", "1.4 min", "2.0 h",
    ]  # fmt: skip
    assert [size(n) for n in (0, 812, 60_800, 2.5e9)] == ["0 B", "812 B", "60.8 kB", "2.5 GB"]
    assert [energy(k) for k in (0.0, 8.9e-5, 0.0123, 2.5)] == [
        "0 mWh", "89 mWh", "12.3 Wh", "2.5 kWh",
    ]  # fmt: skip
