"""A submission on its way: one zip file whose members are stored as they are.

Nothing is compressed, so that a file is as large as its archive says and nothing can inflate. The
members follow each other from the first byte to the directory, so that nothing hides between them
and no two share their bytes.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from neurotasks.errors import CorruptSubmission
from neurotasks.submission.problem import LARGEST_FILES, LARGEST_SUBMISSION
from neurotasks.submission.strict import shown

__all__ = ["UNREADABLE", "directory_fault", "pack", "unpack"]

UNREADABLE = (
    zipfile.BadZipFile,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
)
"""What the reader of zip files raises where one is not as it should be."""

_CURE = "write it with `neurotasks submit`"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same folder is the same archive
_BLOCK = 1 << 20
_END = struct.Struct(
    "<4s4H2IH"
)  # end of the directory: signature, ..., entries, size, place, words
_LARGE_END = b"PK\x06\x07"  # says that the end stands elsewhere
_LARGE_SIZE = 20  # bytes of that
_ENTRY = 256  # bytes of the directory for a member, more than its name needs
_HEAD = 30  # bytes before a member, its name left out


def pack(folder: Path, target: IO[bytes]) -> None:
    """Write the files of a submission into one archive, equal for equal files."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.iterdir()):
            member = zipfile.ZipInfo(path.name, _EPOCH)
            with path.open("rb") as file, archive.open(member, "w") as written:
                while block := file.read(_BLOCK):
                    written.write(block)


def unpack(source: Path, folder: Path, largest: int = LARGEST_SUBMISSION) -> None:
    """Write the files of an archive into an empty folder.

    Args:
        source: The archive.
        folder: Where to.
        largest: Bytes that all files may have.

    Raises:
        CorruptSubmission: It is no archive of a submission: of names that are no plain file names,
            compressed, encrypted, too large or too many members, or with anything between them.
        OSError: The folder cannot be written.
    """
    with source.open("rb") as file:
        _refuse(directory_fault(file, LARGEST_FILES))
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                _refuse(next(_faults(members, archive.start_dir, largest), ""))
                for member in members:
                    _extract(archive, member, folder)
        except CorruptSubmission:
            raise
        except UNREADABLE as error:
            raise CorruptSubmission(f"it is no archive ({shown(error)}): {_CURE}") from error
        except OSError as error:
            if error.errno != errno.EINVAL:  # a place before the beginning of the file
                raise
            raise CorruptSubmission(f"it is no archive ({error}): {_CURE}") from error


def _refuse(fault: str) -> None:
    if fault:
        raise CorruptSubmission(f"the archive {fault}: {_CURE}")


def directory_fault(file: IO[bytes], members: int) -> str:
    """Return what is wrong with the end of a zip file, or nothing; its directory is not read.

    Readers take the whole directory into memory, so its size is bounded before.

    Args:
        file: The file; the place in it is lost.
        members: How many it may have.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - _END.size - _LARGE_SIZE, 0))
    tail = file.read()
    if len(tail) < _END.size:
        return f"has {size} bytes"
    signature, disk, first, here, entries, length, place, words = _END.unpack(tail[-_END.size :])
    if signature != b"PK\x05\x06" or words:
        return "does not end as a plain zip file does"
    if tail[: -_END.size].startswith(_LARGE_END) or disk or first or here != entries:
        return "is of several parts, or of the kind for huge files"
    if entries > members or length > entries * _ENTRY:
        return f"has {entries:,} members in a directory of {length:,} bytes"
    if place + length + _END.size != size:
        return "holds more than its members and its directory"
    return ""


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    with archive.open(member) as file, (folder / member.filename).open("xb") as written:
        while block := file.read(_BLOCK):
            written.write(block)


def _faults(members: list[zipfile.ZipInfo], end: int, largest: int) -> Iterator[str]:
    names = {member.filename.lower() for member in members}
    if len(names) < len(members):
        yield "holds a name twice"
    for member in members:
        yield from _member_faults(member)
    if sum(member.file_size for member in members) > largest:
        yield f"has more than {largest:,} bytes"
    place = 0
    for member in sorted(members, key=lambda one: one.header_offset):
        if member.header_offset != place:
            yield f"holds something before {member.filename}, or members that overlap"
            return
        place += _HEAD + len(member.filename) + member.file_size
    if place != end:
        yield "holds something behind its last member"


def _member_faults(member: zipfile.ZipInfo) -> Iterator[str]:
    kind = stat.S_IFMT(member.external_attr >> 16)
    if not _NAME.fullmatch(member.filename) or member.filename != member.orig_filename:
        yield f"holds the name {member.orig_filename[:60]!a}"
    if kind not in (0, stat.S_IFREG):
        yield f"says that {member.filename} is no plain file"
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
        yield f"compresses or encrypts {member.filename}"
    if member.file_size != member.compress_size:
        yield f"tells two sizes of {member.filename}"
