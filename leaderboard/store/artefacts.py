"""Kept files, each under its SHA-256: written whole or not at all, once, and checked when read."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from leaderboard.store.errors import CorruptArtefact

__all__ = ["Artefacts"]

_BLOCK = 1 << 20


class Artefacts:
    """A folder of files by content.

    Args:
        folder: Where they are; made when the first one comes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, sha256: str) -> Path:
        """Return where a file is or would be."""
        return self.folder / sha256[:2] / sha256

    def put(self, source: BinaryIO) -> tuple[str, int]:
        """Keep what a stream holds; return its SHA-256 and its size in bytes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.folder, prefix=".new-")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                sha256, size = _copy(source, file)
                file.flush()
                os.fsync(file.fileno())
            path = self.path(sha256)
            path.parent.mkdir(exist_ok=True)
            temporary.replace(path)  # over an equal one, if there was one
        finally:
            temporary.unlink(missing_ok=True)
        return sha256, size

    def copy(self, sha256: str, target: Path) -> None:
        """Write a kept file to another place.

        Raises:
            CorruptArtefact: It is missing or changed; nothing is left at the target.
        """
        with self._open(sha256) as source, target.open("xb") as file:
            found, _ = _copy(source, file)
        if found != sha256:
            target.unlink()
            raise _changed(self.path(sha256), found)

    def read(self, sha256: str) -> bytes:
        """Return a kept file.

        Raises:
            CorruptArtefact: It is missing or changed.
        """
        with self._open(sha256) as source:
            content = source.read()
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            raise _changed(self.path(sha256), found)
        return content

    def check(self, sha256: str) -> None:
        """Read a kept file through.

        Raises:
            CorruptArtefact: It is missing or changed.
        """
        with self._open(sha256) as source:
            found = _copy(source, None)[0]
        if found != sha256:
            raise _changed(self.path(sha256), found)

    def leftovers(self, known: frozenset[str]) -> Iterator[Path]:
        """Yield files that no submission knows of: what refused or killed requests left behind."""
        for path in self.folder.rglob("*"):
            if path.is_file() and path.name not in known:
                yield path

    def _open(self, sha256: str) -> BinaryIO:
        try:
            return self.path(sha256).open("rb")
        except FileNotFoundError as error:
            raise CorruptArtefact(
                f"{self.path(sha256)} is missing; restore it from a backup"
            ) from error


def _copy(source: BinaryIO, target: BinaryIO | None) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while block := source.read(_BLOCK):
        digest.update(block)
        if target is not None:
            target.write(block)
        size += len(block)
    return digest.hexdigest(), size


def _changed(path: Path, found: str) -> CorruptArtefact:
    return CorruptArtefact(f"{path} now has SHA-256 {found}; restore it from a backup")
