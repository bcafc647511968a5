from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest

from neurotasks.submission import child_check
from neurotasks.submission.check import Problem, problems, read_manifest, sha256
from neurotasks.submission.manifest import NAME
from neurotasks.submission.pack import pack_files


def rewrite(folder, **changes):
    told = json.loads((folder / NAME).read_text()) | changes
    (folder / NAME).write_text(json.dumps(told))


def test_nothing_is_wrong_with_what_was_packed(packed):
    assert problems(packed) == []
    assert read_manifest(packed).files == {"predictions.npz": sha256(packed / "predictions.npz")}


def test_a_problem_is_one_line_with_its_cure():
    assert str(Problem("a.onnx", "it is large", "make it small")) == (
        "a.onnx: it is large; make it small"
    )


def test_several_problems_are_told_at_once(packed):
    rewrite(packed, card="0" * 16, task="OrientationDecoding-v0")
    (packed / "more.txt").touch()
    (packed / "predictions.npz").write_bytes(b"x")
    found = " ".join(map(str, problems(packed)))
    for part in ("'more.txt': it belongs", "is not the file", "under card 0000", "is a short name"):
        assert part in found


def test_a_claim_of_a_stage_that_the_task_lacks(tmp_path, manifest):
    task = "neurotasks/OrientationDecodingStringer-v0"
    pack_files(
        manifest(task=task, claimed={"shift": (1.0,)}), {"predictions.npz": b""}, tmp_path / "in"
    )
    assert "has no stage ['shift']" in " ".join(map(str, problems(tmp_path / "in")))


def test_what_cannot_be_read_is_a_problem(packed, monkeypatch):
    def refuse(*_words):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("neurotasks.submission.check.sha256", refuse)
    (problem,) = problems(packed)
    assert "it cannot be read (Permission denied)" in str(problem)


def test_the_child_of_a_sandbox_tells_the_same(packed, monkeypatch, capsys):
    (packed / "more.txt").touch()
    request = io.TextIOWrapper(io.BytesIO(json.dumps({"folder": str(packed)}).encode()))
    monkeypatch.setattr(sys, "stdin", request)
    child_check.main()
    (told,) = json.loads(capsys.readouterr().out)["problems"]
    assert told == {
        "where": "'more.txt'",
        "what": "it belongs to no submission",
        "cure": "delete it",
    }


def test_nothing_of_a_submission_is_imported(packed):
    for name in ("numpy.py", "json.py", "neurotasks.py"):
        (packed / name).write_text("raise SystemExit('it ran')")
    code = (
        "from pathlib import Path; from neurotasks.submission.check import problems\n"
        "print(len(problems(Path('.'))))"
    )
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-P", "-c", code], cwd=packed, capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("3", "")


@pytest.mark.parametrize("kind", ["onnx", "weights"])
def test_the_content_of_each_format_is_inspected(tmp_path, manifest, kind):
    pytest.importorskip("onnx")
    name = {"onnx": "model.onnx", "weights": "weights.safetensors"}[kind]
    pack_files(manifest(kind), {name: b"nothing"}, tmp_path / "in")
    assert problems(tmp_path / "in")[0].where.startswith(name)
