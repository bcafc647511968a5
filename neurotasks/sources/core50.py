"""CORe50: fifty objects turned by hand before a camera in eleven places, and the official streams.

Of the official files two are needed: the frames at 32 x 32 pixels, and the file lists. A list names
frames and their labels, "s1/o1/C_01_01_000.png 0", session by session in training and always the
sessions 3, 7 and 10 for testing; there is one list for each training batch of ten runs of each
scenario. The labels come from the lists and nowhere else: the published pickles order them
otherwise than the frames, and are never opened.

Prepared arrays, with N frames:

    images                    (N, 3, 32, 32) uint8
    session, object, frame    (N,) as in the file names: 1..11, 1..50, 0..299
    <scenario>_rows           rows of the frames of all lists: run by run, batch by batch, test last
    <scenario>_ends           (10, batches + 1), where each list ends
    <scenario>_labels         (10, 50), the label of each object in each run: NC counts the objects
                              in the order in which they are taught
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotasks.errors import CorruptData, MissingExtra
from neurotasks.sources._source import File, Source

__all__ = ["BATCHES", "OBJECTS", "RUNS", "SIDE", "SOURCE", "TEST_SESSIONS", "prepare", "rows"]

BATCHES: Mapping[str, int] = {"NI": 8, "NC": 9, "NIC": 79}
"""The scenarios (new instances, new classes, both) and how many training batches each has."""

OBJECTS, RUNS, SIDE = 50, 10, 32
TEST_SESSIONS = (3, 7, 10)

_FRAME = re.compile(r"(?:.*/)?(s(\d+)/o(\d+)/C_(\d\d)_(\d\d)_(\d{3})\.png)")
_LIST = re.compile(r"(?:.*/)?(NI|NC|NIC)_inc/run(\d)/(?:train_batch_(\d\d)|test)_filelist\.txt")


def prepare(raw: Path) -> dict[str, NDArray[Any]]:
    """Return the prepared arrays of the two official zip files.

    Raises:
        CorruptData: A frame or a list is missing or contradicts the others.
        MissingExtra: Pillow is not installed.
    """
    arrays, rows_of = _frames(raw / "core50_32x32.zip")
    with zipfile.ZipFile(raw / "batches_filelists.zip") as archive:
        lists = {}
        for member in archive.namelist():
            if match := _LIST.fullmatch(member):
                scenario, run, batch = match.groups()
                position = BATCHES[scenario] if batch is None else int(batch)
                lists[scenario, int(run), position] = member
        for scenario in BATCHES:
            parts = list(_lists(archive, lists, scenario, rows_of))
            arrays |= _pack(scenario, parts, arrays)
    return arrays


def _frames(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, int]]:
    """Decode all frames; return the arrays, and the row of each path of a file list."""
    try:
        from PIL import Image  # noqa: PLC0415 - an extra that preparing alone needs
    except ModuleNotFoundError as error:
        raise MissingExtra("Pillow", "images") from error
    with zipfile.ZipFile(path) as archive:
        found = sorted(
            (tuple(map(int, match.groups()[1:])), match.group(1), member)
            for member in archive.namelist()
            if (match := _FRAME.fullmatch(member))
        )
        images = np.empty((len(found), 3, SIDE, SIDE), dtype=np.uint8)
        for row, (_, name, member) in enumerate(found):
            with Image.open(io.BytesIO(archive.read(member))) as image:
                if image.size != (SIDE, SIDE):
                    raise CorruptData(
                        f"{path}: {name} has {image.size} pixels, not {SIDE} x {SIDE}"
                    )
                images[row] = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    for numbers, name, _ in found:
        if numbers[:2] != numbers[2:4]:
            raise CorruptData(f"{path}: {name} lies in the folder of another session or object")
    table = np.array([numbers for numbers, _, _ in found], dtype=np.uint16).reshape(-1, 5)
    columns = {"session": table[:, 0], "object": table[:, 1], "frame": table[:, 4]}
    return {"images": images, **columns}, {name: row for row, (_, name, _) in enumerate(found)}


def _lists(
    archive: zipfile.ZipFile,
    members: Mapping[tuple[str, int, int], str],
    scenario: str,
    rows_of: Mapping[str, int],
) -> Iterator[NDArray[np.int32]]:
    """Yield the lists of a scenario, run by run, as (frames, 2): row and label."""
    for run in range(RUNS):
        for position in range(BATCHES[scenario] + 1):
            member = members.get((scenario, run, position))
            if member is None:
                raise CorruptData(
                    f"{archive.filename} lacks list {position} of run {run} of scenario {scenario}"
                )
            lines = archive.read(member).decode("ascii").split()
            try:
                listed = [rows_of[name] for name in lines[::2]]
            except KeyError as error:
                raise CorruptData(
                    f"{member} lists {error}, and there is no such frame; the frames and the lists "
                    "must be of one release"
                ) from error
            yield np.array([listed, lines[1::2]], dtype=np.int32).T


def _pack(
    scenario: str, parts: list[NDArray[np.int32]], frames: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Return the arrays of a scenario, and refuse lists that contradict each other."""
    width = BATCHES[scenario] + 1
    labels = np.zeros((RUNS, OBJECTS), dtype=np.uint8)
    for run in range(RUNS):
        lists = parts[run * width : (run + 1) * width]
        taught, tested = np.concatenate(lists[:-1]), lists[-1]
        where = f"run {run} of scenario {scenario}"
        if np.isin(frames["session"][taught[:, 0]], TEST_SESSIONS).any():
            raise CorruptData(f"{where} teaches frames of the test sessions {TEST_SESSIONS}")
        if not np.isin(frames["session"][tested[:, 0]], TEST_SESSIONS).all():
            raise CorruptData(f"{where} tests on frames of sessions other than {TEST_SESSIONS}")
        labels[run] = _labels(np.concatenate(lists), frames["object"], where)
    return {
        f"{scenario}_rows": np.concatenate(parts)[:, 0],
        f"{scenario}_ends": np.cumsum([len(part) for part in parts]).reshape(RUNS, width),
        f"{scenario}_labels": labels,
    }


def _labels(
    listed: NDArray[np.int32], objects: NDArray[np.uint16], where: str
) -> NDArray[np.int64]:
    """Return the label of each object: each has one, and no two the same."""
    pairs = np.unique(np.stack((objects[listed[:, 0]], listed[:, 1]), axis=1), axis=0)
    if not np.array_equal(pairs[:, 0], np.arange(1, OBJECTS + 1)) or not np.array_equal(
        np.sort(pairs[:, 1]), np.arange(OBJECTS)
    ):
        raise CorruptData(
            f"{where} does not give each of {OBJECTS} objects one label of its own: "
            "its labels and its frames do not belong together"
        )
    return pairs[:, 1].astype(np.int64)


def rows(
    arrays: Mapping[str, NDArray[Any]], scenario: str, run: int, batch: int
) -> NDArray[np.int64]:
    """Return the rows of a list, in its order; batch -1 is the test list."""
    ends = arrays[f"{scenario}_ends"]
    position = run * ends.shape[1] + batch % ends.shape[1]
    start = ends.flat[position - 1] if position else 0
    return np.asarray(arrays[f"{scenario}_rows"][start : ends.flat[position]], dtype=np.int64)


SOURCE = Source(
    name="core50",
    title="CORe50, frames of 32 x 32 pixels",
    homepage="https://vlomonaco.github.io/core50",
    licence="CC BY 4.0",
    citation="Lomonaco, Maltoni (2017), CORe50: a new dataset and benchmark for continuous object "
    "recognition, Conference on Robot Learning, PMLR 78:17",
    files=(
        File(
            "core50_32x32.zip",
            "http://vps.continualai.org/data/core50_32x32.zip",
            None,
            "md5:d89d34cdc0281fa84074430e9a22b728",
        ),
        File(
            "batches_filelists.zip",
            "https://vlomonaco.github.io/core50/data/batches_filelists.zip",
            None,
            "md5:e3297508a8998ba0c99a83d6b36bde62",
        ),
    ),
    prepare=prepare,
)
