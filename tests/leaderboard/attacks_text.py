"""Attacks on manifests and on the folder itself."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.leaderboard.attacks import CONTROL, POINTS, Case, hand_in, points, record, write

_LINES = ("task", "agent", "hardware", "energy_method", "description", "commit", "link")
_COUNTS = ("parameters", "samples", "flops", "tuning_trials")
_AMOUNTS = ("seconds", "cpu_seconds", "energy_kwh")
_MAPPINGS = ("config", "versions", "files", "claimed", "architecture")

_LETTERS = {
    "an escape sequence of terminals": "mlp\x1b[2J",
    "a reversal of the direction": "mlp\u202egpj.exe",
    "a letter of no width": "ml\u200bp",
    "a NUL": "mlp\0x",
    "half a surrogate pair": "\ud800",
    "a control character beyond ASCII": "mlp\x85",
    "a million letters": "m" * 900_000,
    "a number instead of text": 7,
}
_NUMBERS = {
    "below zero": -1,
    "true instead of a number": True,
    "text instead of a number": "1",
    "NaN": float("nan"),
    "infinity": float("inf"),
    "a list instead of a number": [1],
    "beyond all bounds": 10**18 * 9 + 10**17 * 9,
    "of 400 digits": 10**400,
}
_NAMES = {
    "in letters of two alphabets": "\u041clp",
    "in letters of full width": "\uff4d\uff4c\uff50",
    "under a heap of marks": "m" + "\u0301" * 20,
    "with a space before it": " mlp",
    "of two lines": "mlp\nverified",
    "of spaces": "   ",
    "empty": "",
}
_LINKS = (
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    'https://example.org/"onmouseover="alert(1)',
    "https://example.org/<script>",
    "https://user@example.org/",
    "file:///etc/passwd",
    "//example.org",
    "https://example.org/a b",
    "https://ex\u0430mple.org/",
)
_TASKS = (
    "neurotasks/Nothing-v0",
    "OrientationDecoding-v0",  # a second name of the same task would be a second table
    "../../etc/passwd",
    "'; DROP TABLE submissions; --",
    "<script>alert(1)</script>",
    "neurotasks/OrientationDecoding-v0\0",
)
_FURTHER = ("evil.py", "sitecustomize.py", "model.pt", "model.pt2", "agent.zip", "agent.pkl",
            "libevil.so", "model.onnx.data", ".hidden", "a\nb", "a\u202eb", "\udcff")  # fmt: skip
_SEEDS = {
    "none": [],
    "twice": [0, 0],
    "below zero": [-1],
    "beyond 63 bits": [2**63],
    "a fraction": [0.5],
    "true": [True],
    "as text with SQL": ["0; DROP TABLE events"],
    "no list": 0,
    "ten thousand": list(range(10_000)),
    "a path": ["../0"],
}


def cases() -> Iterator[Case]:
    """Yield all attacks of this file."""
    yield from _fields()
    yield from _kinds()
    yield from _values()
    yield from _documents()
    yield from _folders()


def _changed(**changes: Any) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        files = {"model.onnx": points().SerializeToString()}
        write(folder, record(POINTS, "onnx", files, **changes), files)

    return build


def _raw(edit: Callable[[str], str | bytes]) -> Callable[[Path], None]:
    """Return what writes a manifest as edited text."""

    def build(folder: Path) -> None:
        files = {"model.onnx": points().SerializeToString()}
        write(folder, edit(json.dumps(record(POINTS, "onnx", files))), files)

    return build


def _without(name: str) -> Callable[[Path], None]:
    def edit(text: str) -> str:
        told = json.loads(text)
        del told[name]
        return json.dumps(told)

    return _raw(edit)


def _fields() -> Iterator[Case]:
    for name in record(POINTS, "onnx", {}):
        missing = "schema" if name == "schema" else f"'{name}' is missing"
        yield Case(f"manifest without {name}", _without(name), "inspect", missing)
        nothing = "schema" if name == "schema" else f"'{name}' is None; it must be"
        yield Case(f"manifest with null as {name}", _changed(**{name: None}), "inspect", nothing)
    yield Case(
        "manifest with a field of its own", _changed(rank=1), "inspect", "'rank' is no field"
    )
    strange = {f"\x1b[{k}m<script>": k for k in range(5000)}
    yield Case("manifest with 5000 strange fields", _changed(**strange), "inspect", "is no field")


def _kinds() -> Iterator[Case]:
    for name in _LINES:
        for what, value in _LETTERS.items():
            reason = "surrogate" if what.startswith("half") else f"'{name}' is .*; it must be"
            yield Case(f"{name} with {what}", _changed(**{name: value}), "inspect", reason)
    for name in (*_COUNTS, *_AMOUNTS):
        for what, value in _NUMBERS.items():
            reason = f"'{name}' is .*; it must be|NaN is not|Infinity is not|beyond 64 bits"
            yield Case(f"{name} {what}", _changed(**{name: value}), "inspect", reason)


def _values() -> Iterator[Case]:
    for what, value in _NAMES.items():
        yield Case(f"agent {what}", _changed(agent=value), "inspect", "'agent' is .* one alphabet")
    for link in _LINKS:
        yield Case(f"link {link!a}", _changed(link=link), "inspect", "'link' is .* plain address")
    for task in _TASKS:
        yield Case(f"task {task!a}", _changed(task=task), "inspect", "no task|short name|'task' is")
    for what, seeds in _SEEDS.items():
        yield Case(f"seeds {what}", _changed(seeds=seeds), "inspect", "'seeds' is|64 bits")
    yield from _structures()
    yield from _contradictions()


def _structures() -> Iterator[Case]:
    for name in _MAPPINGS:
        yield Case(f"{name} of a thousand levels", _raw(_deep(name)), "inspect", "deeper than 32")
        yield Case(f"{name} with a key twice", _raw(_twice(name)), "inspect", "'k' stands .* twice")
        half = _changed(**{name: {"\udfff": "x"}})
        yield Case(f"{name} with half a pair as key", half, "inspect", "half a surrogate")
        large = _changed(**{name: {f"k{k}": "v" for k in range(30_000)}})
        yield Case(f"{name} of 30000 keys", large, "inspect", f"'{name}' is")


def _contradictions() -> Iterator[Case]:
    found = {
        "card of another version": ({"card": "0" * 16}, "under card 0000"),
        "card with SQL": ({"card": "' OR 1=1; --aaaa"}, "'card' is"),
        "format of torch": ({"format": "pt2"}, "'format' is"),
        "format as a list": ({"format": ["onnx"]}, "'format' is"),
        "format of another file": ({"format": "weights"}, "'files' must be"),
        "schema of tomorrow": ({"schema": 2}, "schema 1"),
        "schema true": ({"schema": True}, "schema 1"),
        "architecture beside a graph": (
            {"architecture": {"name": "mlp", "width": 4}},
            "'architecture' belongs to",
        ),
        "architecture with a path": (
            {"architecture": {"name": "mlp", "width": 4, "code": "evil.py"}},
            "'architecture' is",
        ),
        "architecture wider than all": (
            {"architecture": {"name": "mlp", "width": 10**15}},
            "'architecture' is",
        ),
        "claims of a private stage": ({"claimed": {"private": [1.0]}}, "'claimed' is"),
        "claims for another number of seeds": ({"claimed": {"test": [1, 2]}}, "needs one for each"),
        "claims of text": ({"claimed": {"test": ["<script>"]}}, "'claimed' is"),
        "hash in capitals": ({"files": {"model.onnx": "A" * 64}}, "'files' is"),
        "hash of another file": (
            {"files": {"model.onnx": "0" * 64}},
            "not the file that was packed",
        ),
        "file outside": ({"files": {"../model.onnx": "0" * 64}}, "'files' must be"),
        "file at the root": ({"files": {"/etc/passwd": "0" * 64}}, "'files' must be"),
        "configuration with a control character": ({"config": {"a": "\x9b2J"}}, "'config' is"),
        "versions that are numbers": ({"versions": {"numpy": 2}}, "'versions' is"),
        "external data as text": ({"external_data": "no"}, "'external_data' is"),
    }
    for name, (changes, reason) in found.items():
        yield Case(name, _changed(**changes), "inspect", reason)


def _deep(name: str) -> Callable[[str], str]:
    return lambda text: text.replace(
        f'"{name}": ', f'"{name}": {"[" * 1000}1{"]" * 1000}, "x": ', 1
    )


def _twice(name: str) -> Callable[[str], str]:
    return lambda text: text.replace(f'"{name}": ', f'"{name}": {{"k": 1, "k": 2}}, "x": ', 1)


def _documents() -> Iterator[Case]:
    edits: dict[str, tuple[Callable[[str], str | bytes], str]] = {
        "empty": (lambda _: "", "is not JSON"),
        "a list": (lambda text: f"[{text}]", "schema 1"),
        "cut off": (lambda text: text[:-20], "is not JSON"),
        "followed by another": (lambda text: text + text, "is not JSON"),
        "in UTF-16": (lambda text: text.encode("utf-16"), "not UTF-8"),
        "behind a mark of its encoding": (lambda text: "\ufeff" + text, "is not JSON"),
        "with bytes that are no text": (lambda text: text.encode()[:-2] + b"\xff}", "not UTF-8"),
        "of a hundred thousand brackets": (lambda _: "[" * 100_000, "deeper than 32"),
        "of a hundred thousand objects": (lambda _: '{"a":' * 100_000, "deeper than 32"),
        "larger than a megabyte": (lambda text: text + " " * (1 << 20), "larger than"),
        "with a number of 100000 digits": (lambda _: "1" * 100_000, "is not JSON"),
        "with a number beyond floats": (
            lambda text: text.replace("1.25", "1e999"),
            "beyond what a float",
        ),
        "with a field twice": (
            lambda text: text.replace('"agent"', '"agent": "a", "agent"', 1),
            "'agent' stands there twice",
        ),
        "as a pickle": (lambda _: b"\x80\x04\x95\x00\x00", "not UTF-8"),
        "as Python": (lambda _: "__import__('os').system('true')", "is not JSON"),
        "as YAML": (lambda _: "!!python/object/apply:os.system ['true']", "is not JSON"),
    }
    for name, (edit, reason) in edits.items():
        yield Case(f"manifest {name}", _raw(edit), "inspect", reason)


def _folders() -> Iterator[Case]:
    for name in _FURTHER:
        yield Case(
            f"a further file {name!a}", _further(name), "inspect", "belongs to no submission"
        )
    for name in ("manifest.json", "model.onnx"):
        for what, spoil in _SPOILS.items():
            reason = "no plain file" if what != "a hard link" else "a link to another file"
            yield Case(f"{name} as {what}", _spoiled(name, spoil), "inspect", reason)
        yield Case(f"{name} missing", _spoiled(name, Path.unlink), "inspect", "missing|there is no")
    yield Case("a folder in the folder", _spoiled("more", Path.mkdir), "inspect", "no plain file")
    yield Case("a folder that is not there", Path.rmdir, "inspect", "no such folder")
    yield Case("2000 files", _many, "inspect", "more than 1,100 files")
    yield Case("a file of a terabyte without content", _sparse, "inspect", "has 1,099,5")
    yield Case("a file changed after packing", _late, "inspect", "not the file that was packed")
    yield Case("predictions for a control task", _control, "inspect", "answer no control task")


def _further(name: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        hand_in(folder, points().SerializeToString())
        (folder / name).write_bytes(b"x")

    return build


def _spoiled(name: str, spoil: Callable[[Path], object]) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        hand_in(folder, points().SerializeToString())
        spoil(folder / name)

    return build


def _symbolic(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nowhere/at/all")


def _circular(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _hard(path: Path) -> None:
    other = path.parent.parent / "secret"
    path.rename(other)
    path.hardlink_to(other)


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _socket(path: Path) -> None:
    path.unlink()
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's whole path must be short
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path.name)
    os.chdir(here)


_SPOILS = {
    "a symbolic link": _symbolic,
    "a link to nothing": _dangling,
    "a link to itself": _circular,
    "a hard link": _hard,
    "a pipe": _pipe,
    "a folder": _folder,
    "a socket": _socket,
}


def _many(folder: Path) -> None:
    hand_in(folder, points().SerializeToString())
    for number in range(2000):
        (folder / f"{number}.bin").touch()


def _sparse(folder: Path) -> None:
    hand_in(folder, points().SerializeToString())
    os.truncate(folder / "model.onnx", 1 << 40)


def _late(folder: Path) -> None:
    hand_in(folder, points().SerializeToString())
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"\0")


def _control(folder: Path) -> None:
    hand_in(folder, b"", "predictions", CONTROL)
