"""CORe50: fifty objects turned by hand before a camera in eleven places, and the official streams.

Of the official files three are needed: the frames, here at 32 x 32 pixels (`core50_128` has the
large ones), and two archives of file lists. A list names frames and their labels,
"s1/o1/C_01_01_000.png 0", session by session in training and always the sessions 3, 7 and 10 for
testing; there is one list for each training batch of ten runs of each scenario. The labels come
from the lists and nowhere else: the published pickles order them otherwise than the frames, and are
never opened.

Prepared arrays, with N frames in the order of session, object and number:

    images                    (N, 3, side, side) uint8
    session, object, frame    (N,) as in the file names: 1..11, 1..50, 0..299
    <scenario>_rows           rows of the frames of all lists: run by run, batch by batch, test last
    <scenario>_ends           (10, batches + 1), where each list ends
    <scenario>_labels         (10, 50), the label of each object in each run: NC counts the objects
                              in the order in which they are taught

All frames of 128 x 128 pixels are 8.1 GB: preparing decodes a few at a time, and what reads the
arrays reads the frames that it asks for.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotasks.errors import CorruptData, MissingExtra
from neurotasks.sources._arrays import Blocks, Prepared
from neurotasks.sources._source import File, Source
from neurotasks.videos import BATCHES, OBJECTS, TEST_SESSIONS, Frames

__all__ = ["LISTS", "RUNS", "SOURCE", "find", "prepare", "rows", "source"]

RUNS = 10
LISTS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "batches_filelists.zip": ("NI", "NC", "NIC"),
        "batches_filelists_NICv2.zip": ("NICv2_79", "NICv2_196", "NICv2_391"),
    }
)
"""The archives of file lists, and the scenarios of each."""

_MD5 = {
    "batches_filelists.zip": "e3297508a8998ba0c99a83d6b36bde62",
    "batches_filelists_NICv2.zip": "460f980a6c85b86b1ec8e7c6067bb7a3",
}
_FRAME = re.compile(r"(?:.*/)?(s(\d+)/o(\d+)/C_(\d\d)_(\d\d)_(\d{3})\.png)")
_LIST = re.compile(
    r"(?:.*/)?(?:(NI|NC|NIC)_inc|NIC_(v2_79|v2_196|v2_391))"
    r"/run(\d)/(?:train_batch_(\d{2,3})|test)_filelist\.txt"
)
_BLOCK = 16  # frames that are decoded at a time
_LONGEST = 1000  # more than the frames of any video


def prepare(raw: Path, frames: str, side: int) -> dict[str, Prepared]:
    """Return the prepared arrays.

    Args:
        raw: The folder of the official archives.
        frames: The name of the archive of the frames.
        side: Their height and width in pixels.

    Raises:
        CorruptData: A frame or a list is missing or contradicts the others; of a frame's pixels, as
            soon as its block is asked for.
        MissingExtra: Pillow is not installed.
    """
    members = _members(raw / frames)
    table = np.array([numbers for numbers, _, _ in members], dtype=np.uint16).reshape(-1, 3)
    columns = dict(zip(("session", "object", "frame"), table.T, strict=True))
    rows_of = {name: row for row, (_, name, _) in enumerate(members)}
    packed: dict[str, NDArray[Any]] = {}
    for file, scenarios in LISTS.items():
        with zipfile.ZipFile(raw / file) as archive:
            lists = _found(archive)
            for scenario in scenarios:
                parts = list(_lists(archive, lists, scenario, rows_of))
                packed |= _pack(scenario, parts, columns)
    decoded = _decoded(raw / frames, [member for _, _, member in members], side)
    shape = (len(members), 3, side, side)
    return {**columns, **packed, "images": Blocks(shape, np.dtype(np.uint8), decoded)}


def _members(path: Path) -> list[tuple[tuple[int, ...], str, str]]:
    """Return the frames of an archive in order: numbers, path in a list, path in the archive."""
    with zipfile.ZipFile(path) as archive:
        matches = [match for name in archive.namelist() if (match := _FRAME.fullmatch(name))]
    found = []
    for match in matches:
        name, *digits = match.groups()
        session, item, *numbers = map(int, digits)
        if [session, item] != numbers[:2]:
            raise CorruptData(f"{path}: {name} lies in the folder of another session or object")
        found.append((tuple(numbers), name, match.string))
    return sorted(found)


def _decoded(path: Path, members: Sequence[str], side: int) -> Iterator[NDArray[np.uint8]]:
    """Return blocks of decoded frames, (some, 3, side, side)."""
    try:
        from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - preparing alone needs it
    except ModuleNotFoundError as error:
        raise MissingExtra("Pillow", "images") from error

    def decode(content: bytes, member: str) -> NDArray[np.uint8]:
        try:
            with Image.open(io.BytesIO(content)) as image:
                if image.size != (side, side):
                    raise CorruptData(
                        f"{path}: {member} has {image.size} pixels, not {side} x {side}"
                    )
                return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
        except UnidentifiedImageError as error:
            raise CorruptData(f"{path}: {member} is no image") from error

    def blocks() -> Iterator[NDArray[np.uint8]]:
        with zipfile.ZipFile(path) as archive:
            for start in range(0, len(members), _BLOCK):
                part = members[start : start + _BLOCK]
                yield np.stack([decode(archive.read(member), member) for member in part])

    return blocks()


def _found(archive: zipfile.ZipFile) -> dict[tuple[str, int, int], str]:
    """Return the lists of an archive by scenario, run and position; the test list is the last."""
    lists = {}
    for member in archive.namelist():
        if match := _LIST.fullmatch(member):
            first, second, run, batch = match.groups()
            scenario = first or f"NIC{second}"
            position = BATCHES[scenario] if batch is None else int(batch)
            lists[scenario, int(run), position] = member
    return lists


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


def find(arrays: Mapping[str, NDArray[Any]], frames: Frames) -> NDArray[np.int64]:
    """Return the rows of frames by their numbers."""
    known = _number(*(arrays[name].astype(np.int64) for name in ("object", "session", "frame")))
    return np.searchsorted(known, _number(*frames))


def _number(
    item: NDArray[np.int64], session: NDArray[np.int64], frame: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return one number for each frame, which grows from row to row."""
    return (session * (OBJECTS + 1) + item) * _LONGEST + frame


def source(name: str, side: int, url: str, md5: str) -> Source:
    """Return the source of the frames of one size."""
    frames = url.rpartition("/")[2]
    lists = "https://vlomonaco.github.io/core50/data/"
    return Source(
        name=name,
        title=f"CORe50, frames of {side} x {side} pixels",
        homepage="https://vlomonaco.github.io/core50",
        licence="CC BY 4.0",
        citation="Lomonaco, Maltoni (2017), CORe50: a new dataset and benchmark for continuous "
        "object recognition, Conference on Robot Learning, PMLR 78:17",
        files=(
            File(frames, url, None, f"md5:{md5}"),
            *(File(file, lists + file, None, f"md5:{_MD5[file]}") for file in LISTS),
        ),
        prepare=partial(prepare, frames=frames, side=side),
    )


SOURCE = source(
    "core50",
    32,
    "http://vps.continualai.org/data/core50_32x32.zip",
    "d89d34cdc0281fa84074430e9a22b728",
)
