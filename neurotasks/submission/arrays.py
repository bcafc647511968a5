"""Inspection of predictions: the directory and the headers of a `.npz`, nothing inflated."""

from __future__ import annotations

import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym

from neurotasks.submission.archive import UNREADABLE, directory_fault
from neurotasks.submission.problem import LARGEST_SUBMISSION, Problem
from neurotasks.submission.strict import shown
from neurotasks.task import ControlTask, Task, TrialTask

__all__ = ["problems", "shape_of"]

_PACK = "write it with `neurotasks pack`"
_MAGIC = b"\x93NUMPY\x01\x00"  # version 1.0, which NumPy writes of plain arrays
_LENGTH = struct.Struct("<H")
_HEADER = re.compile(
    r"\{'descr': '([<>|=][a-zA-Z][0-9]{1,2})', 'fortran_order': (?:True|False), "
    r"'shape': \(([0-9, ]{0,100})\), \} *\n"
)
_WIDTHS = {"i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8)}  # bytes of a number
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1  # the flag of a member


@cache
def shape_of(task: Task, stage: str) -> tuple[int, ...]:
    """Return the shape of the answers to one seed's trials, (trials, T, *action).

    The trials of a stage may be longer or shorter than those that the card speaks of.
    """
    steps = task.card.steps
    if isinstance(task, TrialTask) and task.card.data == "generated":
        steps = task.sample(1, 0, stage).mask.shape[1]
    return (task.card.stage(stage).trials, steps, *(task.action_space.shape or ()))


def problems(path: Path, task: Task, seeds: Sequence[int]) -> Iterator[Problem]:
    """Yield what is wrong with a file of predictions."""
    name = path.name
    if isinstance(task, ControlTask):
        yield Problem(name, f"{task.card.id} is a control task", "hand in an ONNX graph")
        return
    members = len(task.card.evaluated) * len(seeds)
    with path.open("rb") as file:
        fault = directory_fault(file, members)
        if fault:
            yield Problem(name, f"it {fault}", _PACK)
            return
        try:
            with zipfile.ZipFile(file) as archive:
                yield from _archive_problems(archive, task, seeds, name)
        except (*UNREADABLE, OSError, zlib.error) as error:
            yield Problem(name, f"it is no .npz file ({shown(error)})", _PACK)


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
        added = ascii([one[:60] for one in adds])
        yield Problem(name, f"it lacks {lacks} and has {added} too many", _PACK)
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
        head = file.read(len(_MAGIC) + _LENGTH.size)
        length = _LENGTH.unpack(head[-_LENGTH.size :])[0] if head.startswith(_MAGIC) else 0
        told = _HEADER.fullmatch(file.read(length).decode("latin-1"))
    if told is None:
        yield Problem(where, "its header is not that of a plain array", _PACK)
        return
    kind, axes = told.groups()
    found = tuple(int(axis) for axis in axes.replace(",", " ").split())
    kinds = _kinds(task.action_space)
    if kind[1] not in kinds or int(kind[2:]) not in _WIDTHS[kind[1]]:
        yield Problem(where, f"it holds {kind}", f"write numbers of the kinds {', '.join(kinds)}")
    elif found != shape:
        yield Problem(where, f"its shape is {found}", f"it must be {shape}")
    elif len(head) + length + math.prod(found) * int(kind[2:]) != member.file_size:
        yield Problem(where, f"its header and its size, {member.file_size}, disagree", _PACK)


def _kinds(space: gym.Space[Any]) -> str:
    """Return the kinds of numbers that an answer may be: integers, or floats too."""
    return "iu" if isinstance(space, gym.spaces.Discrete) else "iuf"
