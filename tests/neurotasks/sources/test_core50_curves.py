from __future__ import annotations

import numpy as np
import pytest

from neurotasks import load
from neurotasks.errors import CorruptData, DataError, MissingData
from neurotasks.sources import core50_curves

BATCHES = {"NI": 8, "NC": 9, "NIC": 79}


@pytest.fixture
def curves(real_data, tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROTASKS_DATA", str(tmp_path))
    core50_curves.SOURCE.add([real_data])
    return core50_curves.curves


def made(folder, **changes):
    """Write files of one block each, two runs and the lines that follow them."""
    for scenario, batches in BATCHES.items():
        facts = {"net": "mid-vgg", "strategy": "copyweights_with_reinit"} | changes
        lines = ["#####", f"# scenario: {scenario}", *(f"# {k}: {v}" for k, v in facts.items())]
        lines += ["#####", "\t".join(["RunID", *(f"Batch{b}" for b in range(1, batches))])]
        lines += ["\t".join([str(run), *["1,50%" if run else "2,50%"] * batches]) for run in (0, 1)]
        lines += ["\t".join([name, *["99,00%"] * batches]) for name in ("avg", "dev.std")]
        (folder / f"{scenario}.tsv").write_text("\n".join(lines) + "\n")
    return folder


def test_values_are_fractions_and_summaries_are_left_out(tmp_path):
    """One header of the published files lacks a batch, so the lines of values count."""
    found = core50_curves.prepare(made(tmp_path))
    assert list(found) == [f"{scenario}, CWR, Mid-VGG" for scenario in BATCHES]
    for curve, batches in zip(found.values(), BATCHES.values(), strict=True):
        assert np.allclose(curve, [[0.02] * batches, [np.sqrt(0.5) / 100] * batches])


def test_a_line_that_is_too_short_is_named(tmp_path):
    path = made(tmp_path) / "NC.tsv"
    path.write_text(path.read_text().replace("\t1,50%", "", 1))
    with pytest.raises(CorruptData, match=r"NC.tsv: CWR, Mid-VGG needs 9 values .* \[8, 9\]"):
        core50_curves.prepare(tmp_path)


def test_a_strategy_that_is_not_known_is_named(tmp_path):
    with pytest.raises(CorruptData, match="'magic' is no strategy or network"):
        core50_curves.prepare(made(tmp_path, strategy="magic"))


def test_the_real_curves_end_where_the_leaderboard_says(curves):
    """Means over all runs in percent; the files' own averages leave the last of ten runs out."""
    expected = {
        ("NI", "naive, Mid-CaffeNet"): 54.22,
        ("NI", "cumulative, Mid-VGG"): 69.955,
        ("NC", "CWR, Mid-CaffeNet"): 42.29,
        ("NC", "cumulative, Mid-VGG"): 70.41,
        ("NIC", "naive, Mid-VGG"): 21.31,
        ("NIC", "cumulative, Mid-VGG"): 70.73,
        ("NIC", "CWR, Mid-CaffeNet"): 29.56,
    }
    for (scenario, name), percent in expected.items():
        assert 100 * curves(scenario)[name][0, -1] == pytest.approx(percent, abs=0.005)
    assert [len(curves(scenario)) for scenario in BATCHES] == [4, 8, 6]


def test_the_real_spread_is_that_of_the_runs(curves):
    found = curves("NI")["naive, Mid-CaffeNet"]
    assert found.shape == (2, 8)
    assert 100 * found[1, -1] == pytest.approx(6.18, abs=0.005)
    assert curves("NIC")["CWR, Mid-VGG"][1, -1] == pytest.approx(0, abs=1e-12)


def test_the_streams_of_objects_show_their_own(curves):
    shown = {name: load(f"ContinualCORe50{name}-v0").published() for name in (*BATCHES, "NC128")}
    for scenario, batches in BATCHES.items():
        assert set(shown[scenario]) == set(curves(scenario))
        assert all(course.shape == (batches,) for course in shown[scenario].values())
    assert shown["NC128"].keys() == shown["NC"].keys()
    for other in ("NCTask", "NICategory", "NICv2Of79"):
        assert not load(f"ContinualCORe50{other}-v0").published()


def test_without_the_files_a_stream_shows_none(tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROTASKS_DATA", str(tmp_path))
    assert not load("ContinualCORe50NI-v0").published()
    with pytest.raises(MissingData, match="neurotasks data fetch core50_curves"):
        core50_curves.curves("NI")


def test_nothing_is_published_for_the_small_steps():
    with pytest.raises(DataError, match=r"no curves are published for 'NICv2_79'"):
        core50_curves.curves("NICv2_79")
