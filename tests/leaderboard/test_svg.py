from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from leaderboard.numbers import count, duration
from leaderboard.svg import MARGIN, Lane, Mark, position, score_plot, span
from leaderboard.svg_cost import Dot, Profile, cost_plot, profile_plot
from leaderboard.svg_learning import Line, curve_plot
from leaderboard.svg_stream import Course, course_plot, matrix_plot

SVG = "{http://www.w3.org/2000/svg}"


def lane(label, *values, kind="mean", stage="test", half=0.0):
    marks = tuple(Mark(v, kind, stage, f"{label} {v}", v - half, v + half) for v in values)
    return Lane(label, "note", (marks,))


def drawn(text):
    return ET.fromstring(text)  # noqa: S314 - made by our own code a line before


def percents(root, tag, css, attribute):
    found = [e for e in root.iter(SVG + tag) if e.get("class") == css]
    return [float(e.get(attribute).rstrip("%")) for e in found]


def test_chance_and_ceiling_stand_where_scores_of_zero_and_one_are_drawn():
    root = drawn(score_plot("k", "t", "d", [lane("ideal", 1.0), lane("trivial", 0.0)]))
    ideal, trivial = percents(root, "svg", "mean test", "x")
    assert percents(root, "line", "ceiling", "x1") == [ideal]
    assert percents(root, "line", "chance", "x1") == [trivial]
    assert [e.text for e in root.iter(SVG + "text") if e.get("class") == "chance"] == ["chance"]
    ends = span([0.0, 1.0])
    assert ideal - trivial == pytest.approx((100 - 2 * MARGIN) / (ends[1] - ends[0]), abs=0.01)


def test_a_whisker_spans_its_interval():
    root = drawn(score_plot("k", "t", "d", [lane("a", 0.5, half=0.1)]))
    (low,) = percents(root, "line", "whisker test", "x1")
    (high,) = percents(root, "line", "whisker test", "x2")
    (mean,) = percents(root, "svg", "mean test", "x")
    assert (low + high) / 2 == pytest.approx(mean, abs=0.01)
    ends = span([0.4, 0.6])
    assert [low, high] == [position(0.4, ends), position(0.6, ends)]


def test_shape_tells_the_stage_as_colour_does():
    test = drawn(score_plot("k", "t", "d", [lane("a", 0.5)]))
    shift = drawn(score_plot("k", "t", "d", [lane("a", 0.5, stage="shift")]))
    assert [e.tag for e in test.find(f".//{SVG}svg")] == [SVG + "title", SVG + "circle"]
    assert [e.tag for e in shift.find(f".//{SVG}svg")] == [SVG + "title", SVG + "path"]


@pytest.mark.parametrize("value", [-50.0, 40.0])
def test_a_score_beyond_the_scale_is_an_arrow_at_its_edge(value):
    root = drawn(score_plot("k", "t", "d", [lane("far", value), lane("near", 0.5)]))
    far, near = percents(root, "svg", "mean test", "x")
    assert far == (MARGIN if value < 0 else 100 - MARGIN)
    assert MARGIN < near < 100 - MARGIN
    assert root.find(f".//{SVG}svg/{SVG}path") is not None


def test_names_are_inert_and_long_ones_cut():
    root = drawn(score_plot("k", "<t>", '"&', [lane("<script>alert(1)</script>" + "x" * 60, 0.5)]))
    assert not list(root.iter(SVG + "script"))
    (label,) = [e for e in root.iter(SVG + "text") if e.get("class") == "label"]
    wide, narrow = label
    assert len(label.text + wide.text) == 38
    assert wide.text.endswith("\u2026")
    assert len(label.text + narrow.text) == 30
    assert narrow.text == "\u2026"


def test_a_plot_names_itself_to_who_cannot_see_it():
    for text in (
        score_plot("one", "Title", "Words", [lane("a", 0.5)]),
        matrix_plot("one", "Title", "Words", [[0.5]], [["0.50"]]),
        course_plot(
            "one", "Title", "Words", [Course("a", ((0.5, 0.4, 0.6),), "style0")], (0.1, 1.0)
        ),
        curve_plot("one", "Title", "Words", [Line(((0.0, 1.0),), 0, "a")]),
        cost_plot("one", "Title", "Words", [Dot("a", 1.0, 0.5, True)], str),
        profile_plot("one", "Title", "Words", [Profile("a", ((0.0, 1.0), (1.0, 0.5)), "style0")]),
    ):
        root = drawn(text)
        assert root.get("role") == "img"
        assert root.get("aria-labelledby") == "one-title one-desc"
        assert root.find(f"{SVG}title").text == "Title"
        assert root.find(f"{SVG}desc").text == "Words"


def test_a_matrix_shades_by_accuracy_and_writes_it_where_there_is_room():
    written = [["1.00", "0.00"], ["0.25", "1.00"]]
    root = drawn(matrix_plot("m", "t", "d", [[1.0, 0.0], [0.25, 1.0]], written))
    cells = [float(e.get("fill-opacity")) for e in root.iter(SVG + "rect")]
    assert cells == [1.0, 0.04, 0.28, 1.0]
    text = [e.text for e in root.iter(SVG + "text") if (e.get("class") or "").startswith("cell")]
    assert text == ["1.00", "0.00", "0.25", "1.00"]


@pytest.mark.parametrize("rows", [79, 391])
def test_a_large_matrix_has_small_cells_and_no_text(rows):
    root = drawn(matrix_plot("m", "t", "d", [[0.5] * 3] * rows, [["0.50"] * 3] * rows))
    assert len(list(root.iter(SVG + "rect"))) == 3 * rows
    assert not [e for e in root.iter(SVG + "text") if (e.get("class") or "").startswith("cell")]
    assert float(root.get("height")) < 450


def test_a_course_goes_from_experience_to_experience_between_chance_and_ceiling():
    agents = [
        Course("good", ((0.2, 0.1, 0.3), (0.6, 0.5, 0.7), (1.0, 0.9, 1.0)), "style0"),
        Course("published", ((0.0, 0.0, 0.0), (0.5, 0.5, 0.5)), "reference"),
    ]
    root = drawn(course_plot("c", "t", "d", agents, (0.1, 1.0)))
    published, good = root.iter(SVG + "polyline")
    assert good.get("points") == "0.00,80.00 50.00,40.00 100.00,0.00"
    assert published.get("points") == "0.00,100.00 50.00,50.00"
    (band,) = root.iter(SVG + "polygon")
    assert len(band.get("points").split()) == 6
    lines = {
        e.get("class"): e.get("y1") for e in root.iter(SVG + "line") if e.get("class") != "grid"
    }
    assert lines == {"chance": "90.00%", "ceiling": "0.00%"}


def test_curves_go_from_left_to_right_and_up_with_the_value():
    root = drawn(curve_plot("c", "t", "d", [Line(((0.0, 0.0), (50.0, 0.5), (100.0, 1.0)), 2, "a")]))
    (curve,) = root.iter(SVG + "polyline")
    points = [tuple(map(float, pair.split(","))) for pair in curve.get("points").split()]
    assert points == [(0.0, 100.0), (50.0, 50.0), (100.0, 0.0)]
    assert curve.get("class") == "curve style2"


@pytest.mark.parametrize("value", [0.0, 5.0, -3e-9, 1e6])
def test_a_curve_of_one_value_is_drawn(value):
    drawn(curve_plot("c", "t", "d", [Line(((0.0, value), (10.0, value)), 0, "a")]))


def test_costs_are_logarithmic_and_the_front_is_a_staircase():
    dots = [
        Dot("cheap", 10.0, 0.5, True),
        Dot("dear", 1000.0, 1.0, True),
        Dot("beaten", 100.0, 0.2, False),
    ]
    root = drawn(cost_plot("c", "t", "d", dots, "{:g}".format))
    places = {
        e.find(f"{SVG}title").text.split(":")[0]: (
            float(e.get("cx").rstrip("%")),
            float(e.get("cy")),
        )
        for e in root.iter(SVG + "circle")
    }
    cheap, dear, beaten = (places[name] for name in ("cheap", "dear", "beaten"))
    assert dear[0] - beaten[0] == pytest.approx(beaten[0] - cheap[0], abs=0.02)
    assert dear[1] < cheap[1] < beaten[1]
    steps = [e for e in root.iter(SVG + "line") if e.get("class") == "front"]
    assert [(s.get("x1"), s.get("x2")) for s in steps] == [
        (f"{cheap[0]:g}%", f"{dear[0]:g}%"), (f"{dear[0]:g}%", f"{dear[0]:g}%"),
    ]  # fmt: skip
    names = [e.text for e in root.iter(SVG + "text") if e.get("class") == "name"]
    assert set(names) <= {"cheap", "dear"}


def test_a_profile_falls_from_left_to_right():
    points = ((0.0, 1.0), (0.5, 0.5), (1.0, 0.0))
    root = drawn(profile_plot("p", "t", "d", [Profile("a", points, "style0")]))
    (line,) = root.iter(SVG + "polyline")
    assert line.get("points") == "0,0.00 50,50.00 100,100.00"


def test_stages_differ_in_shape_and_colour():
    stages = ("test", "shift", "private")
    plots = [drawn(score_plot("k", "t", "d", [lane("a", 0.5, stage=stage)])) for stage in stages]
    marks = [next(e for e in plot.iter(SVG + "svg") if "mean" in e.get("class")) for plot in plots]
    assert [mark.get("class") for mark in marks] == ["mean test", "mean shift", "mean private"]
    assert len({ET.tostring(mark[1]) for mark in marks}) == len(stages)


@pytest.mark.parametrize(
    ("written", "costs", "named"),
    [
        (duration, (2.0, 4000.0), ["1 s", "10 s", "1 min", "10 min", "1 h"]),
        (count, (20.0, 4000.0), ["10", "100", "1 k", "10 k"]),
    ],
)
def test_costs_are_named_by_round_numbers(written, costs, named):
    dots = [Dot(f"agent {n}", cost, 0.5, front=False) for n, cost in enumerate(costs)]
    root = drawn(cost_plot("k", "t", "d", dots, written))
    ticks = [e.text for e in root.iter(SVG + "text") if e.get("class") == "tick"]
    assert [text for text in ticks if text in named] == named


def test_chance_is_named_where_no_dot_is_in_the_way():
    dear = [Dot(f"agent {n}", 8800.0 + n, 0.03, front=False) for n in range(3)]
    for dots, anchor in ((dear, "start"), ([Dot("a", 11.0, 0.03, front=False)], "end")):
        root = drawn(cost_plot("k", "t", "d", [*dots, Dot("b", 10.5, 0.6, front=True)], count))
        (word,) = [e for e in root.iter(SVG + "text") if e.text == "chance"]
        assert word.get("text-anchor") == anchor


def test_a_band_below_the_scale_does_not_stretch_it():
    course = Course("a", ((0.02, -0.3, 0.2), (0.4, 0.3, 1.4)), "style0")
    root = drawn(course_plot("k", "t", "d", [course], (0.02, 1.0)))
    ticks = [e.text for e in root.iter(SVG + "text") if e.get("class") == "tick"]
    assert ticks[:5] == ["0", "0.25", "0.5", "0.75", "1"]
    heights = [
        float(pair.split(",")[1])
        for shape in ("polyline", "polygon")
        for line in root.iter(SVG + shape)
        for pair in line.get("points").split()
    ]
    assert min(heights) == 0.0
    assert max(heights) == 100.0
