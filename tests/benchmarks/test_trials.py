"""Perceptual decision making against NeuroGym's task of the same timing and inputs.

NeuroGym needs an older Gymnasium, so that each side is a process in its own environment. Both stay
on one and the same core and take turns; each reports the CPU seconds that a unit of its work took.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # imports torch in another process

ROUNDS = 21
PEERS = Path(__file__).parent / "peers"
ROOT = PEERS.parents[2]
PYTHON = ROOT / ".peers" / "neurogym" / "bin" / "python"


@contextmanager
def side(python, script, *words):
    """Yield a function that has a side do its work and returns the seconds for a unit."""
    core = max(os.sched_getaffinity(0))
    command = [str(python), str(PEERS / script), *map(str, words), str(core)]
    inside = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(  # noqa: S603 - our own scripts
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=inside
    ) as process:

        def work():
            process.stdin.write("\n")
            process.stdin.flush()
            return float(process.stdout.readline())

        yield work
        process.stdin.close()


@pytest.mark.parametrize(
    ("name", "ours", "theirs", "target"),
    [
        ("trials_batch_16", ("batch", 16), ("batch", 16), 60),
        ("trials_batch_256", ("batch", 256), ("batch", 256), 100),
        ("trials_step_1024", ("step", 1024), ("step", 1), 50),
        ("trials_step_1", ("step", 1), ("step", 1), 1),
    ],
)
def test_trials(benchmark, name, ours, theirs, target):
    if not PYTHON.exists():
        pytest.skip("NeuroGym is not installed; `make bench-peers` installs it")
    with (
        side(sys.executable, "neurotasks_side.py", *ours) as our_work,
        side(PYTHON, "neurogym_side.py", *theirs) as their_work,
    ):
        pairs = []
        benchmark.pedantic(lambda: pairs.append((their_work(), our_work())), rounds=ROUNDS)
    ratio = min(their for their, _ in pairs) / min(our for _, our in pairs)
    low, _, high = statistics.quantiles([their / our for their, our in pairs], n=4)
    benchmark.extra_info.update(
        name=name,
        ratio=ratio,
        target=target,
        spread=[low, high],
        units_per_second=[1 / statistics.median(column) for column in zip(*pairs, strict=True)],
    )
