from __future__ import annotations

import pytest

from baselines.__main__ import main
from baselines.costs import cut, estimate, estimates, makespan
from baselines.plan import Run, plan
from baselines.recipe import BUDGETS
from baselines.runner import execute
from neurotasks.results import read_results


def run(tmp_path, agent, task="OrientationDecoding-v0"):
    return Run(task, agent, (0, 1, 2, 3, 4), "quick", "cpu", tmp_path)


def test_estimates_grow_with_the_budget_and_the_seeds(tmp_path):
    for agent in ("mlp", "ridge"):
        whole = [
            estimate(Run("OrientationDecoding-v0", agent, (0, 1), budget, "cpu", tmp_path))
            for budget in BUDGETS
        ]
        assert whole == sorted(whole)
    five = run(tmp_path, "mlp")
    assert estimate(five) == pytest.approx(5 * estimate(five.of((0,))))


def test_a_run_without_a_reference_counts_as_a_mean_one(tmp_path):
    unknown = run(tmp_path, "mlp", "OrientationDecodingStringer-v0")
    assert estimate(unknown) is None
    known = run(tmp_path, "mlp")
    assert estimates([unknown, known]) == [estimate(known)] * 2


def test_seeds_that_train_together_stay_together_while_others_have_work(tmp_path):
    mlp, gru = run(tmp_path, "mlp"), run(tmp_path, "gru", "SequencePrediction-v0")
    ridge = run(tmp_path, "ridge")
    jobs = cut([mlp, gru, ridge], workers=4)
    assert [job.seeds for job in jobs if job.agent == "mlp"] == [(0, 1, 2, 3, 4)]
    assert [job.seeds for job in jobs if job.agent == "ridge"] == [(s,) for s in range(5)]
    pieces = [job.seeds for job in jobs if job.agent == "gru"]
    assert len(pieces) > 1, "it is longer than one worker's share"
    assert sum(pieces, ()) == gru.seeds
    assert cut([gru], workers=1) == [gru]


def test_on_gpus_seeds_are_cut_for_gpus_alone(tmp_path):
    gru = Run("SequencePrediction-v0", "gru", (0, 1, 2, 3), "full", "auto", tmp_path)
    assert len(cut([gru], workers=16, gpus=1)) == 1
    assert len(cut([gru], workers=16, gpus=2)) == 2


def test_the_makespan_is_that_of_the_longest_first():
    assert makespan([3.0, 1.0, 1.0, 1.0], 2) == 3.0
    assert makespan([3.0, 1.0, 1.0, 1.0], 1) == 6.0
    assert makespan([], 4) == 0.0


def test_a_dry_run_shows_what_is_finished_and_what_is_not_and_runs_nothing(tmp_path, capsys):
    (trivial,) = plan(
        task="OrientationDecoding-v0",
        agent="trivial",
        seeds=1,
        budget="smoke",
        device="cpu",
        out=tmp_path,
    )
    execute(trivial)
    words = "run --task OrientationDecoding-v0 --agent [tm][rl]* --seeds 3 --budget smoke"
    assert main([*words.split(), "--device", "cpu", "--dry-run", "--out", str(tmp_path)]) == 0
    rows = {line.split()[1]: line.split()[2:] for line in capsys.readouterr().out.splitlines()[1:3]}
    assert rows["trivial"][:4] == ["0", "1", "2", "2"]
    assert rows["mlp"][:3] == ["4,000", "0", "3"]
    assert len(list(read_results(tmp_path))) == 1


def test_the_table_at_the_end_has_a_line_for_each_run(tmp_path, capsys):
    words = "run --task OrientationDecoding-v0 --agent trivial --seeds 2 --budget smoke --jobs 1"
    for state in ("", "kept"):
        assert main([*words.split(), "--out", str(tmp_path)]) == 0
        row = capsys.readouterr().out.splitlines()[-1]
        assert row.split()[:3] == ["OrientationDecoding-v0", "trivial", "2"]
        assert ("kept" in row) == (state == "kept")
