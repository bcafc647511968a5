"""What a core does in a plan of many processes, against one process alone."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest

from neurotasks.results import cores, read_results

pytestmark = pytest.mark.slow  # runs the whole suite, several times

TASKS = (
    "OrientationDecoding-v0,ImageClassificationDigits-v0,SequencePrediction-v0,CartPole-v0,"
    "EvidenceAccumulation-v0,ContinualDigits-v0"
)
WORDS = f"-m baselines run --task {TASKS} --budget smoke --device cpu --seeds 5"


def test_runner_scaling(compare, tmp_path):
    """A task of each form and library, with all its agents, at the smoke budget.

    The ratio is the efficiency per core: seconds with one process, over seconds with N times N.
    Both sides are the whole command, from the start of Python to the last result.
    """
    folders = (tmp_path / str(number) for number in itertools.count())
    workers = min(cores(), 4)

    def suite(jobs):
        def run():
            out = next(folders)
            words = [*WORDS.split(), "--jobs", str(jobs), "--out", str(out)]
            subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own code
            assert {len(result.seeds) for result in read_results(out)} == {5}

        return run

    compare(
        "runner_scaling",
        suite(workers),
        suite(1),
        target=0.8,
        rounds=3,
        scale=1.0 / workers,
        warm=False,
    )
