"""Inspection of predictions: the directory and the headers of a `.npz`, nothing inflated."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from neurotasks.submission.problem import LARGEST_SUBMISSION, Problem
from neurotasks.task import ControlTask, Task

__all__ = ["problems", "shape_of"]

_PACK = "write it with `neurotasks pack`"
_HEADER = 1 << 14  # bytes; the header of a plain array has about a hundred
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1  # the flag of a member


def shape_of(task: Task, stage: str) -> tuple[int, ...]:
    """Return the shape of the answers to one seed's trials, (trials, T, *action)."""
    return (task.card.stage(stage).trials, task.card.steps, *(task.action_space.shape or ()))


def problems(path: Path, task: Task, seeds: Sequence[int]) -> Iterator[Problem]:
    """Yield what is wrong with a file of predictions."""
    name = path.name
    if isinstance(task, ControlTask):
        yield Problem(name, f"{task.card.id} is a control task", "hand in an ONNX graph")
        return
    try:
        with zipfile.ZipFile(path) as archive:
            yield from _archive_problems(archive, task, seeds, name)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError) as error:
        yield Problem(name, f"it is no .npz file ({error})", _PACK)


def _archive_problems(
    archive: zipfile.ZipFile, task: Task, seeds: Sequence[int], name: str
) -> Iterator[Problem]:
    wanted = {f"{stage}.{seed}.npy" for stage in task.card.evaluated for seed in seeds}
    members = archive.infolist()
    names = [member.filename for member in members]
    if len(names) > len(set(names)):
        yield Problem(name, "it holds a name twice", _PACK)
    if set(names) != wanted:
        lacks, adds = sorted(wanted - set(names))[:3], sorted(set(names) - wanted)[:3]
        yield Problem(name, f"it lacks {lacks} and has {adds} too many", _PACK)
        return
    if sum(member.file_size for member in members) > LARGEST_SUBMISSION:
        yield Problem(name, f"it would inflate to more than {LARGEST_SUBMISSION:,} bytes", _PACK)
        return
    for member in members:
        yield from _member_problems(archive, member, task, name)


def _member_problems(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, task: Task, name: str
) -> Iterator[Problem]:
    where = f"{name}, {member.filename}"
    if member.compress_type not in _METHODS or member.flag_bits & _ENCRYPTED:
        yield Problem(where, "it is encrypted or compressed in an unknown way", _PACK)
        return
    shape = shape_of(task, member.filename.split(".")[0])
    with archive.open(member) as file:
        try:
            version = np.lib.format.read_magic(file)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            found, _, dtype = read(file, max_header_size=_HEADER)
        except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
            yield Problem(where, f"its header is none of an array ({error})", _PACK)
            return
        start = file.tell()
    if dtype.hasobject or dtype.kind not in _kinds(task.action_space):
        yield Problem(where, f"it holds {dtype}", f"write {_kinds(task.action_space)} numbers")
    elif found != shape:
        yield Problem(where, f"its shape is {found}", f"it must be {shape}")
    elif start + math.prod(found) * dtype.itemsize != member.file_size:
        yield Problem(where, f"its header and its size, {member.file_size}, disagree", _PACK)


def _kinds(space: gym.Space[Any]) -> str:
    """Return the kinds of numbers that an answer may be: integers, or floats too."""
    return "iu" if isinstance(space, gym.spaces.Discrete) else "iuf"
