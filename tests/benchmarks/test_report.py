from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPORT = Path(__file__).with_name("report.py")


def measured(**ratios):
    rows = [
        {
            "fullname": f"test_{name}",
            "extra_info": {"name": name, "ratio": ratio, "target": 2.0, "spread": [ratio, ratio]},
        }
        for name, ratio in ratios.items()
    ]
    return {"benchmarks": [*rows, {"fullname": "test_plain", "extra_info": {}}]}


@pytest.fixture
def report(tmp_path):
    """Return a function that reports ratios against committed ones."""

    def run(*words, committed, **ratios):
        (tmp_path / "measured.json").write_text(json.dumps(measured(**ratios)))
        (tmp_path / "committed.json").write_text(json.dumps(committed))
        line = [sys.executable, str(REPORT), "measured.json", *words]
        return subprocess.run(  # noqa: S603 - our own code
            line, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    return run


AGAINST = ("--against", "committed.json")


def test_a_short_check_passes_over_what_it_does_not_measure(report):
    done = report(*AGAINST, committed={"short": 1.0, "long": 9.0}, short=0.9)
    assert done.returncode == 0, done.stderr
    assert "MISSES its target" in done.stdout
    assert "long" not in done.stdout


def test_a_whole_run_says_which_long_one_has_fallen_or_is_absent(report, tmp_path):
    words = (*AGAINST, "--whole", "--again", "again.txt")
    done = report(*words, committed={"short": 1.0, "long": 9.0, "gone": 1.0}, short=1.0, long=5.9)
    assert done.returncode == 1
    assert "HAS FALLEN by more than 1.5 x" in done.stdout.splitlines()[2]
    assert "not measured: gone;" in done.stdout
    assert (tmp_path / "again.txt").read_text() == "test_long"


def test_the_lower_ratio_is_kept_and_what_was_not_measured_stays(report, tmp_path):
    done = report("--commit", "committed.json", committed={"a": 1.0, "b": 2.0}, a=1.5, c=8.7654)
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "committed.json").read_text())
    assert kept == {"a": 1.0, "b": 2.0, "c": 8.77}
