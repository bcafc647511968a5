"""CORe50's files, read and refused, on a miniature that `conftest.py` describes and writes."""

from __future__ import annotations

import re
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from neurotasks import sources
from neurotasks.errors import CorruptData, MissingExtra
from neurotasks.sources import core50, core50_128
from neurotasks.sources._arrays import mapped, write

pytest.importorskip("PIL")

OFFICIAL = {  # before a miniature stands in
    file.name: file.hash for module in (core50, core50_128) for file in module.SOURCE.files
}
on_drawn_frames = pytest.mark.parametrize("mini", ["drawn"], indirect=True)


def test_the_published_checksums_stand():
    assert OFFICIAL == {
        "core50_32x32.zip": "md5:d89d34cdc0281fa84074430e9a22b728",
        "core50_128x128.zip": "md5:745f3373fed08d69343f1058ee559e13",
        "batches_filelists.zip": "md5:e3297508a8998ba0c99a83d6b36bde62",
        "batches_filelists_NICv2.zip": "md5:460f980a6c85b86b1ec8e7c6067bb7a3",
    }


@pytest.mark.parametrize(("name", "side"), [("core50", 32), ("core50_128", 128)])
def test_frames_are_mapped_from_disk_and_not_loaded(mini, name, side):
    arrays = sources.get(name).load()
    images = arrays["images"]
    assert isinstance(images, np.memmap)
    assert images.mode == "r"
    assert images.shape == (len(mini.frames[side]), 3, side, side)
    tracemalloc.start()
    try:
        taken = images[[3, 700, 5]]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * taken.nbytes + 100_000


@on_drawn_frames
def test_preparing_decodes_a_few_frames_at_a_time(mini, tmp_path):
    """Of a set of 128 x 128 pixels a small part is in memory, however large it is."""
    raw = mini.cache / "core50_128" / "raw"
    arrays = core50_128.SOURCE.prepare(raw)
    size = int(np.prod(arrays["images"].shape))
    tracemalloc.start()
    try:
        write(arrays, tmp_path / "prepared")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 36e6
    assert peak < size / 10
    images = mapped(tmp_path / "prepared")["images"]
    assert np.array_equal(images, sources.get("core50_128").load()["images"])


@on_drawn_frames
@pytest.mark.parametrize("prefix", ["", "somewhere/core50_32x32"])
def test_the_folder_in_the_archive_does_not_matter(mini, tmp_path, prefix):
    mini.write(tmp_path / "raw", prefix=prefix)
    arrays = core50.SOURCE.prepare(tmp_path / "raw")
    assert len(arrays["frame"]) == len(mini.frames[32])


@on_drawn_frames
def test_numbers_of_batches_have_two_digits_or_three(mini, tmp_path):
    short = re.compile(r"(NIC_v2_391/.*train_batch_)(\d\d)_")
    lists = {short.sub(r"\g<1>0\2_", name): text for name, text in mini.lists.items()}
    assert "NIC_v2_391/run0/train_batch_007_filelist.txt" in lists
    assert "NIC_v2_391/run0/train_batch_390_filelist.txt" in lists
    replace(mini, lists=lists).write(tmp_path)
    arrays, plain = core50.SOURCE.prepare(tmp_path), sources.get("core50").load()
    assert np.array_equal(arrays["NICv2_391_rows"], plain["NICv2_391_rows"])


def broken(tmp_path, mini, change):
    """Prepare a changed miniature."""
    changed = replace(mini, frames={32: dict(mini.frames[32])}, lists=dict(mini.lists))
    change(changed.frames[32], changed.lists)
    changed.write(tmp_path)
    arrays = core50.SOURCE.prepare(tmp_path)
    return sum(len(block) for block in arrays["images"].blocks)


LIST = "batches_filelists/NI_inc/run4/train_batch_02_filelist.txt"


def slip(_, lists):
    names, labels = zip(*(line.split() for line in lists[LIST].splitlines()), strict=True)
    moved = (labels[-1], *labels[:-1])
    lists[LIST] = "".join(f"{n} {y}\n" for n, y in zip(names, moved, strict=True))


def move(frames, _):
    frames["s2/o9/C_02_08_000.png"] = frames["s2/o9/C_02_09_000.png"]


def grow(frames, _):
    frames["s2/o9/C_02_09_000.png"] = np.zeros((128, 128, 3), np.uint8)


def leak(_, lists):
    lists[LIST] += "s3/o1/C_03_01_000.png 0\n"


def stray(_, lists):
    lists["NIC_v2_79/run1/test_filelist.txt"] += "s2/o1/C_02_01_000.png 0\n"


@on_drawn_frames
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (slip, r"run 4 of scenario NI.*do not belong together"),
        (lambda frames, _: frames.pop("s2/o9/C_02_09_000.png"), r"lists 's2/o9/C_02_09_000\.png'"),
        (lambda _, lists: lists.pop(LIST), "lacks list 2 of run 4 of scenario NI"),
        (
            lambda _, lists: lists.pop("NIC_v2_391/run9/train_batch_390_filelist.txt"),
            r"batches_filelists_NICv2.zip lacks list 390 of run 9 of scenario NICv2_391",
        ),
        (move, "lies in the folder of another"),
        (grow, r"C_02_09_000.png has \(128, 128\) pixels"),
        (leak, "run 4 of scenario NI teaches frames of the test sessions"),
        (stray, "run 1 of scenario NICv2_79 tests on frames of sessions other than"),
    ],
    ids=["slip", "frame", "list", "v2", "folder", "size", "leak", "stray"],
)
def test_what_contradicts_is_named(mini, tmp_path, change, message):
    with pytest.raises(CorruptData, match=message):
        broken(tmp_path, mini, change)


@on_drawn_frames
def test_a_frame_that_is_no_image_is_named(mini, tmp_path, monkeypatch):
    monkeypatch.setitem(type(mini).write.__globals__, "png", lambda _: b"no image")
    with pytest.raises(CorruptData, match=r"s1/o1/C_01_01_000.png is no image"):
        broken(tmp_path, mini, lambda *_: None)


@on_drawn_frames
def test_without_pillow_the_extra_is_named(mini, tmp_path, monkeypatch):
    mini.write(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtra, match=r"pip install 'neurotasks\[images\]'"):
        core50.SOURCE.prepare(tmp_path)
