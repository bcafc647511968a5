from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from baselines import logs
from baselines.logs import CurveLog, bars, heat_map, live, png, write_events
from baselines.plan import Run
from baselines.store import add
from baselines.work import work
from neurotasks.agent import Watcher


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


def shown(folder, tag, points):
    """Return what TensorBoard reads while it is written, once there are so many points."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        scalars = events(folder)[0] if folder.exists() else {}
        if len(scalars.get(tag, ())) >= points:
            return scalars
        time.sleep(0.05)
    pytest.fail(f"{folder} never showed {points} points of {tag}")


def test_curves_are_shown_while_they_grow(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "_SHORT", 0.0)
    with live(tmp_path, (3, 4)) as show:
        log = CurveLog(show)
        log(10, loss=1.0)
        log(20, loss=0.5)
        assert shown(tmp_path / "live-seed3", "loss", 2) == {"loss": [(10, 1.0), (20, 0.5)]}
        log(10, loss=2.0)
        assert shown(tmp_path / "live-seed4", "loss", 1) == {"loss": [(10, 2.0)]}


def test_of_seeds_that_train_together_the_mean_is_shown(result, tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "_SHORT", 0.0)
    with live(tmp_path, (3, 4)) as show:
        log = CurveLog(show)
        assert isinstance(log, Watcher)
        log.watch(10, 0.5)
        log(10, validation=0.4)
        log(10, validation=0.6)
        expected = {"mean validation": [(10, 0.5)]}
        assert shown(tmp_path / "live-seed3", "mean validation", 1) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["live-seed3"]
    assert log.curves == {"validation": [[[10, 0.4]], [[10, 0.6]]]}
    write_events(result, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seed3", "seed4"]


def test_a_short_job_shows_nothing_and_a_job_elsewhere_never(tmp_path, monkeypatch):
    with live(tmp_path, (3,)) as show:
        CurveLog(show)(10, loss=1.0)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(logs, "_SHORT", 0.0)
    work(Run("OrientationDecoding-v0", "mlp", (3,), "smoke", "cpu", tmp_path))
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_written_nothing_is_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "_SHORT", 0.0)
    (tmp_path / "file").write_text("in the way")
    with live(tmp_path / "file", (3,)) as show:
        CurveLog(show)(10, loss=1.0)


def test_a_job_deletes_what_was_shown_of_a_killed_one_and_its_result_replaces_it(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(logs, "_SHORT", 0.0)
    run = Run("OrientationDecoding-v0", "mlp", (3, 4), "smoke", "cpu", tmp_path)
    for seed in (3, 4, 5):
        (run.logs / f"live-seed{seed}").mkdir(parents=True)
        (run.logs / f"live-seed{seed}" / "half").write_text("a")
    done = work(run, here=True)
    assert not list(run.logs.rglob("live-seed[34]/half"))
    assert events(run.logs / "live-seed3")[0].keys() == {"mean validation"}
    add(run, done.result)
    left = sorted(path.name for path in run.logs.iterdir())
    assert left == ["live-seed5", "seed3", "seed4"], "the job of another seed may be going on"


@pytest.mark.slow
def test_a_running_plan_is_shown_and_a_killed_one_leaves_no_half_curve(tmp_path):
    words = "-m baselines run --task CartPole-v0 --agent sb3-a2c --seeds 1 --jobs 1 --device cpu"
    line = [sys.executable, *words.split(), "--out", str(tmp_path), "--budget"]
    process = subprocess.Popen(  # noqa: S603 - our own code
        [*line, "full"], start_new_session=True, stdout=subprocess.DEVNULL
    )
    folder = tmp_path / "CartPole-v0" / "tensorboard" / "sb3-a2c"
    try:
        assert "return" in shown(folder / "live-seed0", "return", 20)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert [path.name for path in folder.iterdir()] == ["live-seed0"]
    subprocess.run([*line, "smoke"], check=True, capture_output=True)  # noqa: S603 - our own code
    assert [path.name for path in folder.iterdir()] == ["seed0"]


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
