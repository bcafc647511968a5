from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest

from neurotasks.errors import CorruptResult, UnwritableFolder
from neurotasks.results import (
    Result,
    StageResult,
    read_result,
    read_results,
    write_atomically,
    write_result,
)

RESULT = Result(
    task="neurotasks/OrientationDecoding-v0",
    card="0123456789abcdef",
    agent="mlp",
    config={"width": 8},
    seeds=(0, 1),
    stages={"test": StageResult((5.0, 6.0), (0.9, 0.8), {"matrix": [[1.0]]})},
    parameters=10,
    samples=100,
    flops=1000,
    seconds=1.5,
    cpu_seconds=1.0,
    energy_kwh=1e-6,
    energy_method="estimate",
    hardware="a machine",
    versions={"python": "3.11"},
    commit="abc",
)


def test_a_result_survives_the_way_to_disk_and_back(tmp_path):
    path = tmp_path / "deep" / "mlp.json"
    write_result(RESULT, path)
    assert read_result(path) == RESULT
    assert list(read_results(tmp_path)) == [RESULT]
    assert [p.name for p in path.parent.iterdir()] == ["mlp.json"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        (RESULT.to_json()[:200], "not JSON"),
        ("[1, 2]", "schema is not 2"),
        (json.dumps({**json.loads(RESULT.to_json()), "schema": 99}), "schema is not 2"),
        (json.dumps({**json.loads(RESULT.to_json()), "extra": 1}), "fields differ by .'extra'"),
        (json.dumps({**json.loads(RESULT.to_json()), "stages": {"test": 1}}), "do not hold raw"),
        (json.dumps({**json.loads(RESULT.to_json()), "stages": 7}), "do not hold raw"),
    ],
)
def test_a_corrupt_file_is_named_with_the_cure(tmp_path, text, message):
    path = tmp_path / "mlp.json"
    path.write_text(text)
    with pytest.raises(CorruptResult, match=message) as caught:
        read_result(path)
    assert str(path) in str(caught.value)
    assert "run the baseline again" in str(caught.value)


def test_bytes_that_are_no_text_are_corrupt(tmp_path):
    path = tmp_path / "mlp.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CorruptResult, match="is no result"):
        read_result(path)


def test_numbers_that_json_does_not_know_are_not_written(tmp_path):
    broken = replace(RESULT, seconds=float("nan"))
    with pytest.raises(ValueError, match="JSON compliant"):
        write_result(broken, tmp_path / "mlp.json")
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UnwritableFolder, match="choose another folder"):
        write_result(RESULT, tmp_path / "file" / "mlp.json")


def test_a_kill_while_writing_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "mlp.json"
    write_result(RESULT, path)
    code = f"""
        import os, signal
        from pathlib import Path
        from neurotasks import results
        os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        results.write_atomically(Path({str(path)!r}), b"half")
    """
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", textwrap.dedent(code)], check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert read_result(path) == RESULT


def test_a_failed_write_leaves_no_temporary_file(tmp_path, monkeypatch):
    def refuse(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "x", b"data")
    assert list(tmp_path.iterdir()) == []
