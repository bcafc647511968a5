"""A submission on its way: one zip file whose members are stored as they are.

Nothing is compressed, so that a file is as large as its archive says and nothing can inflate.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from neurotasks.errors import CorruptSubmission
from neurotasks.submission.problem import LARGEST_SUBMISSION

__all__ = ["pack", "unpack"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MEMBERS = 1100  # more than any submission has
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same folder is the same archive
_BLOCK = 1 << 20


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
            compressed, encrypted, too large or too many members.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            fault = next(_faults(members, largest), "")
            if fault:
                raise CorruptSubmission(f"the archive {fault}: write it with `neurotasks submit`")
            for member in members:
                _extract(archive, member, folder)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, OSError) as error:
        if isinstance(error, CorruptSubmission):
            raise
        raise CorruptSubmission(f"it is no archive of a submission: {error}") from error


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    with archive.open(member) as file, (folder / member.filename).open("xb") as written:
        while block := file.read(_BLOCK):
            written.write(block)


def _faults(members: list[zipfile.ZipInfo], largest: int) -> Iterator[str]:
    if len(members) > _MEMBERS:
        yield f"has {len(members):,} members"
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        yield "holds a name twice"
    for member in members:
        if not _NAME.fullmatch(member.filename):
            yield f"holds the name {member.filename[:60]!a}"
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            yield f"compresses or encrypts {member.filename}"
        if member.file_size != member.compress_size:
            yield f"tells two sizes of {member.filename}"
    if sum(member.file_size for member in members) > largest:
        yield f"has more than {largest:,} bytes"
