from __future__ import annotations

import io

import numpy as np
import pytest

from neurotasks import cards, load
from neurotasks.submission.arrays import problems, shape_of

CLASSES = "neurotasks/GoNogo-v0"


def told(path, content, task_id, seeds=(0,)):
    path.write_bytes(content)
    return [str(problem) for problem in problems(path, load(task_id), seeds)]


@pytest.mark.parametrize("task_id", ["neurotasks/OrientationDecoding-v0", CLASSES])
def test_what_numpy_writes_is_in_order(tmp_path, npz, task_id):
    assert told(tmp_path / "p", npz(task_id, (3, 4)), task_id, (3, 4)) == []
    assert "it lacks" in told(tmp_path / "p", npz(task_id, (3, 4)), task_id, (3, 5))[0]
    with np.load(io.BytesIO(npz(task_id))) as arrays:
        plain = io.BytesIO()
        np.savez(plain, **{name: np.asfortranarray(array) for name, array in arrays.items()})
    assert told(tmp_path / "p", plain.getvalue(), task_id) == []


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int64, np.float16, np.float64])
def test_numbers_of_any_width_are_taken(tmp_path, npz, kind):
    points = npz("neurotasks/OrientationDecoding-v0", **{"test.0": np.zeros((4000, 1, 2), kind)})
    assert told(tmp_path / "p", points, "neurotasks/OrientationDecoding-v0") == []
    found = told(tmp_path / "p", npz(CLASSES, **{"test.0": np.zeros((4000, 15), kind)}), CLASSES)
    assert found == [] or ("it holds <f" in found[0] and np.dtype(kind).kind == "f")


@pytest.mark.parametrize(
    "card",
    [c for c in cards() if c.form == "trial" and c.data == "generated"],
    ids=lambda card: card.label,
)
def test_shapes_are_those_of_the_trials_of_each_stage(card):
    task = load(card.id)
    for stage in card.evaluated:
        steps = task.sample(2, 7, stage).mask.shape[1]
        assert shape_of(task, stage)[:2] == (card.stage(stage).trials, steps)


def test_a_control_task_takes_no_predictions(tmp_path, npz):
    assert "is a control task" in told(tmp_path / "p", npz(), "neurotasks/CartPole-v0")[0]


def test_every_cut_is_seen(tmp_path, npz):
    good = npz()
    for length in [*range(200), *range(len(good) - 200, len(good))]:
        assert told(tmp_path / "p", good[:length], "neurotasks/OrientationDecoding-v0")
