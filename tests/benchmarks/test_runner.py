"""What a core does in a plan of many processes, against one process alone."""

from __future__ import annotations

import itertools

import pytest

from baselines.engines import Local
from baselines.plan import plan
from baselines.runner import run_all
from neurotasks import cards
from neurotasks.results import cores

pytestmark = pytest.mark.slow  # runs the whole suite, several times

SEEDS = 5


def test_runner_scaling(compare, tmp_path, monkeypatch):
    """All tasks that work offline, with all their agents, at the smoke budget.

    The ratio is the efficiency per core: seconds with one process, over seconds with N times N.
    Both sides start their processes anew and load every library.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folders = (tmp_path / str(number) for number in itertools.count())
    offline = {card.label for card in cards() if card.source is None}
    workers = min(cores(), 4)

    def suite(jobs):
        def run():
            out = next(folders)
            runs = plan(task="*", agent="*", seeds=SEEDS, budget="smoke", device="cpu", out=out)
            outcomes = list(run_all([r for r in runs if r.task in offline], Local(jobs)))
            assert not [outcome for outcome in outcomes if outcome.error]

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
