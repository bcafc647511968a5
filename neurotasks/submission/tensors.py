"""Inspection of weights: the header of a safetensors file against its size, nothing loaded."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from neurotasks.submission.problem import Problem
from neurotasks.submission.strict import loads

__all__ = ["problems"]

_PACK = "write it with `neurotasks pack`"
_LENGTH = struct.Struct("<Q")
_LARGEST_HEADER = 4 << 20  # bytes
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1,
          "U8": 1, "BOOL": 1}  # fmt: skip
_DIMENSIONS = 8
_LONGEST = 1 << 31  # of a dimension


def problems(path: Path, seeds: Sequence[int]) -> Iterator[Problem]:
    """Yield what is wrong with a file of weights."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_LENGTH.size)
        length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else size
        if length > min(_LARGEST_HEADER, size - _LENGTH.size):
            yield Problem(path.name, f"its header claims {length:,} bytes", _PACK)
            return
        text = file.read(length)
    try:
        header = loads(text)
    except ValueError as error:
        yield Problem(path.name, f"its header is not JSON ({error})", _PACK)
        return
    if not isinstance(header, dict):
        yield Problem(path.name, "its header is not a JSON object", _PACK)
        return
    words = header.pop("__metadata__", {})
    if not isinstance(words, dict) or not all(isinstance(word, str) for word in words.values()):
        yield Problem(path.name, "its metadata is no table of texts", _PACK)
    yield from _tensor_problems(path.name, header, size - _LENGTH.size - length)
    yield from _name_problems(path.name, header, seeds)


def _tensor_problems(name: str, header: Mapping[str, Any], room: int) -> Iterator[Problem]:
    """Yield tensors that are none, and gaps or overlaps between them."""
    spans = []
    for tensor, told in header.items():
        if not _is_tensor(told):
            yield Problem(f"{name}, {tensor[:60]!a}", "it is described as no tensor", _PACK)
            return
        begin, end = told["data_offsets"]
        if end - begin != math.prod(told["shape"]) * _BYTES[told["dtype"]]:
            yield Problem(f"{name}, {tensor[:60]!a}", "its shape and its size disagree", _PACK)
            return
        spans.append((begin, end))
    ends = 0
    for begin, end in sorted(spans):
        if begin != ends:
            yield Problem(name, "its tensors overlap or leave gaps", _PACK)
            return
        ends = end
    if ends != room:
        yield Problem(name, f"its tensors fill {ends:,} of {room:,} bytes", _PACK)


def _is_tensor(told: Any) -> bool:
    return (
        isinstance(told, dict)
        and set(told) == {"dtype", "shape", "data_offsets"}
        and isinstance(told["dtype"], str)
        and told["dtype"] in _BYTES
        and _is_counts(told["shape"])
        and len(told["shape"]) <= _DIMENSIONS
        and all(number < _LONGEST for number in told["shape"])
        and _is_counts(told["data_offsets"])
        and len(told["data_offsets"]) == 2  # noqa: PLR2004 - begin and end
    )


def _is_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _name_problems(name: str, header: Mapping[str, Any], seeds: Sequence[int]) -> Iterator[Problem]:
    """Yield seeds whose tensors are not those of the others."""
    by_seed: dict[str, set[str]] = {str(seed): set() for seed in seeds}
    for tensor in header:
        seed, _, rest = tensor.partition(".")
        if seed not in by_seed or not rest:
            cure = "tensors are named <seed>.<name>"
            yield Problem(f"{name}, {tensor[:60]!a}", "it belongs to no seed", cure)
            return
        by_seed[seed].add(rest)
    if len({frozenset(names) for names in by_seed.values()}) > 1 or not all(by_seed.values()):
        yield Problem(name, "its seeds do not have the same tensors", _PACK)
