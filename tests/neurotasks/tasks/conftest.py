"""A miniature of CORe50 in the official layout: two zip files, of frames and of file lists.

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
import zipfile
from dataclasses import dataclass, replace

import numpy as np
import pytest

from neurotasks.sources import core50

SESSIONS, OBJECTS = range(1, 12), range(1, 51)
TRAINED_IN = [1, 2, 4, 5, 6, 8, 9, 11]
FIRST_TEN = [1 + 5 * category for category in range(10)]
SCENARIOS = {"NI": 8, "NC": 9, "NIC": 79}


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
        Image = pytest.importorskip("PIL.Image")
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


@dataclass(frozen=True)
class Miniature:
    """Frames (32, 32, 3) and file lists, by path."""

    frames: dict
    lists: dict

    def write(self, raw):
        """Write the two zip files, and the droppings of other tools that lie between."""
        pytest.importorskip("PIL")
        raw.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(raw / "core50_32x32.zip", "w") as archive:
            for name, image in self.frames.items():
                archive.writestr(f"core50_32x32/{name}", png(image))
            archive.writestr("__MACOSX/core50_32x32/s1/o1/._C_01_01_000.png", b"not an image")
        with zipfile.ZipFile(raw / "batches_filelists.zip", "w") as archive:
            for name, text in self.lists.items():
                archive.writestr(name, text)
            archive.writestr("batches_filelists/NI_cum/run0/train_batch_00_filelist.txt", "else 0")


def png(image):
    from PIL import Image  # noqa: PLC0415 - an extra

    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module", params=["drawn", "real"])
def mini(request, tmp_path_factory):
    """Put a miniature into an empty cache, and cut off the network."""
    draw = drawn
    if request.param == "real":
        folder = request.getfixturevalue("real_data") / "core50"
        draw = RealFrames(folder / "core50_90_labelled_128.npz")
    frames = frames_of(draw)
    miniature = Miniature(frames, lists_of(frames))
    cache = tmp_path_factory.mktemp("cache")
    raw = cache / "core50" / "raw"
    miniature.write(raw)
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in raw.iterdir()}
    files = tuple(replace(file, hash=f"sha256:{hashes[file.name]}") for file in core50.SOURCE.files)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEUROTASKS_DATA", str(cache))
        patch.setattr(core50, "SOURCE", replace(core50.SOURCE, files=files))
        patch.setattr(socket, "socket", None)
        yield miniature
