from __future__ import annotations

import io
import os
import zipfile

import pytest

from neurotasks.errors import CorruptSubmission
from neurotasks.submission.archive import directory_fault, pack, unpack


@pytest.fixture
def archive(packed, tmp_path):
    path = tmp_path / "upload.zip"
    with path.open("wb") as file:
        pack(packed, file)
    return path


def test_an_archive_holds_the_folder(archive, packed, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    unpack(archive, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        path.name: path.read_bytes() for path in packed.iterdir()
    }


def test_equal_folders_are_equal_archives(archive, packed):
    for path in packed.iterdir():
        os.utime(path, (0, 0))
    buffer = io.BytesIO()
    pack(packed, buffer)
    assert buffer.getvalue() == archive.read_bytes()


def test_every_cut_is_refused(archive, tmp_path):
    content = archive.read_bytes()
    for length in (0, 1, 21, 22, 50, len(content) // 2, len(content) - 1):
        archive.write_bytes(content[:length])
        with pytest.raises(CorruptSubmission, match="write it with `neurotasks submit`"):
            unpack(archive, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"packed", "upload.zip"}


def test_the_size_is_bounded_before_anything_is_written(archive, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(CorruptSubmission, match="has more than 100 bytes"):
        unpack(archive, out, largest=100)
    assert list(out.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_not_the_archives_fault(archive, tmp_path):
    with pytest.raises(FileNotFoundError):
        unpack(archive, tmp_path / "nowhere")


def test_a_directory_is_bounded_before_it_is_read():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(12):
            archive.writestr(str(number), b"")
    assert directory_fault(buffer, 12) == ""
    assert "12 members" in directory_fault(buffer, 11)
