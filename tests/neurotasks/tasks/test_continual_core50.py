"""CORe50 on a miniature in the official layout, which `conftest.py` describes and writes."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from neurotasks import load
from neurotasks.agent import Budget, silent
from neurotasks.continual import evaluate_stream
from neurotasks.errors import CorruptData, MissingData, MissingExtra
from neurotasks.evaluate import evaluate
from neurotasks.sources import core50

pytest.importorskip("PIL")

SCENARIOS = {"NI": 8, "NC": 9, "NIC": 79}
OFFICIAL = {file.name: file.hash for file in core50.SOURCE.files}  # before a miniature stands in

on_drawn_frames = pytest.mark.parametrize("mini", ["drawn"], indirect=True)


def path_of(trials, index):
    session, item, frame = (int(trials[name][index]) for name in ("session", "object", "frame"))
    return f"s{session}/o{item}/C_{session:02d}_{item:02d}_{frame:03d}.png"


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("run", [0, 3])
def test_every_pixel_and_every_label_is_that_of_the_list(mini, scenario, run):
    """The pixels say which frame it is, and the list says its label: nothing may slip."""
    frames, lists = mini.frames, mini.lists
    named = {np.ascontiguousarray(image).tobytes(): name for name, image in frames.items()}
    assert len(named) == len(frames)  # no two frames are equal
    task = load(f"ContinualCORe50{scenario}-v0")
    batches = {f"train_batch_{i:02d}": task.experience(i, run) for i in range(task.experiences)}
    for name, batch in {**batches, "test": task.test(run)}.items():
        shown = np.ascontiguousarray(batch.x[:, 0].transpose(0, 2, 3, 1))
        found = [f"{named[x.tobytes()]} {y}\n" for x, y in zip(shown, batch.y[:, 0], strict=True)]
        folder = f"batches_filelists/{scenario}_inc/run{run}"
        assert "".join(found) == lists[f"{folder}/{name}_filelist.txt"]
        assert path_of(batch.trials, 0) == named[shown[0].tobytes()]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_stream_in_its_order_is_the_batches_one_after_the_other(mini, scenario):
    """The env faces read the stream so; sizes come from the lists, without the frames."""
    task = load(f"ContinualCORe50{scenario}-v0")
    batches = [task.experience(index, 2) for index in range(task.experiences)]
    assert list(task.sizes(2)) == [len(batch) for batch in batches]
    stream = np.concatenate([batch.x for batch in batches])
    np.testing.assert_array_equal(task.sample(range(3, 200), 2).x, stream[3:200])
    assert len(mini.frames) == len(stream) + len(task.test(2))


@pytest.mark.parametrize(("scenario", "experiences"), SCENARIOS.items())
def test_every_training_frame_comes_once(mini, scenario, experiences):
    task = load(f"ContinualCORe50{scenario}-v0")
    assert task.experiences == experiences
    batches = [task.experience(index, 1) for index in range(experiences)]
    shown = [path_of(b.trials, i) for b in batches for i in range(len(b))]
    held_out = [f"s{session}/" for session in (3, 7, 10)]
    expected = [name for name in mini.frames if not name.startswith(tuple(held_out))]
    assert sorted(shown) == sorted(expected)


def test_new_classes_are_counted_as_they_are_taught(mini):
    task = load("ContinualCORe50NC-v0")
    for run in (0, 7):
        test = task.test(run)
        taught = [np.unique(task.experience(index, run).y) for index in range(9)]
        assert np.concatenate(taught).tolist() == list(range(50))
        for index, labels in enumerate(taught):
            assert np.unique(test.y[test.trials["group"] == index]).tolist() == labels.tolist()


@pytest.mark.parametrize("scenario", ["NI", "NIC"])
def test_groups_are_the_test_sessions_where_all_objects_return(mini, scenario):
    trials = load(f"ContinualCORe50{scenario}-v0").test(0).trials
    assert trials["session"].tolist() == np.array([3, 7, 10])[trials["group"]].tolist()


def test_a_seed_is_one_of_ten_runs(mini):
    task = load("ContinualCORe50NIC-v0")
    first = [task.experience(5, seed).trials["object"].tolist() for seed in range(20)]
    assert first[:10] == first[10:]
    assert len({tuple(objects) for objects in first}) > 5


class NearestMean:
    """Answers the class whose mean thumbnail is the nearest: a frozen feature, no gradient."""

    def learn(self, task, *, seeds, budget, log):
        if task.index == 0:
            self.sums = {seed: (np.zeros((50, 192)), np.zeros(50)) for seed in seeds}
        for seed in seeds:
            total, count = self.sums[seed]
            batch = task.dataset("train", seed)
            np.add.at(total, batch.y[:, 0], thumbnails(batch.x))
            np.add.at(count, batch.y[:, 0], 1)
        return [Nearest(*self.sums[seed]) for seed in seeds]


class Nearest:
    def __init__(self, total, count):
        mean = total / np.maximum(count, 1)[:, None]
        self.mean = np.where(count[:, None] > 0, mean, 1e6)

    def act(self, observation, state):
        x = thumbnails(observation)
        distance = ((x[:, None] - self.mean) ** 2).sum(axis=-1)
        return distance.argmin(axis=1)[:, None], state


def thumbnails(x):
    small = x[:, 0].reshape(-1, 3, 8, 4, 8, 4).mean(axis=(3, 5)).reshape(len(x), -1)
    return small - small.mean(axis=1, keepdims=True)


@pytest.mark.parametrize(("scenario", "shape"), [("NI", (8, 3)), ("NC", (9, 9)), ("NIC", (79, 3))])
def test_a_small_learner_walks_the_whole_stream(mini, scenario, shape):
    task = load(f"ContinualCORe50{scenario}-v0")
    _, results = evaluate_stream(
        task, NearestMean(), seeds=[3], budget=Budget("smoke", 1000), log=silent
    )
    result = results["test"]
    assert np.array(result.extra["matrix"]).shape == (1, *shape)
    assert min(result.raw) > 0.15  # chance is 0.02
    assert ("backward transfer" in result.extra) == (scenario == "NC")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_trivial_answer_earns_about_chance(mini, scenario):
    task = load(f"ContinualCORe50{scenario}-v0")
    learner = type("Trivial", (), {"learn": lambda *_, **__: [task.trivial()]})()
    _, results = evaluate_stream(task, learner, seeds=[0], budget=Budget("smoke", 100), log=silent)
    result = results["test"]
    assert abs(result.raw[0] - task.card.stages["test"].chance) < 0.02  # videos of 1 or 2 frames
    assert evaluate(task, [task.trivial()], seeds=[0])["test"].raw[0] < 0.05


def broken(tmp_path, mini, change):
    """Prepare a changed miniature."""
    changed = replace(mini, frames=dict(mini.frames), lists=dict(mini.lists))
    change(changed.frames, changed.lists)
    changed.write(tmp_path)
    return core50.prepare(tmp_path)


LIST = "batches_filelists/NI_inc/run4/train_batch_02_filelist.txt"


def slip(_, lists):
    names, labels = zip(*(line.split() for line in lists[LIST].splitlines()), strict=True)
    moved = (labels[-1], *labels[:-1])
    lists[LIST] = "".join(f"{n} {y}\n" for n, y in zip(names, moved, strict=True))


@on_drawn_frames
def test_labels_that_slip_by_one_frame_are_found_out(mini, tmp_path):
    with pytest.raises(CorruptData, match=r"run 4 of scenario NI.*do not belong together"):
        broken(tmp_path, mini, slip)


@on_drawn_frames
def test_a_listed_frame_that_is_missing_is_named(mini, tmp_path):
    with pytest.raises(CorruptData, match=r"lists 's2/o9/C_02_09_000\.png'"):
        broken(tmp_path, mini, lambda frames, _: frames.pop("s2/o9/C_02_09_000.png"))


@on_drawn_frames
def test_a_missing_list_is_named(mini, tmp_path):
    with pytest.raises(CorruptData, match="lacks list 2 of run 4 of scenario NI"):
        broken(tmp_path, mini, lambda _, lists: lists.pop(LIST))


@on_drawn_frames
def test_a_frame_in_the_wrong_folder_is_named(mini, tmp_path):
    def move(frames, _):
        frames["s2/o9/C_02_08_000.png"] = frames["s2/o9/C_02_09_000.png"]

    with pytest.raises(CorruptData, match="lies in the folder of another"):
        broken(tmp_path, mini, move)


@on_drawn_frames
def test_a_frame_of_another_size_is_named(mini, tmp_path):
    def grow(frames, _):
        frames["s2/o9/C_02_09_000.png"] = np.zeros((128, 128, 3), np.uint8)

    with pytest.raises(CorruptData, match=r"has \(128, 128\) pixels"):
        broken(tmp_path, mini, grow)


@on_drawn_frames
def test_test_frames_are_never_taught(mini, tmp_path):
    def leak(_, lists):
        lists[LIST] += "s3/o1/C_03_01_000.png 0\n"

    with pytest.raises(CorruptData, match="teaches frames of the test sessions"):
        broken(tmp_path, mini, leak)


@on_drawn_frames
def test_without_pillow_the_extra_is_named(mini, tmp_path, monkeypatch):
    mini.write(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtra, match=r"pip install 'neurotasks\[images\]'"):
        core50.prepare(tmp_path)


def test_without_the_files_the_message_says_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROTASKS_DATA", str(tmp_path))
    with pytest.raises(MissingData, match="neurotasks data fetch core50"):
        load("ContinualCORe50NI-v0").test(0)


def test_the_published_checksums_stand():
    assert OFFICIAL == {
        "core50_32x32.zip": "md5:d89d34cdc0281fa84074430e9a22b728",
        "batches_filelists.zip": "md5:e3297508a8998ba0c99a83d6b36bde62",
    }
