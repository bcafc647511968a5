"""CORe50's streams on a miniature in the official layout, which `conftest.py` writes."""

from __future__ import annotations

import pickle
import zipfile

import numpy as np
import pytest

from neurotasks import cards, load
from neurotasks.agent import Budget, Policy, silent
from neurotasks.continual import evaluate_stream
from neurotasks.errors import MissingData, UnknownStage
from neurotasks.evaluate import evaluate

pytest.importorskip("PIL")

SCENARIOS = {"NI": 8, "NC": 9, "NIC": 79, "NICv2_79": 79, "NICv2_196": 196, "NICv2_391": 391}
FOLDERS = {"NI": "batches_filelists/NI_inc", "NC": "batches_filelists/NC_inc",
           "NIC": "batches_filelists/NIC_inc", "NICv2_79": "NIC_v2_79",
           "NICv2_196": "NIC_v2_196", "NICv2_391": "NIC_v2_391"}  # fmt: skip
NAMES = [card.label for card in cards() if card.name.startswith("ContinualCORe50")]

on_drawn_frames = pytest.mark.parametrize("mini", ["drawn"], indirect=True)
on_real_frames = pytest.mark.parametrize("mini", ["real"], indirect=True)
every_scenario = pytest.mark.parametrize("scenario", SCENARIOS)


def stream(scenario, more=""):
    return load(f"ContinualCORe50{scenario.replace('_', 'Of')}{more}-v0")


def path_of(trials, index):
    session, item, frame = (int(trials[name][index]) for name in ("session", "object", "frame"))
    return f"s{session}/o{item}/C_{session:02d}_{item:02d}_{frame:03d}.png"


def paths(batch):
    return [path_of(batch.trials, index) for index in range(len(batch))]


def test_each_scenario_comes_in_two_levels_and_two_sizes_and_once_with_tasks_told():
    made = {f"ContinualCORe50{s.replace('_', 'Of')}{level}{size}-v0"
            for s in SCENARIOS for level in ("", "Category") for size in ("", "128")}  # fmt: skip
    assert set(NAMES) == made | {"ContinualCORe50NCTask-v0"}
    for name in NAMES:
        task = load(name)
        size = 128 if name.endswith("128-v0") else 32
        assert task.observation_space.shape == (3 + task.told, size, size)
        assert task.action_space.n == (10 if "Category" in name or "Task" in name else 50)
        assert task.experiences == SCENARIOS[task.scenario]
        assert task.card.source == ("core50_128" if size == 128 else "core50")


@every_scenario
@pytest.mark.parametrize("run", [0, 3])
def test_every_pixel_and_every_label_is_that_of_the_list(mini, scenario, run):
    """The pixels say which frame it is, and the list says its label: nothing may slip."""
    named = {image.tobytes(): name for name, image in mini.frames[32].items()}
    assert len(named) == len(mini.frames[32])  # no two frames are equal
    task = stream(scenario)
    batches = {f"train_batch_{i:02d}": task.experience(i, run) for i in range(task.experiences)}
    for name, batch in {**batches, "test": task.test(run)}.items():
        shown = np.ascontiguousarray(batch.x[:, 0].transpose(0, 2, 3, 1))
        found = [f"{named[x.tobytes()]} {y}\n" for x, y in zip(shown, batch.y[:, 0], strict=True)]
        assert "".join(found) == mini.lists[f"{FOLDERS[scenario]}/run{run}/{name}_filelist.txt"]
        assert paths(batch) == [named[x.tobytes()] for x in shown]


@pytest.mark.parametrize("scenario", ["NC", "NICv2_196"])
def test_large_frames_come_in_the_order_of_the_small_ones(mini, scenario):
    small, large = stream(scenario), stream(scenario, "128")
    for one, other in (
        (small.experience(4, 2), large.experience(4, 2)),
        (small.test(2), large.test(2)),
    ):
        assert np.array_equal(one.y, other.y)
        expected = np.stack([mini.frames[128][name] for name in paths(one)])
        assert np.array_equal(other.x[:, 0], expected.transpose(0, 3, 1, 2))


@every_scenario
def test_batches_share_out_the_frames_of_the_training_sessions(mini, scenario):
    task = stream(scenario)
    for run in (1, 6):
        batches = [paths(task.experience(index, run)) for index in range(task.experiences)]
        held_out = tuple(f"s{session}/" for session in (3, 7, 10))
        known = sorted(mini.frames[32])
        assert sorted(name for batch in batches for name in batch) == [
            name for name in known if not name.startswith(held_out)
        ]
        assert sorted(paths(task.test(run))) == [
            name for name in known if name.startswith(held_out)
        ]


@every_scenario
def test_any_part_of_the_stream_is_that_part_of_its_batches(mini, scenario):
    """The env faces read the stream so; sizes come from the lists, without the frames."""
    task = stream(scenario)
    batches = [task.experience(index, 2) for index in range(task.experiences)]
    assert task.sizes(2) == [len(batch) for batch in batches]
    x, y = (np.concatenate([getattr(batch, name) for batch in batches]) for name in "xy")
    assert len(mini.frames[32]) == len(x) + len(task.test(2))
    part = task.sample(range(3, 200), 2)
    assert np.array_equal(part.x, x[3:200])
    assert np.array_equal(part.y, y[3:200])
    around = task.sample(range(len(x) - 2, len(x) + 2), 2)  # the first follows the last
    assert np.array_equal(around.x, x[[-2, -1, 0, 1]])
    test = task.test(2)
    assert np.array_equal(task.sample(range(5, 9), 2, "test").x, test.x[5:9])
    assert np.array_equal(
        task.sample(range(len(test), len(test) + 2), 2, "validation").x, test.x[:2]
    )


def test_new_classes_are_counted_as_they_are_taught(mini):
    task = stream("NC")
    for run in (0, 7):
        test = task.test(run)
        taught = [np.unique(task.experience(index, run).y) for index in range(9)]
        assert np.concatenate(taught).tolist() == list(range(50))
        for index, labels in enumerate(taught):
            assert np.unique(test.y[test.trials["group"] == index]).tolist() == labels.tolist()


@every_scenario
def test_a_category_holds_five_objects(mini, scenario):
    task = stream(scenario, "Category")
    for batch in (task.experience(3, 5), task.test(5)):
        assert np.array_equal(batch.y[:, 0], (batch.trials["object"] - 1) // 5)
    assert np.unique(task.test(5).y).tolist() == list(range(10))


def test_a_told_batch_stands_in_planes_and_leaves_a_few_answers(mini):
    told, untold = stream("NC", "Task"), stream("NC")
    for index in range(9):
        batch = told.experience(index, 4)
        assert np.array_equal(batch.x[:, :, :3], untold.experience(index, 4).x)
        assert (batch.x[:, :, 3 + index] == 255).all()
        assert batch.x[:, :, 3:].sum(axis=2).max() == 255  # and no other plane
        assert (batch.trials["task"] == index).all()
        assert np.unique(batch.y).tolist() == list(range(10 if index == 0 else 5))
    test = told.test(4)
    assert np.array_equal(test.x[:, 0, 3:, 0, 0].argmax(axis=1), test.trials["task"])
    assert np.array_equal(test.trials["group"], test.trials["task"])
    pairs = set(zip(test.trials["task"].tolist(), test.y[:, 0].tolist(), strict=True))
    assert len(pairs) == len(np.unique(test.trials["object"])) == 50


@pytest.mark.parametrize("scenario", ["NI", "NIC", "NICv2_79", "NICv2_391"])
def test_groups_are_the_test_sessions_where_all_objects_return(mini, scenario):
    trials = stream(scenario).test(0).trials
    assert trials["session"].tolist() == np.array([3, 7, 10])[trials["group"]].tolist()


def test_a_seed_is_one_of_ten_runs(mini):
    task = stream("NICv2_196")
    first = [task.experience(5, seed).trials["object"].tolist() for seed in range(20)]
    assert first[:10] == first[10:]
    assert len({tuple(objects) for objects in first}) > 5


def test_there_is_no_batch_before_the_first_nor_after_the_last(mini):
    for index in (-1, 8):  # the test list stands behind the last batch
        with pytest.raises(IndexError, match=f"has batches 0 to 7, not {index}"):
            stream("NI").experience(index, 0)
    with pytest.raises(UnknownStage, match="has no stage 'shift'"):
        stream("NI").test(0, "shift")


class NearestMean:
    """Answers the class whose mean thumbnail is the nearest: a frozen feature, no gradient.

    Told the task, it looks among the means of that task.
    """

    def learn(self, task, *, seeds, budget, log):
        told, classes = task.task.told, int(task.action_space.n)
        if task.index == 0:
            self.sums = {
                seed: (np.zeros((max(told, 1) * classes, 192)), np.zeros(max(told, 1) * classes))
                for seed in seeds
            }
        for seed in seeds:
            total, count = self.sums[seed]
            batch = task.dataset("train", seed)
            place = batch.y[:, 0] + classes * task_of(batch.x)
            np.add.at(total, place, thumbnails(batch.x))
            np.add.at(count, place, 1)
        return [nearest(*self.sums[seed], classes) for seed in seeds]


def nearest(total, count, classes):
    mean = total / np.maximum(count, 1)[:, None]
    far = np.where(count > 0, (mean**2).sum(axis=1), np.inf)

    def answer(x):
        distance = (far - 2 * thumbnails(x) @ mean.T).reshape(len(x), -1, classes)
        return distance[np.arange(len(x)), task_of(x)].argmin(axis=1)[:, None]

    return Policy(answer)


def task_of(x):
    """Return the number of the plane that is lit, 0 where there is none."""
    return x[:, 0, 3:, 0, 0].argmax(axis=1) if x.shape[2] > 3 else np.zeros(len(x), np.int64)


def thumbnails(x):
    step = x.shape[-1] // 8
    small = x[:, 0, :3, step // 2 :: step, step // 2 :: step].reshape(len(x), -1).astype(float)
    return small - small.mean(axis=1, keepdims=True)


WALKS = [("drawn", name) for name in NAMES]
WALKS += [("real", name) for name in NAMES if "128" not in name]  # to save time


@pytest.mark.parametrize(("mini", "name"), WALKS, indirect=["mini"])
def test_a_small_learner_walks_the_whole_stream(mini, name):
    task = load(name)
    _, results = evaluate_stream(
        task, NearestMean(), seeds=[3], budget=Budget("smoke", 1000), log=silent
    )
    result, square = results["test"], task.scenario == "NC"
    groups = 9 if square else 3
    assert np.array(result.extra["matrix"]).shape == (1, task.experiences, groups)
    assert result.raw[0] > task.card.stages["test"].chance + 0.15
    assert ("backward transfer" in result.extra) == square


@on_drawn_frames
@pytest.mark.parametrize("name", [name for name in NAMES if "128" not in name])
def test_the_trivial_answer_earns_chance_and_no_constant_earns_more(mini, name):
    """All test videos of the miniature and of the original are as good as equally long."""
    task = load(name)
    chance = task.card.stages["test"].chance
    test = task.test(0)
    videos = np.unique(
        np.stack([test.trials[n] for n in ("group", "session", "object")]),
        axis=1,
        return_index=True,
    )[1]
    group, truth = test.trials["group"][videos], test.y[videos, 0]
    answer, _ = task.trivial().act(test.x[videos], None)
    right = {
        a: np.bincount(group, truth == a) / np.bincount(group) for a in range(task.action_space.n)
    }
    assert np.mean(right[int(answer[0, 0])]) == pytest.approx(chance)
    assert max(np.mean(found) for found in right.values()) == pytest.approx(chance)
    assert len(np.unique(answer)) == 1
    assert evaluate(task, [task.trivial()], seeds=[0])["test"].raw[0] < 0.3


class StreamingLDA:
    """Linear discriminant analysis of features, taught batch by batch, one covariance for all."""

    def __init__(self, width, classes):
        self.total, self.count = np.zeros((classes, width)), np.zeros(classes)
        self.square = np.zeros((width, width))

    def teach(self, feature, label):
        np.add.at(self.total, label, feature)
        np.add.at(self.count, label, 1)
        self.square += feature.T @ feature

    def answer(self, feature, shrinkage=0.5):
        mean = self.total / self.count[:, None]
        within = (self.square - self.total.T @ mean) / self.count.sum()
        spread = np.eye(len(within)) * np.trace(within) / len(within)
        weight = np.linalg.solve((1 - shrinkage) * within + shrinkage * spread, mean.T)
        return (feature @ weight - 0.5 * (weight * mean.T).sum(axis=0)).argmax(axis=1)


def frozen(x, seed, filters=128, size=6):
    """Return features of images (N, 3, 32, 32): random filters that are never trained, pooled."""
    weight = np.random.Generator(np.random.Philox(key=seed)).standard_normal((3 * size**2, filters))
    weight = (weight - weight.mean(axis=0)) / np.linalg.norm(weight, axis=0)
    window = np.lib.stride_tricks.sliding_window_view(x / 255, (size, size), axis=(2, 3))
    patch = window[:, :, ::2, ::2].transpose(0, 2, 3, 1, 4, 5).reshape(len(x), 14, 14, -1)
    patch = patch - patch.mean(axis=-1, keepdims=True)
    seen = np.maximum(patch / (patch.std(axis=-1, keepdims=True) + 0.1) @ weight, 0)
    return seen.reshape(len(x), 2, 7, 2, 7, filters).mean(axis=(2, 4)).reshape(len(x), -1)


@on_real_frames
def test_the_real_frames_reach_a_frozen_feature_learner(mini):
    """All ninety, without a stand-in: each session is recognised by what the others taught.

    Measured: 0.32 of the categories are right, mean of three sets of filters; chance is 0.1, with a
    standard error of 0.032.
    """
    task = load("ContinualCORe50NICategory-v0")
    batches = [*(task.experience(index, 0) for index in range(8)), task.test(0)]
    real = [batch[mini.real.genuine(batch.trials)] for batch in batches]
    x = np.concatenate([batch.x[:, 0] for batch in real])
    label = np.concatenate([batch.y[:, 0] for batch in real])
    session = np.concatenate([batch.trials["session"] for batch in real])
    assert len(x) == 90
    known = {image.tobytes() for image in mini.real.images[32]}
    assert {np.ascontiguousarray(image.transpose(1, 2, 0)).tobytes() for image in x} == known
    right = []
    for seed in range(3):
        feature = frozen(x, seed)
        for held_out in range(1, 10):
            learner = StreamingLDA(feature.shape[1], 10)
            for other in dict.fromkeys(session.tolist()):  # in the order of the stream
                if other != held_out:
                    learner.teach(feature[session == other], label[session == other])
            shown = session == held_out
            right += (learner.answer(feature[shown]) == label[shown]).tolist()
    assert np.mean(right) > 0.25


@pytest.mark.slow
@on_drawn_frames
@pytest.mark.parametrize("level", ["", "Category"])
def test_avalanche_reads_the_lists_as_we_do(mini, tmp_path_factory, level):
    """Its own loader, on the same files unpacked; `slow` as its import takes seconds."""
    found = pytest.importorskip("agents.avalanche")
    classic = found.avalanche("avalanche.benchmarks.classic.core50")
    root = unpacked(mini, tmp_path_factory.mktemp("avalanche"))
    for scenario in SCENARIOS:
        task = stream(scenario, level)
        with found.quiet():
            benchmark = classic.CORe50(
                scenario=scenario.lower(), run=4, object_lvl=not level, mini=True, dataset_root=root
            )
        assert benchmark.n_classes == task.action_space.n
        theirs = [*benchmark.train_stream, *benchmark.test_stream]
        ours = [*(task.experience(index, 4) for index in range(task.experiences)), task.test(4)]
        for one, other in zip(theirs, ours, strict=True):
            assert [int(y) for y in one.dataset.targets] == other.y[:, 0].tolist()
        image = theirs[-1].dataset.eval()[7][0].numpy()  # with the mean and spread of ImageNet
        spread, mean = np.array([0.229, 0.224, 0.225]), np.array([0.485, 0.456, 0.406])
        pixels = (image * spread[:, None, None] + mean[:, None, None]) * 255
        assert np.allclose(pixels, ours[-1].x[7, 0], atol=0.01)


def unpacked(mini, root):
    """Lay out the miniature as Avalanche wants it, with the four pickles that it opens."""
    for archive in (mini.cache / "core50" / "raw").glob("*.zip"):
        with zipfile.ZipFile(archive) as file:
            file.extractall(root)
    batches = [mini.lists[f"{FOLDERS['NI']}/run0/{name}_filelist.txt"].split()
               for name in (*(f"train_batch_{b:02d}" for b in range(8)), "test")]  # fmt: skip
    paths = [name for batch in batches for name in batch[::2]]
    kinds = ("plug_adapter", "mobile_phone", "scissor", "light_bulb", "can", "glass", "ball",
             "marker", "cup", "remote_control")  # fmt: skip
    names = {}
    for run in range(10):
        listed = mini.lists[f"{FOLDERS['NC']}/run{run}/test_filelist.txt"].split()
        objects = {
            int(y): int(name.split("/")[1][1:]) - 1
            for name, y in zip(listed[::2], listed[1::2], strict=True)
        }
        names[run] = {y: f"{kinds[item // 5]}{item % 5 + 1}" for y, item in objects.items()}
    pickles = {
        "paths": paths,
        "labels": {"ni": [[[int(y) for y in batch[1::2]] for batch in batches]]},
        "LUP": {"ni": [[[paths.index(name) for name in batch[::2]] for batch in batches]]},
        "labels2names": {"nc": names},
    }
    for name, content in pickles.items():
        (root / f"{name}.pkl").write_bytes(pickle.dumps(content))
    return root


def test_without_the_files_the_message_says_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROTASKS_DATA", str(tmp_path))
    for name, source in (("NI", "core50"), ("NICv2Of391128", "core50_128")):
        with pytest.raises(MissingData, match=f"neurotasks data fetch {source}"):
            load(f"ContinualCORe50{name}-v0").test(0)
