from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest

import neurotasks
from neurotasks.errors import MissingData
from neurotasks.evaluate import trial_metric
from neurotasks.metrics import orientation_error
from neurotasks.sources import File, mouse_gratings
from neurotasks.tasks import orientation_decoding_mouse
from neurotasks.tasks.orientation_decoding_mouse import session_accuracy

NEURONS = (28, 53, 74, 39, 56, 18, 39)
SPLITS = ("train", "validation", "test")


@pytest.fixture
def task():
    orientation_decoding_mouse._recording.cache_clear()
    yield neurotasks.load("OrientationDecodingMouse-v0")
    orientation_decoding_mouse._recording.cache_clear()


@pytest.fixture
def miniature(tmp_path, monkeypatch):
    """Put a file of the published layout, with generated responses, into a cache of its own."""
    generator = np.random.default_rng(0)
    time = np.linspace(-1, 2, 49, dtype=np.float32)
    direction = np.tile(np.arange(0, 360, 45, dtype=np.int16), 16)
    arrays = {"n_sessions": np.int64(7), "t": time}
    for session, count in enumerate(NEURONS):
        preferred = np.arange(count) * (180.0 / count)
        tuning = np.exp(2 * np.cos(np.deg2rad(2 * (direction[:, None] - preferred))) - 2)
        course = np.clip(time / 0.5, 0, 1)
        response = tuning[:, :, None] * course + generator.normal(0, 1, (128, count, 49))
        arrays[f"s{session}_resp"] = response.astype(np.float32)
        arrays[f"s{session}_direction"] = direction
    path = tmp_path / "v1_mouse_gratings.npz"
    np.savez(path, **arrays)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    file = File(path.name, None, path.stat().st_size, f"sha256:{digest}")
    source = dataclasses.replace(mouse_gratings.SOURCE, files=(file,))
    monkeypatch.setattr(mouse_gratings, "SOURCE", source)
    monkeypatch.setenv("NEUROTASKS_DATA", str(tmp_path / "cache"))
    source.add([path])
    return arrays


def ridge(task):
    """Return the answers (B, 1, 2) of ridge regression to the test trials."""
    learned = task.dataset("train")
    x, y = learned.x[:, 0].astype(np.float64), learned.y[:, 0]
    weights = np.linalg.solve(x.T @ x + 100.0 * np.eye(x.shape[1]), x.T @ y)
    return task.dataset("test").x @ weights


def test_each_session_owns_its_block(task, miniature):
    batch = task.sample(224, stage="test")
    owner = np.repeat(np.arange(7), NEURONS)
    assert np.array_equal(batch.x[:, 0] != 0, owner == batch.trials["session"][:, None])
    window = (miniature["t"] >= 0.25) & (miniature["t"] <= 2.0)
    mean = miniature["s1_resp"][:, :, window].mean(axis=-1, dtype=np.float64)
    number = np.arange(128) // 8
    learned = mean[~np.isin(number, (2, 4, 6, 10, 12, 14))]
    z = (mean[number == 2] - learned.mean(axis=0)) / learned.std(axis=0)
    assert np.allclose(batch.x[32:40, 0, 28:81], z, atol=1e-4)


@pytest.mark.usefixtures("miniature")
def test_the_splits_part_the_trials(task):
    sizes = [len(task.dataset(split)) for split in SPLITS]
    assert sizes == list(task.card.splits.values())
    shown = np.concatenate([task.dataset(split).x[:, 0] for split in SPLITS])
    assert len(np.unique(shown, axis=0)) == 7 * 128


@pytest.mark.usefixtures("miniature")
@pytest.mark.parametrize("stage", ["test", "shift"])
def test_a_constant_lands_on_chance(task, stage):
    assert trial_metric(task, task.trivial(stage), seed=0, stage=stage).mean() == 45.0


@pytest.mark.usefixtures("miniature")
def test_accuracy_in_each_session(task):
    batch = task.dataset("test")
    assert session_accuracy(batch.y, batch).tolist() == [1.0] * 7
    assert session_accuracy(task.trivial().act(batch.x, None)[0], batch).tolist() == [0.25] * 7
    assert session_accuracy(ridge(task), task.dataset("test")).min() > 0.9


@pytest.mark.usefixtures("miniature")
def test_the_shifted_response_ends_earlier(task):
    whole, brief = (task.sample(224, stage=stage) for stage in ("test", "shift"))
    assert np.array_equal(whole.y, brief.y)
    assert not np.allclose(whole.x, brief.x)


def test_missing_recordings_say_how_they_are_added(task, tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROTASKS_DATA", str(tmp_path))
    message = r"get them from https://github.com/surlab/Park_et_al and run `neurotasks data add mou"
    with pytest.raises(MissingData, match=message):
        task.sample(1)


@pytest.mark.usefixtures("recorded_cache", "real_data")
def test_ridge_reads_the_real_recordings(task):
    batch, answer = task.dataset("test"), ridge(task)
    assert orientation_error(answer, batch.y).mean() < 30.0
    accuracy = session_accuracy(answer, batch)
    assert accuracy[4] > 0.9
    assert accuracy.mean() > 0.45


@pytest.mark.usefixtures("recorded_cache", "real_data")
@pytest.mark.parametrize("stage", ["test", "shift"])
def test_the_reference_gives_the_ceiling(task, stage):
    analysis = pytest.importorskip("sklearn.discriminant_analysis")
    until = task.card.stage(stage).parameters["until"]
    parts = {split: orientation_decoding_mouse._recording(split, until) for split in SPLITS}
    held = {
        "train": [0, 1, 3, 5, 7, 8, 9, 11, 13, 15],
        "validation": [4, 12],
        "test": [2, 6, 10, 14],
    }
    number = np.concatenate([np.tile(np.repeat(held[split], 8), 7) for split in SPLITS])
    x, direction, session = (np.concatenate([part[i] for part in parts.values()]) for i in range(3))
    label = (direction % 180 // 45).astype(int)
    owner = np.repeat(np.arange(7), NEURONS)
    distance = np.array([[0, 45, 90, 45], [45, 0, 45, 90], [90, 45, 0, 45], [45, 90, 45, 0]])
    error = np.empty(len(x))
    for fold in range(8):
        for which in range(7):
            here, out = session == which, number % 8 == fold
            mine = x[:, owner == which].astype(np.float64)
            model = analysis.LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
            model.fit(mine[here & ~out], label[here & ~out])
            answer = (model.predict_proba(mine[here & out]) @ distance).argmin(axis=1)
            error[here & out] = distance[answer, label[here & out]]
    anchors = task.card.stage(stage)
    assert error.mean() == pytest.approx(anchors.ceiling, abs=0.1)
    assert error.std() / np.sqrt(len(error)) == pytest.approx(anchors.ceiling_error, abs=0.02)
