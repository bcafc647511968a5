from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from baselines.logs import CurveLog, bars, heat_map, png, write_events
from baselines.plan import Run
from baselines.work import work


def test_fewer_samples_begin_the_curve_of_the_next_seed():
    log = CurveLog()
    log(10, loss=1.0)
    log(20, loss=0.5, validation=0.123456789)
    log(10, loss=2.0)
    assert log.curves == {
        "loss": [[[10, 1.0], [20, 0.5]], [[10, 2.0]]],
        "validation": [[[20, 0.123457]]],
    }


@pytest.fixture
def result(tmp_path):
    return work(Run("OrientationDecoding-v0", "trivial", (3, 4), "smoke", "cpu", tmp_path)).result


def events(folder):
    """Return all values of an event folder by tag, as TensorBoard itself reads them."""
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    ).EventAccumulator(str(folder))
    accumulator.Reload()
    scalars = {
        tag: [(e.step, e.value) for e in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }
    images = {tag: accumulator.Images(tag) for tag in accumulator.Tags()["images"]}
    return scalars, images


def test_tensorboard_reads_curves_scores_and_a_picture_of_each_seed(result, tmp_path):
    told = replace(result, curves={"loss": [[[10, 1.0], [20, 0.5]], [[10, 2.0]]]}, samples=20)
    write_events(told, tmp_path)
    scalars, images = events(tmp_path / "seed3")
    assert scalars["loss"] == [(10, 1.0), (20, 0.5)]
    assert scalars["score/test"] == [(20, pytest.approx(told.stages["test"].score[0]))]
    assert set(images) == {"scores"}
    assert events(tmp_path / "seed4")[0]["loss"] == [(10, 2.0)]


def test_a_stream_shows_its_accuracy_matrix(result, tmp_path):
    matrix = [[1.0, 0.0], [0.5, 1.0]]
    stage = replace(result.stages["test"], extra={"matrix": [matrix, matrix]})
    write_events(replace(result, stages={"test": stage}), tmp_path)
    _, images = events(tmp_path / "seed3")
    (image,) = images["accuracy matrix"]
    assert (image.height, image.width) == (48, 48)


def test_a_seed_is_written_once_and_a_half_folder_anew(result, tmp_path):
    (tmp_path / ".seed3").mkdir()
    (tmp_path / ".seed3" / "half").write_text("a")
    write_events(result, tmp_path)
    write_events(result, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seed3", "seed4"]
    assert len(list((tmp_path / "seed3").iterdir())) == 1


def test_pictures():
    map_ = heat_map([[0.0, 1.0]], cell=2)
    assert map_.shape == (2, 4, 3)
    assert map_[0, 0].tolist() == [255, 255, 255]
    assert map_[0, 3].tolist() == [31, 119, 180]
    bar = bars({"test": 0.5, "shift": -9.0}, width=301, height=20)
    assert bar.shape == (40, 301, 3)
    assert bar[10, 50].tolist() == [0, 0, 0], "chance"
    assert bar[10, 100].tolist() == [31, 119, 180], "half way"
    assert bar[10, 200].tolist() == [225, 225, 225]
    assert bar[30, 10].tolist() == [31, 119, 180], "far below chance"


def test_png_is_what_others_read():
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert (np.asarray(image.open(io.BytesIO(png(pixels)))) == pixels).all()
