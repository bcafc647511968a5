"""A miniature of CORe50 in the official layout: zip files of frames and of file lists.

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
from pathlib import Path

import numpy as np
import pytest

from neurotasks.sources import core50, core50_128

SESSIONS, OBJECTS = range(1, 12), range(1, 51)
TRAINED_IN = [1, 2, 4, 5, 6, 8, 9, 11]
FIRST_TEN = [1 + 5 * category for category in range(10)]
FIVES = [[first + 25 * half for first in range(k, k + 25, 5)] for k in (2, 3, 4, 5)
         for half in (0, 1)]  # fmt: skip
FOLDERS = {
    "NI": "batches_filelists/NI_inc",
    "NC": "batches_filelists/NC_inc",
    "NIC": "batches_filelists/NIC_inc",
    "NICv2_79": "NIC_v2_79",
    "NICv2_196": "NIC_v2_196",
    "NICv2_391": "NIC_v2_391",
}
SIZES = {32: core50, 128: core50_128}


def drawn(session, item, frame, side):
    """Return a synthetic frame (side, side, 3)."""
    pattern = np.random.Generator(np.random.Philox(key=item)).integers(0, 200, (8, 8, 3))
    noise = np.random.Generator(np.random.Philox(key=[session, 100 * item + frame]))
    small = np.kron(pattern, np.ones((4, 4, 1))) + noise.integers(0, 55, (32, 32, 3))
    return np.kron(small, np.ones((side // 32, side // 32, 1))).astype(np.uint8)


class RealFrames:
    """Frames of the real ones, with stand-ins for what is missing."""

    def __init__(self, path):
        Image = pytest.importorskip("PIL.Image")
        with np.load(path) as file:
            self.session, self.item = file["session"], file["object"]
            self.images = {
                side: [
                    np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BOX))
                    for image in file["images"]
                ]
                for side in SIZES
            }

    def __call__(self, session, item, frame, side):
        same = np.flatnonzero(self.item == item)
        if len(same) == 0:
            same = np.flatnonzero((self.item - 1) // 5 == (item - 1) // 5)
        exact = same[(self.session[same] == session) & (self.item[same] == item)]
        if len(exact) and frame == 0:
            return self.images[side][exact[0]]
        image = self.images[side][same[session % len(same)]].astype(np.int64)
        image = image[:, ::-1] if frame else image
        brighter = (image + 3 * session + 2 * (item % 5) + 1).clip(0, 255).astype(np.uint8)
        brighter[0, 0] = (session, item, frame)  # one pixel, so that no two frames are equal
        return brighter

    def genuine(self, trials):
        """Say which trials show a real frame rather than a stand-in."""
        real = set(zip(self.session.tolist(), self.item.tolist(), strict=True))
        shown = zip(trials["session"].tolist(), trials["object"].tolist(), strict=True)
        return np.array([video in real for video in shown]) & (trials["frame"] == 0)


def names():
    """Return the path of each frame by video: one or two of each."""
    return {
        (session, item): [
            f"s{session}/o{item}/C_{session:02d}_{item:02d}_{frame:03d}.png"
            for frame in range(1 + (7 * session + 3 * item) % 5 % 2)
        ]
        for session in SESSIONS
        for item in OBJECTS
    }


def batches_of(scenario, run):
    """Return the batches of a run as videos (session, object), and the objects in label order."""
    order = np.random.Generator(np.random.Philox(key=run))
    if scenario == "NI":
        sessions = order.permutation(TRAINED_IN).tolist()
        return [[(s, o) for o in OBJECTS] for s in sessions], OBJECTS
    if scenario == "NC":
        groups = [FIRST_TEN, *(FIVES[k] for k in order.permutation(8))]
        return [[(s, o) for s in TRAINED_IN for o in group] for group in groups], [
            o for group in groups for o in group
        ]
    first = [(1, o) for o in FIRST_TEN]
    if scenario == "NIC":
        units = [[(s, o) for o in five] for s in TRAINED_IN for five in FIVES]
        units += [[(s, o) for o in FIRST_TEN[k : k + 5]] for s in TRAINED_IN[1:] for k in (0, 5)]
        return [first, *(units[k] for k in order.permutation(78))], OBJECTS
    size = {"NICv2_79": 5, "NICv2_196": 2, "NICv2_391": 1}[scenario]
    videos = [(s, o) for s in TRAINED_IN for o in OBJECTS if (s, o) not in first]
    mixed = [videos[k] for k in order.permutation(len(videos))]
    return [first, *(mixed[k : k + size] for k in range(0, len(mixed), size))], OBJECTS


def lists_of(scenario):
    """Return the official file lists of a scenario by path."""
    shown, lists = names(), {}
    for run in range(10):
        batches, order = batches_of(scenario, run)
        label = {item: number for number, item in enumerate(order)}
        folder = f"{FOLDERS[scenario]}/run{run}"
        test = [(s, o) for s in (3, 7, 10) for o in order]
        for number, videos in enumerate([*batches, test]):
            name = "test" if number == len(batches) else f"train_batch_{number:02d}"
            lines = (f"{path} {label[o]}\n" for s, o in videos for path in shown[s, o])
            lists[f"{folder}/{name}_filelist.txt"] = "".join(lines)
    return lists


@dataclass(frozen=True)
class Miniature:
    """Frames (side, side, 3) by side and path, and file lists by path.

    Attributes:
        real: Where the frames come from if they are real; None where they are drawn.
        cache: The folder of the recorded data that holds the miniature.
    """

    frames: dict
    lists: dict
    real: RealFrames | None = None
    cache: Path | None = None

    def write(self, raw, side=32, prefix=None):
        """Write the zip files, and the droppings of other tools that lie between."""
        pytest.importorskip("PIL")
        raw.mkdir(parents=True, exist_ok=True)
        folder = f"core50_{side}x{side}"
        with zipfile.ZipFile(raw / f"{folder}.zip", "w") as archive:
            for name, image in self.frames[side].items():
                archive.writestr(
                    f"{folder if prefix is None else prefix}/{name}".lstrip("/"), png(image)
                )
            archive.writestr(f"__MACOSX/{folder}/s1/o1/._C_01_01_000.png", b"not an image")
        for file, scenarios in core50.LISTS.items():
            folders = tuple(f"{FOLDERS[scenario]}/" for scenario in scenarios)
            with zipfile.ZipFile(raw / file, "w") as archive:
                for name, text in self.lists.items():
                    if name.startswith(folders):
                        archive.writestr(name, text)
                archive.writestr(
                    f"{Path(file).stem}/NI_cum/run0/train_batch_00_filelist.txt", "- 0"
                )


def png(image):
    from PIL import Image  # noqa: PLC0415 - an extra

    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=0)
    return file.getvalue()


def written(cache, real=None):
    """Write a miniature of both sizes into a cache."""
    draw = real or drawn
    frames = {
        side: {name: draw(*video, frame, side) for video, paths in names().items()
               for frame, name in enumerate(paths)}
        for side in SIZES
    }  # fmt: skip
    lists = {name: text for scenario in FOLDERS for name, text in lists_of(scenario).items()}
    miniature = Miniature(frames, lists, real, cache)
    for side, module in SIZES.items():
        miniature.write(cache / module.SOURCE.name / "raw", side)
    return miniature


@pytest.fixture(scope="session")
def miniatures(tmp_path_factory):
    """Return a function from "drawn" or "real" to the miniature, which is written once."""
    known = {}

    def get(kind, real_data):
        if kind not in known:
            path = None if kind == "drawn" else real_data / "core50" / "core50_90_labelled_128.npz"
            known[kind] = written(tmp_path_factory.mktemp("cache"), path and RealFrames(path))
        return known[kind]

    return get


class NoSocket(socket.socket):
    """What a program without a network has."""

    def __init__(self, *_, **__):
        raise OSError("this test has no network")


@pytest.fixture(scope="module", params=["drawn", "real"])
def mini(request, miniatures):
    """Show a miniature as the recorded data, and cut off the network."""
    kind = request.param
    miniature = miniatures(kind, None if kind == "drawn" else request.getfixturevalue("real_data"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEUROTASKS_DATA", str(miniature.cache))
        for module in SIZES.values():
            raw = miniature.cache / module.SOURCE.name / "raw"
            files = tuple(
                replace(file, hash=f"md5:{hashlib.md5((raw / file.name).read_bytes()).hexdigest()}")  # noqa: S324 - as upstream's
                for file in module.SOURCE.files
            )
            patch.setattr(module, "SOURCE", replace(module.SOURCE, files=files))
        patch.setattr(socket, "socket", NoSocket)
        yield miniature
