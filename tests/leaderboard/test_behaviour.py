from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from leaderboard.behaviour import behaviour, in_order
from neurotasks.analysis import Chronometric, Psychometric
from neurotasks.scores import Interval

LEVELS = ("-51.2", "-12.8", "-6.4", "0", "6.4", "12.8", "51.2")
X = np.array([float(level) for level in LEVELS])


def row(agent, values, half=0.02):
    return agent, tuple(Interval(v, v - half, v + half, 5) for v in values)


def test_a_psychometric_curve_is_drawn_and_fitted():
    rows = [row("ideal", Psychometric(0.0, 6.0, 0.0)(X)), row("gru", Psychometric(2, 15, 0.1)(X))]
    drawn = behaviour("b", "psychometric", LEVELS, rows)
    ET.fromstring(drawn.plot)  # noqa: S314 - our own
    assert drawn.legend == ((0, "ideal"), (1, "gru"))
    assert drawn.names == ("bias", "threshold", "lapse")
    fits = dict(drawn.fits)
    assert fits["ideal"] == pytest.approx((0.0, 6.0, 0.0), abs=0.05)
    assert fits["gru"] == pytest.approx((2.0, 15.0, 0.1), abs=0.2)
    assert drawn.plot.count("<circle") == 2 * len(LEVELS)
    assert drawn.plot.count("<polyline") == 2


def test_a_chronometric_curve_may_rise_above_one():
    values = Chronometric(0.05, 5.0, 2.0)(X)
    drawn = behaviour("b", "chronometric", LEVELS, [row("ideal", values, 0.5)])
    assert dict(drawn.fits)["ideal"][2] == pytest.approx(2.0, abs=0.1)
    places = [float(y) for y in re.findall(r'cy="([\d.]+)"', drawn.plot)]
    assert 32.0 <= min(places) < max(places) <= 232.0
    assert "mean number of steps until the answer" in drawn.plot


def test_conditions_are_drawn_without_a_fit():
    parts = ("common, rewarded", "rare, rewarded")
    drawn = behaviour("b", "stay probability", parts, [row("a", (0.9, 0.2))])
    assert drawn.fits == ()
    assert drawn.plot.count("<circle") == 2
    assert "<polyline" not in drawn.plot


def test_what_cannot_be_drawn_is_left_to_the_table():
    parts = tuple(f"session {number}" for number in range(9))
    assert behaviour("b", "accuracy", parts, [row("a", np.linspace(0, 1, 9))]) is None


@pytest.mark.parametrize("parts", [("nan", "1", "2"), ("1", "1.0", "2"), ("inf", "0", "1")])
def test_strange_levels_are_taken_for_names(parts):
    drawn = behaviour("b", "psychometric", parts, [row("a", (0.1, 0.2, 0.3))])
    assert drawn.fits == ()


def test_names_are_escaped():
    drawn = behaviour("b", "psychometric", LEVELS, [row("<script>", np.linspace(0, 1, 7))])
    assert "<script>" not in drawn.plot


def test_levels_stand_in_the_order_of_numbers_and_names_as_they_came():
    assert in_order(["-12.8", "-51.2", "0", "6.4"]) == ("-51.2", "-12.8", "0", "6.4")
    assert in_order(["rare", "common"]) == ("rare", "common")


def test_who_always_answers_the_same_gets_no_fit():
    drawn = behaviour("b", "psychometric", LEVELS, [row("trivial", np.ones(7))])
    assert drawn.fits == ()


def test_every_condition_is_named_inside_the_plot():
    parts = ("common, rewarded", "common, unrewarded", "rare, rewarded", "rare, unrewarded")
    drawn = behaviour("b", "stay probability", parts, [row("a", (0.9, 0.8, 0.7, 0.6))])
    root = ET.fromstring(drawn.plot)  # noqa: S314 - our own
    texts = [e for e in root.iter("{http://www.w3.org/2000/svg}text") if e.text in parts]
    assert {e.text for e in texts} == set(parts)
    assert all(10.0 < float(e.get("x").rstrip("%")) < 90.0 for e in texts)
