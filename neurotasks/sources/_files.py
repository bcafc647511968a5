"""Published files: whether a file is the published one, and how it comes into the cache."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurotasks.errors import CorruptData, DataError

__all__ = ["File", "copy", "download", "problem"]

_OK, _RANGE_NOT_SATISFIABLE = 200, 416  # of HTTP


@dataclass(frozen=True)
class File:
    """A published file.

    Attributes:
        name: Its name in the cache.
        url: Where it can be downloaded; None where it cannot.
        bytes: Its size (with `content`, that of the uncompressed content); None if not known.
        hash: "sha256:..." or "md5:...", in hexadecimal digits.
        content: Whether size and hash are those of the gunzipped content, so that a file that was
            compressed again is the same file.
        optional: Whether the source can do without.
    """

    name: str
    url: str | None
    bytes: int | None
    hash: str
    content: bool = False
    optional: bool = False


def problem(path: Path, file: File) -> str | None:
    """Return what is wrong with a file, to stand behind its path in a sentence, or None."""
    if file.bytes is not None and not file.content:
        size = path.stat().st_size
        if size < file.bytes:
            return f"holds {size} of {file.bytes} bytes, as after half a download"
        if size > file.bytes:
            return f"holds {size} bytes instead of {file.bytes}"
    algorithm, _, expected = file.hash.partition(":")
    try:
        found = _digest(path, algorithm, content=file.content)
    except EOFError:
        return "ends too early, as after half a download"
    except (gzip.BadGzipFile, zlib.error):
        return "is no whole gzip file"
    return None if found == expected else f"has the {algorithm} {found} instead of {expected}"


def _digest(path: Path, algorithm: str, *, content: bool) -> str:
    with gzip.open(path) if content else path.open("rb") as stream:
        digest = hashlib.new(algorithm, usedforsecurity=False)
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def copy(path: Path, target: Path) -> None:
    """Copy a file, whole or not at all."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".copying-") as temporary:
        whole = Path(temporary) / target.name
        shutil.copyfile(path, whole)
        whole.replace(target)


def download(file: File, target: Path, progress: Any) -> None:
    """Download a file; under its final name it appears whole and verified, or not at all.

    What came before a connection broke is kept beside it, and the next call goes on from there.

    Raises:
        DataError: The connection failed.
        CorruptData: The server's file is not the one that was published.
    """
    part = target.with_name(f".{target.name}.part")
    resumed = part.exists()
    _receive(file, part, progress)
    wrong = problem(part, file)
    if wrong is not None and resumed:  # the part may be of another file: start afresh
        part.unlink()
        _receive(file, part, progress)
        wrong = problem(part, file)
    if wrong is not None:
        part.unlink()
        raise CorruptData(f"{file.url} is not the published file {file.name}: it {wrong}")
    part.replace(target)


def _receive(file: File, part: Path, progress: Any) -> None:
    """Append to a part what it still lacks."""
    import pooch  # noqa: PLC0415 - slow to import, and needed here alone

    with part.open("ab") as stream:

        def restart(response: Any, **_: Any) -> None:
            if response.status_code == _OK:  # the server sends the whole, not the rest
                stream.truncate(0)

        headers = {"Range": f"bytes={stream.tell()}-", "Accept-Encoding": "identity"}
        receive = pooch.HTTPDownloader(
            progressbar=progress, headers=headers, hooks={"response": restart}, chunk_size=1 << 16
        )
        try:
            receive(file.url, stream, None)
        except OSError as error:  # the root of all errors of requests
            response = getattr(error, "response", None)
            if response is None or response.status_code != _RANGE_NOT_SATISFIABLE:
                raise DataError(
                    f"cannot download {file.url}: {error}; what has come is kept, so that the same "
                    "command goes on from there"
                ) from error
        stream.flush()
        os.fsync(stream.fileno())
