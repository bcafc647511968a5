"""CORe50 on a miniature in the official layout: two zip files, of frames and of file lists.

Where the ninety real labelled frames are at hand, the miniature is made of them. They cover nine of
eleven sessions and 44 of 50 objects, one frame a video, so what is missing is stood in for: by
another frame of the same object or else of the same category, mirrored and brightened so that no
two frames are equal. Without them, each frame is drawn: a pattern for the object, noise for the
rest. Videos have one or two frames, so that labels that slip by one row are found out.
"""

from __future__ import annotations

import hashlib
import io
import socket
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from neurotasks import load
from neurotasks.agent import Budget, silent
from neurotasks.errors import CorruptData, MissingData, MissingExtra
from neurotasks.evaluate import evaluate, evaluate_stream
from neurotasks.sources import core50

Image = pytest.importorskip("PIL.Image")

SESSIONS, OBJECTS = range(1, 12), range(1, 51)
TRAINED_IN = [1, 2, 4, 5, 6, 8, 9, 11]
FIRST_TEN = [1 + 5 * category for category in range(10)]
SCENARIOS = {"NI": 8, "NC": 9, "NIC": 79}
OFFICIAL = {file.name: file.hash for file in core50.SOURCE.files}  # before a miniature stands in

on_drawn_frames = pytest.mark.parametrize("mini", ["drawn"], indirect=True)


def drawn(session, item, frame):
    """Return a synthetic frame (32, 32, 3)."""
    pattern = np.random.Generator(np.random.Philox(key=item)).integers(0, 200, (8, 8, 3))
    noise = np.random.Generator(np.random.Philox(key=[session, 100 * item + frame]))
    return (np.kron(pattern, np.ones((4, 4, 1))) + noise.integers(0, 55, (32, 32, 3))).astype(
        np.uint8
    )


class RealFrames:
    """Frames of the real ones, with stand-ins for what is missing."""

    def __init__(self, path):
        with np.load(path) as file:
            self.session, self.item = file["session"], file["object"]
            self.images = [
                np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BOX))
                for image in file["images"]
            ]

    def __call__(self, session, item, frame):
        same = np.flatnonzero(self.item == item)
        if len(same) == 0:
            same = np.flatnonzero((self.item - 1) // 5 == (item - 1) // 5)
        exact = same[(self.session[same] == session) & (self.item[same] == item)]
        if len(exact) and frame == 0:
            return self.images[exact[0]]
        image = self.images[same[session % len(same)]].astype(np.int64)
        image = image[:, ::-1] if frame else image
        brighter = (image + 3 * session + 2 * (item % 5) + 1).clip(0, 255).astype(np.uint8)
        brighter[0, 0] = (session, item, frame)  # one pixel, so that no two frames are equal
        return brighter


def frames_of(draw):
    """Return all frames by path: one or two of each video."""
    frames = {}
    for session in SESSIONS:
        for item in OBJECTS:
            for frame in range(1 + (7 * session + 3 * item) % 5 % 2):
                name = f"s{session}/o{item}/C_{session:02d}_{item:02d}_{frame:03d}.png"
                frames[name] = draw(session, item, frame)
    return frames


def batches_of(scenario, run):
    """Return the batches of a run as (sessions, objects), and the objects in label order."""
    order = np.random.Generator(np.random.Philox(key=run))
    fives = [[first + 25 * half for first in range(k, k + 25, 5)] for k in (2, 3, 4, 5)
             for half in (0, 1)]  # fmt: skip
    if scenario == "NI":
        return [([s], list(OBJECTS)) for s in order.permutation(TRAINED_IN).tolist()], OBJECTS
    if scenario == "NC":
        groups = [FIRST_TEN, *(fives[k] for k in order.permutation(8))]
        return [(TRAINED_IN, group) for group in groups], [o for group in groups for o in group]
    units = [([s], five) for s in TRAINED_IN for five in fives]
    units += [([s], FIRST_TEN[k : k + 5]) for s in TRAINED_IN[1:] for k in (0, 5)]
    return [([1], FIRST_TEN), *(units[k] for k in order.permutation(78))], OBJECTS


def lists_of(frames):
    """Return the official file lists by path."""
    video = {}
    for name in frames:
        session, item = (int(part[1:]) for part in name.split("/")[:2])
        video.setdefault((session, item), []).append(name)
    lists = {}
    for scenario in SCENARIOS:
        for run in range(10):
            batches, order = batches_of(scenario, run)
            label = {item: number for number, item in enumerate(order)}
            folder = f"batches_filelists/{scenario}_inc/run{run}"
            for number, (sessions, items) in enumerate([*batches, ([3, 7, 10], list(OBJECTS))]):
                name = "test" if number == len(batches) else f"train_batch_{number:02d}"
                lines = (f"{path} {label[o]}\n" for s in sessions for o in items
                         for path in video[s, o])  # fmt: skip
                lists[f"{folder}/{name}_filelist.txt"] = "".join(lines)
    return lists


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def write(raw, frames, lists):
    """Write the two zip files; other tools' droppings lie between the frames, as they often do."""
    raw.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(raw / "core50_32x32.zip", "w") as archive:
        for name, image in frames.items():
            archive.writestr(f"core50_32x32/{name}", png(image))
        archive.writestr("__MACOSX/core50_32x32/s1/o1/._C_01_01_000.png", b"not an image")
    with zipfile.ZipFile(raw / "batches_filelists.zip", "w") as archive:
        for name, text in lists.items():
            archive.writestr(name, text)
        archive.writestr("batches_filelists/NI_cum/run0/train_batch_00_filelist.txt", "else 0\n")


@pytest.fixture(scope="module", params=["drawn", "real"])
def mini(request, tmp_path_factory):
    """Put a miniature into an empty cache; return its frames and lists."""
    draw = drawn
    if request.param == "real":
        folder = request.getfixturevalue("real_data") / "core50"
        draw = RealFrames(folder / "core50_90_labelled_128.npz")
    frames = frames_of(draw)
    lists = lists_of(frames)
    cache = tmp_path_factory.mktemp("cache")
    raw = cache / "core50" / "raw"
    write(raw, frames, lists)
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in raw.iterdir()}
    files = tuple(replace(file, hash=f"sha256:{hashes[file.name]}") for file in core50.SOURCE.files)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEUROTASKS_DATA", str(cache))
        patch.setattr(core50, "SOURCE", replace(core50.SOURCE, files=files))
        patch.setattr(socket, "socket", None)  # nobody may ask the network
        yield frames, lists


def path_of(trials, index):
    session, item, frame = (int(trials[name][index]) for name in ("session", "object", "frame"))
    return f"s{session}/o{item}/C_{session:02d}_{item:02d}_{frame:03d}.png"


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("run", [0, 3])
def test_every_pixel_and_every_label_is_that_of_the_list(mini, scenario, run):
    """The pixels say which frame it is, and the list says its label: nothing may slip."""
    frames, lists = mini
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


@pytest.mark.parametrize(("scenario", "experiences"), SCENARIOS.items())
def test_every_training_frame_comes_once(mini, scenario, experiences):
    task = load(f"ContinualCORe50{scenario}-v0")
    assert task.experiences == experiences
    batches = [task.experience(index, 1) for index in range(experiences)]
    shown = [path_of(b.trials, i) for b in batches for i in range(len(b))]
    held_out = [f"s{session}/" for session in (3, 7, 10)]
    expected = [name for name in mini[0] if not name.startswith(tuple(held_out))]
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
    _, result = evaluate_stream(
        task, NearestMean(), seeds=[3], budget=Budget("smoke", 1000), log=silent
    )
    assert np.array(result.extra["matrix"]).shape == (1, *shape)
    assert min(result.raw) > 0.15  # chance is 0.02
    assert ("backward transfer" in result.extra) == (scenario == "NC")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_trivial_answer_earns_about_chance(mini, scenario):
    task = load(f"ContinualCORe50{scenario}-v0")
    learner = type("Trivial", (), {"learn": lambda *_, **__: [task.trivial()]})()
    _, result = evaluate_stream(task, learner, seeds=[0], budget=Budget("smoke", 100), log=silent)
    assert abs(result.raw[0] - task.card.stages["test"].chance) < 0.02  # videos of 1 or 2 frames
    assert evaluate(task, [task.trivial()], seeds=[0])["test"].raw[0] < 0.05


def broken(tmp_path, mini, change):
    """Prepare a changed miniature."""
    frames, lists = dict(mini[0]), dict(mini[1])
    change(frames, lists)
    write(tmp_path, frames, lists)
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
    monkeypatch.setitem(sys.modules, "PIL", None)
    write(tmp_path, {}, {})
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
