"""What a source of recorded data is: files with checksums, and arrays made of them once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from neurotasks.errors import CorruptData, DataError, MissingData, UnwritableFolder
from neurotasks.sources._arrays import Prepared, mapped, write
from neurotasks.sources._files import File, copy, download, problem

__all__ = ["File", "Source", "cache_dir"]

ENVIRONMENT = "NEUROTASKS_DATA"


def cache_dir() -> Path:
    """Return the folder of the recorded data; it need not exist."""
    chosen = os.environ.get(ENVIRONMENT)
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path  # noqa: PLC0415 - `import neurotasks` stays light

    return user_cache_path("neurotasks", appauthor=False)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A recorded data set.

    Attributes:
        name: The name of the module that defines it, of its folder and in the commands.
        title: Its name for people.
        homepage: Where it is described, or where its files can be had.
        licence: The licence of the data, as its authors state it.
        citation: The paper to cite.
        files: The published files. Optional ones may be alternatives of each other.
        prepare: From the folder of the raw files to the arrays, by name; large ones as `Blocks`. It
            is called when all files that are not optional are there and all files that are there
            have been verified.
        version: To be raised when `prepare` changes, so that arrays are made anew.
    """

    name: str
    title: str
    homepage: str
    licence: str
    citation: str
    files: tuple[File, ...]
    prepare: Callable[[Path], Mapping[str, Prepared]]
    version: int = 0

    @property
    def folder(self) -> Path:
        """The source's own folder in the cache."""
        return cache_dir() / self.name

    @property
    def raw(self) -> Path:
        """The folder of the files as they were published."""
        return self.folder / "raw"

    @property
    def present(self) -> bool:
        """Whether all files that are needed are in the cache; nothing is verified."""
        return all((self.raw / file.name).is_file() for file in self.files if not file.optional)

    def load(self) -> Mapping[str, NDArray[Any]]:
        """Return the arrays, mapped read-only from disk; prepare them if that was not done yet.

        Raises:
            MissingData: Files are missing; the message names them and the cure.
            CorruptData: A file is not the one that was published, for example half of it.
            UnwritableFolder: The arrays cannot be written.
        """
        present = [file for file in self.files if (self.raw / file.name).is_file()]
        self._require(present)
        record = repr((self.version, [(file.name, file.hash) for file in present]))
        key = hashlib.sha256(record.encode()).hexdigest()[:12]
        prepared = self.folder / f"prepared-{key}"
        if not prepared.is_dir():
            self._verify(present)
            arrays = self.prepare(self.raw)
            with _writable(self.folder):
                write(arrays, prepared)
        return mapped(prepared)

    def fetch(self, progress: Any = False) -> list[str]:  # noqa: FBT002 - pooch's own convention
        """Download what is missing or corrupt, and return the names of the files that came.

        Args:
            progress: True for a progress bar of tqdm, or an object with `total`, `update`, `reset`
                and `close`, as `pooch.HTTPDownloader` takes it.

        Raises:
            DataError: The connection failed; what has come is kept, and the next call goes on.
            CorruptData: The server's file is not the one that was published.
            MissingData: A file that is needed has no address.
            UnwritableFolder: The cache cannot be written.
        """
        fetched = []
        for file in self.files:
            target = self.raw / file.name
            if file.url is None or (target.is_file() and problem(target, file) is None):
                continue
            with _writable(self.raw):
                download(file, target, progress)
            fetched.append(file.name)
        self._require([file for file in self.files if (self.raw / file.name).is_file()])
        return fetched

    def add(self, paths: Iterable[Path | str]) -> list[str]:
        """Copy files that lie elsewhere, and return their names.

        Args:
            paths: Files under their published names, or folders in which they are looked for.

        Raises:
            MissingData: Nothing was found.
            CorruptData: A file bears a published name, but is not the published one.
            UnwritableFolder: The cache cannot be written.
        """
        added, wrong = [], []
        found = [file for path in paths for file in _below(Path(path))]
        for file in self.files:
            candidates = {path: problem(path, file) for path in found if path.name == file.name}
            good = next((path for path in candidates if candidates[path] is None), None)
            if good is not None:
                with _writable(self.raw):
                    copy(good, self.raw / file.name)
                added.append(file.name)
            elif not file.optional:  # data sets share names, and a folder may hold several of them
                wrong += [f"{path} {what}" for path, what in candidates.items()]
        if wrong:
            raise CorruptData(f"{wrong[0]}; it is not the file of {self.title}")
        if not added:
            names = ", ".join(file.name for file in self.files)
            raise MissingData(f"none of the files of {self.name!r} is there; they are {names}")
        return added

    def status(self) -> dict[str, str]:
        """Return for each file "ready", "missing" or what is wrong with it; verifies checksums."""
        found = {}
        for file in self.files:
            path = self.raw / file.name
            found[file.name] = (problem(path, file) or "ready") if path.is_file() else "missing"
        return found

    @property
    def cure(self) -> str:
        """What brings the files: a command."""
        if all(file.url is None for file in self.files if not file.optional):
            return (
                f"get them from {self.homepage} and run `neurotasks data add {self.name} FILE...`"
            )
        return f"run `neurotasks data fetch {self.name}`"

    def _require(self, present: list[File]) -> None:
        missing = [f.name for f in self.files if not f.optional and f not in present]
        if missing:
            raise MissingData(
                f"the data set {self.name!r} ({self.title}) is not in the cache {cache_dir()}: "
                f"missing {', '.join(missing)}; {self.cure}"
            )

    def _verify(self, present: list[File]) -> None:
        for file in present:
            wrong = problem(self.raw / file.name, file)
            if wrong is not None:
                cure = self.cure if file.url else "delete it, or replace it by the published file"
                raise CorruptData(f"{self.raw / file.name} {wrong}; {cure}")


class _writable:  # noqa: N801 - used like a function
    """Make a folder, and say so when it or a file in it cannot be written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._error(error) from error

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if isinstance(error, OSError) and not isinstance(error, DataError | UnwritableFolder):
            raise self._error(error) from error

    def _error(self, error: OSError) -> UnwritableFolder:
        return UnwritableFolder(
            f"cannot write into {self.folder}: {error.strerror}; set {ENVIRONMENT} to a folder "
            "that can be written"
        )


def _below(path: Path) -> list[Path]:
    """Return a file, or the files of a folder and of the folders below it.

    Raises:
        MissingData: There is neither.
    """
    if path.is_dir():
        return sorted(inner for inner in path.rglob("*") if inner.is_file())
    if not path.is_file():
        raise MissingData(f"there is no file or folder {path}")
    return [path]
