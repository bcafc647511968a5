from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest

import neurotasks
from neurotasks.errors import CorruptData, MissingData
from neurotasks.evaluate import trial_metric
from neurotasks.metrics import orientation_error
from neurotasks.sources import File, stringer
from neurotasks.tasks.orientation_decoding_stringer import NEURONS, course_permutation

DECODING, ENCODING = (file.name for file in stringer.SOURCE.files)


@pytest.fixture(scope="module")
def responses():
    """Return generated responses of the published layout: (360, 23589) and the directions."""
    generator = np.random.default_rng(1)
    direction = np.arange(360, dtype=np.float64)
    preferred = generator.uniform(0, 180, NEURONS).astype(np.float32)
    angle = np.deg2rad(2 * (direction[:, None].astype(np.float32) - preferred))
    response = np.exp(3 * np.cos(angle) - 3)
    response += generator.standard_normal(response.shape, dtype=np.float32)
    return response, direction


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROTASKS_DATA", str(tmp_path / "cache"))
    return tmp_path


def publish(folder, monkeypatch, **arrays):
    """Write a file of the published name, and make the source expect it."""
    path = folder / DECODING
    np.savez(path, **arrays)
    digest = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    files = (File(DECODING, None, None, digest), stringer.SOURCE.files[1])
    source = dataclasses.replace(stringer.SOURCE, files=files)
    monkeypatch.setattr(stringer, "SOURCE", source)
    source.add([path])
    return source


@pytest.fixture
def task():
    return neurotasks.load("OrientationDecodingStringer-v0")


def test_the_split_is_the_one_of_the_course():
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(4)
    expected = torch.randperm(360, generator=generator).numpy()
    assert np.array_equal(course_permutation(), expected)


def test_rows_come_as_they_were_published(cache, monkeypatch, task, responses):
    response, direction = responses
    publish(cache, monkeypatch, resp=response, stimuli=direction)
    test = task.dataset("test")
    assert np.array_equal(test.trials["row"], course_permutation()[216:])
    assert np.array_equal(test.x[:, 0], response[test.trials["row"]])
    assert np.array_equal(test.trials["direction"], direction[test.trials["row"]])
    parts = [task.dataset(split) for split in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [180, 36, 144]
    shown = np.concatenate([part.trials["row"] for part in parts])
    assert sorted(shown.tolist()) == list(range(360))
    course = set(task.dataset("train216").trials["row"].tolist())
    assert course == set(shown[:216].tolist())


@pytest.mark.parametrize("origin", [0.0, 0.5])
def test_the_best_constant_lands_on_chance(cache, monkeypatch, task, origin):
    """Only the spacing of the bins counts, so the responses may be few."""
    resp, stimuli = np.zeros((360, 3), np.float32), np.arange(360) + origin
    publish(cache, monkeypatch, resp=resp, stimuli=stimuli)
    value = trial_metric(task, task.trivial(), seed=0).mean()
    assert value == pytest.approx(task.card.stage("test").chance, abs=1e-4)


def test_a_linear_decoder_learns_it(cache, monkeypatch, task, responses):
    response, direction = responses
    publish(cache, monkeypatch, resp=response, stimuli=direction)
    learned, test = task.dataset("train"), task.dataset("test")
    x, other = learned.x[:, 0], test.x[:, 0]
    kernel = (x @ x.T).astype(np.float64)
    weights = np.linalg.solve(kernel + 1000.0 * np.eye(len(x)), learned.y[:, 0])
    answer = (other @ x.T) @ weights
    assert orientation_error(answer[:, None], test.y).mean() < 5.0


def test_responses_and_stimuli_must_fit(cache, monkeypatch):
    source = publish(cache, monkeypatch, resp=np.zeros((359, 3)), stimuli=np.arange(360.0))
    with pytest.raises(CorruptData, match="one row of responses for each stimulus"):
        source.load()


def test_the_file_for_encoding_is_prepared_where_it_is_there(cache, monkeypatch):
    source = publish(cache, monkeypatch, resp=np.zeros((360, 3)), stimuli=np.arange(360.0))
    assert sorted(source.load()) == ["direction", "response"]
    path = cache / ENCODING
    halves = {"resp_train": np.ones((60, 3)), "resp_test": np.zeros((60, 3))}
    np.savez(path, stimuli=np.arange(0.0, 360.0, 6.0), **halves)
    digest = f"md5:{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}"
    files = (source.files[0], dataclasses.replace(source.files[1], hash=digest))
    source = dataclasses.replace(source, files=files)
    source.add([path])
    assert source.load()["encoding_train"].shape == (60, 3)
    assert source.load()["encoding_direction"][1] == 6.0


@pytest.mark.usefixtures("cache")
def test_missing_recordings_say_how_they_are_fetched(task):
    message = "missing W3D4_stringer_oribinned1.npz; run `neurotasks data fetch stringer`"
    with pytest.raises(MissingData, match=message):
        task.sample(1)
