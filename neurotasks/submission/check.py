"""Everything that is wrong with a submission, before anybody uploads it or runs any of it."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from neurotasks.errors import CorruptSubmission, UnknownTask
from neurotasks.registry import load
from neurotasks.submission import arrays, onnx_graph, tensors
from neurotasks.submission.manifest import NAME, Manifest, file_names
from neurotasks.submission.problem import (
    LARGEST_FILES,
    LARGEST_MANIFEST,
    LARGEST_SUBMISSION,
    Problem,
)
from neurotasks.submission.strict import shown
from neurotasks.task import ControlTask, Task

__all__ = ["Problem", "problems", "read_manifest", "sha256"]

_BLOCK = 1 << 20
_SHOWN = 60  # letters of a file's name


def problems(folder: Path) -> list[Problem]:
    """Return all that is wrong with a submission; nothing of it is run, unpickled or imported.

    Nobody may change the folder meanwhile: a board inspects a copy of its own.

    Raises:
        MissingExtra: A library that reads its format is not installed.
    """
    try:
        return _problems(folder)
    except OSError as error:
        what = f"it cannot be read ({error.strerror or shown(error)})"
        return [Problem(ascii(str(folder)), what, "make its files readable")]


def _problems(folder: Path) -> list[Problem]:
    found = list(_folder_problems(folder))
    if found:
        return found
    try:
        manifest = read_manifest(folder)
    except CorruptSubmission as error:
        return [Problem(NAME, str(error), "write it with `neurotasks pack`")]
    found = list(_file_problems(folder, manifest))
    try:
        task = load(manifest.task)
    except UnknownTask as error:
        return [*found, Problem(NAME, str(error), "see `neurotasks list`")]
    found += _task_problems(manifest, task)
    return found or list(_content_problems(folder, manifest, task))


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a submission.

    Raises:
        CorruptSubmission: There is none, or it is none.
        OSError: It cannot be read.
    """
    path = folder / NAME
    if not path.is_file() or path.is_symlink():
        raise CorruptSubmission(f"there is no {NAME} in {folder}")
    with path.open("rb") as file:
        content = file.read(LARGEST_MANIFEST + 1)
    if len(content) > LARGEST_MANIFEST:
        raise CorruptSubmission(f"{NAME} is larger than {LARGEST_MANIFEST:,} bytes")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorruptSubmission(f"{NAME} is not UTF-8 text: {error}") from error
    return Manifest.from_json(text)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _folder_problems(folder: Path) -> Iterator[Problem]:
    """Yield what is no plain file of its own, and whether all is too much."""
    if not folder.is_dir():
        yield Problem(str(folder), "there is no such folder", "name the folder that was packed")
        return
    paths = list(islice(folder.iterdir(), LARGEST_FILES + 1))
    if len(paths) > LARGEST_FILES:
        yield Problem(str(folder), f"it has more than {LARGEST_FILES:,} files", "delete the others")
        return
    total = 0
    for path in sorted(paths):
        told = path.lstat()
        name = ascii(path.name[:_SHOWN])
        if not stat.S_ISREG(told.st_mode):
            yield Problem(name, "it is no plain file", "a submission holds plain files alone")
        elif told.st_nlink > 1:
            yield Problem(name, "it is a link to another file", "copy it")
        total += told.st_size
    if total > LARGEST_SUBMISSION:
        yield Problem(str(folder), f"it has {total:,} bytes", f"{LARGEST_SUBMISSION:,} at most")


def _file_problems(folder: Path, manifest: Manifest) -> Iterator[Problem]:
    """Yield files that are missing, too many, or not those that were packed."""
    wanted = {NAME, *manifest.files}
    present = {path.name for path in folder.iterdir()}
    for name in sorted(wanted - present):
        yield Problem(name, "it is missing", "pack the submission again")
    for name in sorted(present - wanted)[:10]:
        yield Problem(ascii(name[:_SHOWN]), "it belongs to no submission", "delete it")
    for name in sorted(set(manifest.files) & present):
        if sha256(folder / name) != manifest.files[name]:
            yield Problem(name, "it is not the file that was packed", "pack the submission again")


def _task_problems(manifest: Manifest, task: Task) -> Iterator[Problem]:
    if manifest.task != task.card.id:
        yield Problem(NAME, f"the task {manifest.task!r} is a short name", f"name {task.card.id!r}")
    if manifest.card != task.card.hash:
        yield Problem(
            NAME,
            f"it was earned under card {manifest.card}; {task.card.id} now has {task.card.hash}",
            "run the agent again with this version of the suite",
        )
    if manifest.format == "predictions" and isinstance(task, ControlTask):
        yield Problem(NAME, "predictions answer no control task", "hand in an ONNX graph")
    unknown = sorted(set(manifest.claimed) - set(task.card.evaluated))
    if unknown:
        yield Problem(NAME, f"{task.card.id} has no stage {unknown}", "leave it out of 'claimed'")


def _content_problems(folder: Path, manifest: Manifest, task: Task) -> Iterator[Problem]:
    for name in file_names(manifest.format, manifest.seeds):
        path = folder / name
        if manifest.format == "onnx":
            yield from onnx_graph.problems(path, task)
        elif manifest.format == "weights":
            yield from tensors.problems(path, manifest.seeds)
        else:
            yield from arrays.problems(path, task, manifest.seeds)
