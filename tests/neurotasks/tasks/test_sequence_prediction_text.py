from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest

import neurotasks
from neurotasks import sources
from neurotasks.errors import MissingData
from neurotasks.evaluate import trial_metric
from neurotasks.sources import File, tinyshakespeare
from neurotasks.tasks import sequence_prediction_text

SPLITS = ("train", "validation", "test")


@pytest.fixture
def task():
    sequence_prediction_text._windows.cache_clear()
    yield neurotasks.load("SequencePredictionShakespeare-v0")
    sequence_prediction_text._windows.cache_clear()


@pytest.fixture
def miniature(tmp_path, monkeypatch):
    """Put a short text of 65 different characters into a cache of its own."""
    text = bytes(np.random.default_rng(0).integers(32, 97, 60_000, dtype=np.uint8))
    path = tmp_path / "input.txt"
    path.write_bytes(text)
    file = File(path.name, None, len(text), f"sha256:{hashlib.sha256(text).hexdigest()}")
    source = dataclasses.replace(tinyshakespeare.SOURCE, files=(file,))
    monkeypatch.setattr(tinyshakespeare, "SOURCE", source)
    monkeypatch.setenv("NEUROTASKS_DATA", str(tmp_path / "cache"))
    source.add([path])
    return np.frombuffer(text, np.uint8) - 32


def characters(batch):
    return batch.x.argmax(axis=-1)


@pytest.mark.usefixtures("recorded_cache", "real_data")
def test_the_splits_are_parts_of_the_text_in_order(task):
    symbols = sources.get("tinyshakespeare").load()["symbols"]
    for split, start, count in zip(
        SPLITS, (0, 1_003_854, 1_059_624), (7842, 435, 435), strict=True
    ):
        batch = task.dataset(split)
        assert len(batch) == count == task.card.splits[split]
        order = np.argsort(batch.trials["row"])
        text = symbols[start : start + count * 128]
        assert np.array_equal(characters(batch)[order].reshape(-1), text)
        follows = symbols[start + 1 : start + count * 128 + 1]
        assert np.array_equal(batch.y[order].reshape(-1), follows)


def test_what_follows_is_shown_next(task, miniature):
    batch = task.sample(3, stage="test")
    start = len(miniature) * 95 // 100
    assert np.array_equal(characters(batch), miniature[start : start + 384].reshape(3, 128))
    assert np.array_equal(batch.y[:, :-1], characters(batch)[:, 1:])
    assert np.all(batch.x.sum(axis=-1) == 1)


@pytest.mark.usefixtures("miniature")
def test_typos_touch_what_is_shown_only(task):
    clean, typed = (task.sample(20, stage=stage) for stage in ("test", "shift"))
    assert np.array_equal(clean.y, typed.y)
    changed = (characters(clean) != characters(typed)).mean()
    assert changed == pytest.approx(0.1 * 64 / 65, abs=0.02)


@pytest.mark.usefixtures("miniature")
def test_torch_shows_exactly_the_same(task):
    pytest.importorskip("torch")
    from array_api_compat import torch as xp  # noqa: PLC0415

    here, there = (task.sample(range(2, 9), 1, "shift", xp=which) for which in (np, xp))
    assert np.array_equal(here.x, there.x.numpy())
    assert np.array_equal(here.y, there.y.numpy())


@pytest.mark.usefixtures("recorded_cache", "real_data")
@pytest.mark.parametrize("stage", ["test", "shift"])
def test_the_frequencies_land_on_chance(task, stage):
    value = trial_metric(task, task.trivial(stage), seed=0, stage=stage).mean()
    assert value == pytest.approx(task.card.stage(stage).chance, abs=1e-6)


@pytest.mark.usefixtures("recorded_cache", "real_data")
def test_pairs_of_characters_score_between_chance_and_ceiling(task):
    learned = task.dataset("train")
    count = np.ones((65, 65))
    np.add.at(count, (characters(learned).reshape(-1), learned.y.reshape(-1)), 1.0)
    table = np.log(count / count.sum(axis=1, keepdims=True))
    agent = neurotasks.agent.Policy(lambda x: table[x.argmax(axis=-1)])
    anchors = task.card.stage("test")
    assert anchors.ceiling < trial_metric(task, agent, seed=0).mean() < 3.7 < anchors.chance


def test_missing_text_says_how_it_is_fetched(task, tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROTASKS_DATA", str(tmp_path))
    with pytest.raises(MissingData, match="run `neurotasks data fetch tinyshakespeare`"):
        task.sample(1)
