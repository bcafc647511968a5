"""Attacks on archives, predictions and weights."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.leaderboard.attacks import (
    CLASSES,
    POINTS,
    Case,
    answers,
    hand_in,
    npz,
    safetensors,
    weights,
)

_NAMES = ("../escaped", "/escaped", "a/b", "a\\b", "C:evil", "", ".hidden", "-rf", "folder/",
          "m\u043edel.onnx", "a\nb", "x" * 101, "a\0b", "\u202egpj", "~root", "a b", "$(true)",
          "<script>")  # fmt: skip


def cases() -> Iterator[Case]:
    """Yield all attacks of this file."""
    yield from _archives()
    yield from _predictions()
    yield from _recorded_answers()
    yield from _weights()


def _zip(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            member = zipfile.ZipInfo("placeholder")
            member.filename = name
            member.compress_type = method
            archive.writestr(member, content)
    return buffer.getvalue()


_GOOD = _zip([("manifest.json", b"{}"), ("model.onnx", b"0123456789")])
_END = _GOOD.rindex(b"PK\x05\x06")
_DIRECTORY = _GOOD.index(b"PK\x01\x02")


def _patched(place: int, form: str, value: Any, base: bytes = _GOOD) -> bytes:
    content = bytearray(base)
    struct.pack_into(form, content, place, value)
    return bytes(content)


def _upload(content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / "upload.zip").write_bytes(content) and None


def _attributed(mode: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        member = zipfile.ZipInfo("model.onnx")
        member.external_attr = mode << 16
        archive.writestr(member, "/etc/passwd")
    return buffer.getvalue()


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("manifest.json"))
    return buffer.getvalue()


def _large_end() -> bytes:
    """Return an archive that says where its end is twice."""
    entry = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 2, 2, 10**6, _DIRECTORY)
    place = struct.pack("<4sIQI", b"PK\x06\x07", 0, _END, 1)
    return _GOOD[:_END] + entry + place + _GOOD[_END:]


def _overlapping() -> bytes:
    """Return two names for one and the same member."""
    content = bytearray(_GOOD)
    second = content.index(b"PK\x01\x02", _DIRECTORY + 4)
    struct.pack_into("<I", content, second + 42, 0)
    return bytes(content)


def _gap() -> bytes:
    content = bytearray(_GOOD)
    content[_DIRECTORY:_DIRECTORY] = b"hidden"
    return _patched(len(content) - 6, "<I", _DIRECTORY + 6, bytes(content))


def _of_directory() -> bytes:
    """Return nothing but a directory of a million members."""
    name = (
        struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, *[0] * 6) + b"a"
    )
    entries = name * 1_000_000
    return entries + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1000, 1000, len(entries), 0, 0)


def _archives() -> Iterator[Case]:
    for name in _NAMES:
        content = _zip([("manifest.json", b"{}"), (name, b"x")])
        yield Case(
            f"archive with the name {name!a}", _upload(content), "unpack", "the archive|it is"
        )
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        bomb = _zip([("model.onnx", bytes(10_000_000))], method)
        yield Case(f"bomb by method {method}", _upload(bomb), "unpack", "compresses or encrypts")
    for what, mode in {"a link": 0o120777, "a device": 0o60666, "a pipe": 0o10666,
                       "a folder": 0o40755}.items():  # fmt: skip
        upload = _upload(_attributed(mode))
        yield Case(f"archive with {what}", upload, "unpack", "is no plain file")
    for name, (content, reason) in _damaged().items():
        yield Case(f"archive {name}", _upload(content), "unpack", reason)


def _damaged() -> dict[str, tuple[bytes, str]]:
    first = _DIRECTORY
    plain = "does not end as a plain zip file"
    return {
        "without a byte": (b"", "has 0 bytes"),
        "of text": (b"<script>alert(1)</script>" * 10, plain),
        "as a tar": (_tar(), plain),
        "as gzip": (zlib.compress(_GOOD), plain),
        "cut off": (_GOOD[:-10], plain),
        "with a comment": (_patched(_END + 20, "<H", 5) + b"evil!", plain),
        "with words behind it": (_GOOD + b"<?php ?>", plain),
        "with words before it": (b"#!/bin/sh\n" + _GOOD, "more than its members"),
        "with words in a gap": (_gap(), "behind its last member"),
        "for huge files": (_large_end(), "huge files"),
        "in several parts": (_patched(_END + 4, "<H", 3), "several parts"),
        "with other counts of members": (_patched(_END + 8, "<H", 1), "several parts"),
        "of 2000 members": (_zip([(f"{k}", b"") for k in range(2000)]), "has 2,000 members"),
        "of a million members told as 1000": (_of_directory(), "in a directory of"),
        "with a name twice": (_twice("model.onnx"), "a name twice"),
        "with a name twice but for its case": (_twice("MODEL.onnx"), "a name twice"),
        "with an encrypted member": (_patched(first + 8, "<H", 1), "compresses or encrypts"),
        "with strong encryption": (_patched(first + 8, "<H", 0x40), "it is no archive"),
        "with a larger size in the directory": (_patched(first + 24, "<I", 9), "tells two sizes"),
        "with a size beyond its end": (
            _patched(first + 20, "<I", 1 << 30, _patched(first + 24, "<I", 1 << 30)),
            "more than|overlap|behind",
        ),
        "with members that overlap": (_overlapping(), "overlap"),
        "with a member behind its end": (_patched(first + 42, "<I", 1 << 31), "overlap|no archive"),
        "with another name in its member": (
            _GOOD.replace(b"model", b"evil!", 1),
            "it is no archive",
        ),
        "with a wrong sum": (_patched(first + 16, "<I", 1), "it is no archive"),
        "with a changed byte": (_GOOD.replace(b"0123", b"0124", 1), "it is no archive"),
        "with a directory beyond its end": (_patched(_END + 16, "<I", 1 << 31), "more than its"),
        "with a directory of another size": (_patched(_END + 12, "<I", 3), "more than its"),
        "with a broken directory": (_patched(first, "<4s", b"PKXX"), "it is no archive"),
        "larger than it may be": (_zip([("a", bytes(3 << 20)), ("b", b"")]), "more than 1,048,576"),
    }


def _twice(name: str) -> bytes:
    content = bytearray(_zip([("model.onnx", b"1"), ("MODEL.onnx", b"2")]))
    return bytes(content).replace(b"MODEL.onnx", name.encode())


def _raw_npz(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    return _zip(list(members), method)


def _npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode("latin-1") + b"\n"
    form = "<H" if version[0] == 1 else "<I"
    return b"\x93NUMPY" + version + struct.pack(form, len(text)) + text + data


def _predictions() -> Iterator[Case]:
    for name, (content, reason) in {**_arrays(), **_headers(), **_zips()}.items():
        build = _handed(content, "predictions")
        yield Case(f"predictions {name}", build, "inspect", reason)


def _handed(content: bytes, format_: str, task: str = POINTS) -> Callable[[Path], None]:
    return lambda folder: hand_in(folder, content, format_, task)


def _arrays() -> dict[str, tuple[bytes, str]]:
    good = answers(POINTS)
    shape = good["test.0"].shape
    kinds = {
        "of objects": np.empty(shape, dtype=object),
        "of texts": np.zeros(shape, dtype="U8"),
        "of bytes": np.zeros(shape, dtype="S8"),
        "of records": np.zeros(shape, dtype=[("a", "f4"), ("b", "O")]),
        "of dates": np.zeros(shape, dtype="M8[s]"),
        "of complex numbers": np.zeros(shape, dtype=np.complex64),
        "of truth values": np.zeros(shape, dtype=np.bool_),
        "of long floats": np.zeros(shape, dtype=np.longdouble),
        "of nothing": np.zeros(shape, dtype="V4"),
    }
    found = {
        name: (npz({**good, "test.0": array}), "it holds|not that of a plain array")
        for name, array in kinds.items()
    }
    shapes = {
        "for fewer trials": (shape[0] - 1, *shape[1:]),
        "for more trials": (shape[0] + 1, *shape[1:]),
        "with a further axis": (*shape, 1),
        "with an axis less": shape[:-1],
        "turned round": shape[::-1],
        "of one number": (),
        "for no trial": (0, *shape[1:]),
    }
    for name, other in shapes.items():
        found[name] = (npz({**good, "test.0": np.zeros(other, np.float32)}), "its shape is")
    found["without a stage"] = (npz({"test.0": good["test.0"]}), "does not end|lacks|it lacks")
    found["of another seed"] = (npz(answers(POINTS, (1,))), "it lacks")
    found["with a further array"] = (npz({**good, "../../evil": np.zeros(1)}), "has 3 members")
    found["under a path"] = (
        npz({"../test.0": good["test.0"], "shift.0": good["shift.0"]}),
        "lacks",
    )
    return found


def _headers() -> dict[str, tuple[bytes, str]]:
    size = answers(POINTS)["test.0"].nbytes
    plain = "{'descr': '<f4', 'fortran_order': False, 'shape': (4000, 1, 2), }"
    strange = {
        "that is an expression": "{'descr': '<f4', 'fortran_order': False, 'shape': (2**99,), }",
        "that calls": "__import__('os').system('true')",
        "that nests": "(" * 5000 + ")" * 5000,
        "that no tokenizer reads": "{'descr': '<f4', 'shape': (",
        "with a key that cannot be one": "{[]: 1}",
        "with a further key": plain.replace("}", "'x': 1, }"),
        "with a record": plain.replace("'<f4'", "[('a', '<f4')]"),
        "with an object": plain.replace("<f4", "|O"),
        "below zero": plain.replace("4000", "-4000"),
        "of a terabyte": plain.replace("4000", "400000000000"),
        "of long numbers": plain.replace("4000", "4000L"),
        "of 60000 digits": plain.replace("4000", "1" * 60_000),
        "of letters beyond ASCII": plain.replace("f4", "\xff4"),
        "of a width that is none": plain.replace("<f4", "<f3"),
    }
    data = bytes(size)
    found = {f"with a header {name}": _npy(text, data) for name, text in strange.items()}
    found |= {
        "of another version": _npy(plain, data, b"\x02\x00"),
        "of an unknown version": _npy(plain, data, b"\x09\x00"),
        "without a header": b"",
        "as a pickle": b"\x80\x04\x95" + data,
        "with a header longer than itself": b"\x93NUMPY\x01\x00\xff\xff{}",
        "with fewer bytes than told": _npy(plain, data[:-8]),
        "with more bytes than told": _npy(plain, data + bytes(8)),
    }
    other = _npy(plain, data)
    reason = "its header|it holds|its shape|disagree"
    return {
        name: (_raw_npz(("test.0.npy", content), ("shift.0.npy", other)), reason)
        for name, content in found.items()
    }


def _zips() -> dict[str, tuple[bytes, str]]:
    good = npz(answers(POINTS))
    first = good.index(b"PK\x01\x02")
    second = good.index(b"PK\x01\x02", first + 4)
    damaged = bytearray(good)
    damaged[60:90] = b"\xff" * 30
    bomb = _raw_npz(("test.0.npy", bytes(300 << 20)), ("shift.0.npy", bytes(300 << 20)))
    return {
        "that are no zip file": (b"\x93NUMPY" * 10, "does not end"),
        "without a byte": (b"", "has 0 bytes"),
        "that inflate to 600 MB": (bomb, "would inflate to more than"),
        "with a size that is a lie": (
            _patched(first + 24, "<I", 1 << 28, good),
            "disagree|no .npz",
        ),
        "with a damaged stream": (bytes(damaged), "no .npz file|not that of"),
        "with a member twice": (_same(), "twice"),
        "encrypted": (_patched(first + 8, "<H", 1, good), "encrypted"),
        "by another method": (
            _zip([("test.0.npy", b"x" * 200), ("shift.0.npy", b"x")], zipfile.ZIP_LZMA),
            "encrypted or compressed",
        ),
        "with both arrays in one place": (
            _patched(second + 42, "<I", 0, good),
            "no .npz file|not that of",
        ),
        "behind other words": (b"MZ" + good, "more than its members"),
    }


def _same() -> bytes:
    return _zip([("test.0.npy", b"1"), ("test.1.npy", b"2")]).replace(b"test.1", b"test.0")


def _recorded_answers() -> Iterator[Case]:
    """Answers that only scoring can judge."""
    for task, values in ((POINTS, (np.nan, np.inf, -np.inf)), (CLASSES, (7, -1, 2**62))):
        for stage in ("test", "shift"):
            for value in values:
                good = answers(task)
                good[f"{stage}.0"][-1, -1] = value
                build = _handed(npz(good), "predictions", task)
                reason = "InvalidAction: the action (holds|.* does not exist)"
                yield Case(f"{value} among the {stage} answers to {task}", build, "score", reason)
    huge = {name: np.full_like(array, 3e38) for name, array in answers(POINTS).items()}
    build = _handed(npz(huge), "predictions")
    yield Case("answers as large as floats can be", build, "score", "")


def _weights() -> Iterator[Case]:
    data = bytes(24)
    for name, (content, reason) in {**_lengths(), **_texts()}.items():
        yield Case(f"weights {name}", _handed(content, "weights"), "inspect", reason)
    for name, change in _TENSORS.items():
        header = weights()
        header["0.a"] = {**header["0.a"], **change} if change is not None else 7
        content = safetensors(header, data)
        reason = "no tensor|disagree|overlap or leave gaps|fill"
        yield Case(f"a tensor {name}", _handed(content, "weights"), "inspect", reason)
    names = ("a", "1.a", "0", "0.", "../0.a", "\x1b[2J.a", "<script>.a", "00.a", "0\x00.a", " 0.a")
    for name in names:
        header = {**weights(), name: weights()["0.a"]}
        header.pop("0.a")
        content = safetensors(header, data)
        yield Case(f"a tensor named {name!a}", _handed(content, "weights"), "inspect", "no seed")


def _lengths() -> dict[str, tuple[bytes, str]]:
    good = safetensors(weights(), bytes(24))
    return {
        "without a byte": (b"", "claims"),
        "of three bytes": (b"abc", "claims"),
        "with a header of 2**63 bytes": ((2**63).to_bytes(8, "little") + good[8:], "claims 9,223"),
        "with a header longer than the file": ((10**6).to_bytes(8, "little") + good[8:], "claims"),
        "with a header of 5 MB": (safetensors(b"{}" + b" " * (5 << 20), b""), "claims 5,242"),
        "with an empty header": (safetensors(b"", bytes(24)), "not JSON"),
        "with bytes behind them": (good + b"evil", "fill 24 of 28"),
        "with bytes missing": (good[:-1], "fill 24 of 23"),
        "as a pickle": (b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00" + bytes(99), "claims|JSON"),
        "as a zip file": (_GOOD, "claims"),
    }


def _texts() -> dict[str, tuple[bytes, str]]:
    twice = b'{"0.a":{"dtype":"F32","shape":[6],"data_offsets":[0,24]},"0.a":1}'
    texts: dict[str, tuple[Any, str]] = {
        "whose header is a list": ([1], "not a JSON object"),
        "whose header is a number": (7, "not a JSON object"),
        "whose header is no JSON": (b"{'0.a': 1}", "not JSON"),
        "whose header is in UTF-16": ("{}".encode("utf-16"), "not JSON"),
        "whose header nests": (b'{"0.a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "deeper than"),
        "with a tensor twice": (twice, "stands there twice"),
        "with NaN as a place": (b'{"0.a":{"dtype":"F32","shape":[NaN]}}', "NaN is not"),
        "with a size of 100 digits": (
            b'{"0.a":{"dtype":"F32","shape":[1' + b"0" * 99 + b"]}}",
            "beyond 64 bits",
        ),
        "with metadata that is no table": ({**weights(), "__metadata__": [1]}, "no table of texts"),
        "with metadata that nests": ({**weights(), "__metadata__": {"a": {}}}, "no table of texts"),
        "without a tensor": ({}, "fill 0 of 24|same tensors"),
    }
    return {name: (safetensors(text, bytes(24)), reason) for name, (text, reason) in texts.items()}


_TENSORS: dict[str, Any] = {
    "that is a number": None,
    "of an unknown type": {"dtype": "F128"},
    "of objects": {"dtype": "O"},
    "of a type that is a list": {"dtype": []},
    "of a type that is an object": {"dtype": {}},
    "of a wider type": {"dtype": "F64"},
    "with a size below zero": {"shape": [-2, -2]},
    "with a true size": {"shape": [True, 4]},
    "with a broken size": {"shape": [2.0, 2]},
    "with a size as text": {"shape": "22"},
    "of 2**40 numbers": {"shape": [1 << 20, 1 << 20]},
    "whose size runs over": {"shape": [1 << 30, 1 << 30, 16]},
    "of 64 axes": {"shape": [1] * 64},
    "whose end is before its beginning": {"data_offsets": [16, 0]},
    "that begins below zero": {"data_offsets": [-16, 0]},
    "that lies over another": {"data_offsets": [8, 24]},
    "that lies behind the file": {"data_offsets": [100, 116]},
    "with one place": {"data_offsets": [0]},
    "with three places": {"data_offsets": [0, 16, 16]},
    "with a broken place": {"data_offsets": [0, 16.0]},
    "with a further key": {"code": "evil"},
    "smaller than its place": {"shape": [1]},
}
