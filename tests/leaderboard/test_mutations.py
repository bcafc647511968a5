"""Random changes to valid submissions: refused with a reason or scored, never a crash."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import Any

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leaderboard.sandbox import Limits
from leaderboard.scoring import score
from neurotasks.errors import CorruptSubmission
from neurotasks.submission.archive import pack, unpack
from neurotasks.submission.check import problems, read_manifest
from tests.leaderboard.attacks import (
    CLASSES,
    POINTS,
    answers,
    classes,
    constant,
    hand_in,
    npz,
    points,
    record,
    safetensors,
    weights,
    write,
)

FEW, MANY = 12, 1112  # examples for each of the nine ways: about 100, about 10,000
CALM = settings(
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
NUMBERS = st.sampled_from((0, 1, -1, 2, 7, 127, 128, 255, 2**15, 2**31 - 1, 2**31, 2**32 - 1))
HUGE = st.sampled_from((2**53, 2**62, 2**63 - 1, -(2**63), 2**63, 2**64, 10**30, 10**400))
LETTERS = st.text(st.characters(codec=None), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | HUGE | st.floats() | LETTERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LETTERS, inner, max_size=3),
    max_leaves=6,
)
GOOD_GRAPHS = {
    POINTS: points(),
    CLASSES: classes(
        [
            onnx.helper.make_node("ArgMax", ["observation"], ["best"], axis=2, keepdims=0),
            constant("one", 1),
            onnx.helper.make_node("Min", ["best", "one"], ["action"]),
            onnx.helper.make_node("Identity", ["state"], ["next_state"]),
        ],
        memory=True,
    ),
}


def test_what_is_changed_is_valid(tmp_path):
    for number, (task, graph) in enumerate(GOOD_GRAPHS.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        hand_in(folder, graph.SerializeToString(), task=task)
        assert problems(folder) == []
    for format_, content in (("predictions", npz(answers(POINTS))), ("weights", WEIGHTS)):
        folder = tmp_path / format_
        folder.mkdir()
        hand_in(folder, content, format_)
        assert problems(folder) == []


WEIGHTS = safetensors(weights(), bytes(24))


@st.composite
def bitten(draw: Any, content: bytes, *, tail: int = 0) -> bytes:
    """Return bytes with a few changes, in the last `tail` of them if that is given."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        first = max(len(changed) - tail, 0) if tail else 0
        place = draw(st.integers(first, max(len(changed) - 1, first)))
        match draw(st.sampled_from(("flip", "cut", "put", "copy", "number"))):
            case "flip" if place < len(changed):
                changed[place] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del changed[place : place + draw(st.integers(1, 64))]
            case "put":
                changed[place:place] = draw(st.binary(max_size=16))
            case "copy":
                length = draw(st.integers(1, 64))
                changed[place:place] = changed[first : first + length]
            case _:
                width = draw(st.sampled_from((1, 2, 4, 8)))
                number = draw(NUMBERS | HUGE) % (1 << (8 * width))
                changed[place : place + width] = number.to_bytes(width, "little")
    return bytes(changed)


@st.composite
def rewritten(draw: Any, value: Any) -> Any:
    """Return JSON with one value put in another's place, taken away, or under another key."""
    if isinstance(value, dict) and value and draw(st.integers(0, 3)):
        name = draw(st.sampled_from(sorted(value)))
        rest = {key: held for key, held in value.items() if key != name}
        match draw(st.sampled_from(("inside", "inside", "inside", "rename", "delete"))):
            case "inside":
                return {**rest, name: draw(rewritten(value[name]))}
            case "rename":
                return {**rest, draw(LETTERS): value[name]}
            case _:
                return rest
    if isinstance(value, list) and value and draw(st.booleans()):
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], draw(rewritten(value[place])), *value[place + 1 :]]
    return draw(VALUES)


@st.composite
def refilled(draw: Any, content: bytes) -> bytes:
    """Return a graph with changes to fields of its messages, wherever they are."""
    model = onnx.ModelProto.FromString(content)
    for _ in range(draw(st.integers(1, 3))):
        message = model
        while True:
            fields = message.ListFields()
            if not fields:
                break
            kind, value = draw(st.sampled_from(fields))
            if kind.cpp_type != kind.CPPTYPE_MESSAGE or draw(st.integers(0, 4)) == 0:
                change(draw, message, kind, value)
                break
            message = value[draw(st.integers(0, len(value) - 1))] if kind.is_repeated else value
    return bytes(model.SerializeToString())


def change(draw: Any, message: Any, kind: Any, value: Any) -> None:
    """Change one field of a message."""
    if kind.cpp_type == kind.CPPTYPE_MESSAGE or draw(st.integers(0, 3)) == 0:
        if kind.is_repeated and draw(st.booleans()):
            value.extend([*value] * draw(st.integers(1, 3)))
        else:
            message.ClearField(kind.name)
        return
    new = {
        kind.CPPTYPE_STRING: st.text(max_size=12),
        kind.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
        kind.CPPTYPE_ENUM: st.integers(0, 40),
        kind.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 300),
    }.get(kind.cpp_type, st.floats(width=32))
    if kind.type == kind.TYPE_BYTES:
        new = st.binary(max_size=64)
    told = draw(new)
    if kind.is_repeated:
        value[draw(st.integers(0, len(value) - 1))] = told
    else:
        setattr(message, kind.name, told)


def changed_manifest(data: Any, folder: Path) -> None:
    files = {"model.onnx": points().SerializeToString()}
    told = json.dumps(data.draw(rewritten(record(POINTS, "onnx", files))))
    write(folder, told, files)


def bitten_manifest(data: Any, folder: Path) -> None:
    files = {"model.onnx": points().SerializeToString()}
    write(folder, data.draw(bitten(json.dumps(record(POINTS, "onnx", files)).encode())), files)


def bitten_graph(data: Any, folder: Path) -> None:
    task = data.draw(st.sampled_from(sorted(GOOD_GRAPHS)))
    hand_in(folder, data.draw(bitten(GOOD_GRAPHS[task].SerializeToString())), task=task)


def refilled_graph(data: Any, folder: Path) -> None:
    task = data.draw(st.sampled_from(sorted(GOOD_GRAPHS)))
    hand_in(folder, data.draw(refilled(GOOD_GRAPHS[task].SerializeToString())), task=task)


def bitten_weights(data: Any, folder: Path) -> None:
    hand_in(folder, data.draw(bitten(WEIGHTS)), "weights")


def changed_weights(data: Any, folder: Path) -> None:
    header = json.dumps(data.draw(rewritten(weights()))).encode()
    hand_in(folder, safetensors(header, bytes(24)), "weights")


def bitten_predictions(data: Any, folder: Path) -> None:
    tail = data.draw(st.sampled_from((0, 150)))  # the directory, which stands at the end
    hand_in(folder, data.draw(bitten(npz(answers(POINTS)), tail=tail)), "predictions")


INSPECTED = (
    changed_manifest,
    bitten_manifest,
    bitten_graph,
    refilled_graph,
    bitten_weights,
    changed_weights,
    bitten_predictions,
)


def inspect(data: Any, build: Any) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(data, folder)
        found = problems(folder)
        assert all(str(one).isprintable() and len(str(one)) < 20_000 for one in found)


def unpacked(data: Any, tail: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("in", "out"):
            (folder / part).mkdir()
        hand_in(folder / "in", points().SerializeToString())
        packed = io.BytesIO()
        pack(folder / "in", packed)
        (folder / "upload.zip").write_bytes(data.draw(bitten(packed.getvalue(), tail=tail)))
        try:
            unpack(folder / "upload.zip", folder / "out", 1 << 20)
        except CorruptSubmission as error:
            assert str(error).isprintable()  # noqa: PT017 - whether it is raised is chance
        assert {path.name for path in folder.iterdir()} == {"in", "out", "upload.zip"}
        assert all(path.is_file() for path in (folder / "out").iterdir())


@pytest.mark.parametrize("build", INSPECTED)
@settings(CALM, max_examples=FEW)
@given(data=st.data())
def test_changes_are_inspected(build, data):
    inspect(data, build)


@pytest.mark.parametrize("tail", [0, 200], ids=["anywhere", "in the directory"])
@settings(CALM, max_examples=FEW)
@given(data=st.data())
def test_changed_archives_are_unpacked_or_refused(tail, data):
    unpacked(data, tail)


@pytest.mark.slow
@pytest.mark.parametrize("build", INSPECTED)
@settings(CALM, max_examples=MANY)
@given(data=st.data())
def test_many_changes_are_inspected(build, data):
    inspect(data, build)


@pytest.mark.slow
@pytest.mark.parametrize("tail", [0, 200], ids=["anywhere", "in the directory"])
@settings(CALM, max_examples=MANY)
@given(data=st.data())
def test_many_changed_archives_are_unpacked_or_refused(tail, data):
    unpacked(data, tail)


def score_if_good(data: Any, build: Any) -> None:
    """Score what the inspection lets through."""
    limits = Limits(memory=1 << 30, cpu_seconds=5, wall_seconds=60.0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        build(data, folder)
        if not problems(folder):
            scored = score(folder, read_manifest(folder), "secret", limits)
            assert bool(scored.reason) != bool(scored.stages)
            assert scored.reason.isprintable()


SCORED = (bitten_graph, refilled_graph, bitten_predictions)


@pytest.mark.parametrize("build", SCORED)
@settings(CALM, max_examples=3)
@given(data=st.data())
def test_changes_are_scored(build, data):
    score_if_good(data, build)


@pytest.mark.slow
@pytest.mark.parametrize("build", SCORED)
@settings(CALM, max_examples=150)
@given(data=st.data())
def test_many_changes_are_scored(build, data):
    score_if_good(data, build)
