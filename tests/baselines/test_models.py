from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from baselines.engines import Local
from baselines.models import kept, model_of
from baselines.plan import plan
from baselines.runner import run_all
from neurotasks import load
from neurotasks.evaluate import evaluate
from neurotasks.results import read_result

pytest.importorskip("onnxruntime")

TASK = "OrientationDecoding-v0"


def runs(out, agent, seeds=2, task=TASK):
    found = plan(task=task, agent=agent, seeds=seeds, budget="smoke", device="cpu", out=out)
    return [replace(run, models=True) for run in found]


def test_a_kept_graph_scores_what_its_agent_scored(tmp_path):
    from neurotasks.onnx_agent import OnnxAgent  # noqa: PLC0415

    (run,) = runs(tmp_path, "mlp")
    (outcome,) = run_all([run], Local(1))
    agents = [OnnxAgent(kept(run.model_folder, seed)) for seed in (0, 1)]
    again = evaluate(load(TASK), agents, seeds=(0, 1), stages=["test"])["test"]
    np.testing.assert_allclose(again.raw, outcome.result.stages["test"].raw, rtol=1e-4)


def test_answers_are_kept_of_what_cannot_be_exported(tmp_path):
    (run,) = runs(tmp_path, "trivial")
    list(run_all([run], Local(1)))
    with np.load(kept(run.model_folder, 1)) as answers:
        assert set(answers) == set(load(TASK).card.evaluated)
        assert len(answers["test"]) == load(TASK).card.stages["test"].trials


def test_a_seed_without_its_file_is_done_again_and_one_with_it_is_not(tmp_path):
    (run,) = runs(tmp_path, "trivial", task="CartPole-v0")
    list(run_all([run], Local(1)))
    assert kept(run.model_folder, 0).name == "none-0"
    assert not next(iter(run_all([run], Local(1)))).fresh
    kept(run.model_folder, 0).unlink()
    assert next(iter(run_all([run], Local(1)))).fresh
    assert read_result(run.path).seeds == (0, 1)


def test_nothing_is_kept_unless_it_is_asked_for(tmp_path):
    (run,) = (replace(run, models=False) for run in runs(tmp_path, "trivial"))
    list(run_all([run], Local(1)))
    assert not run.model_folder.exists()
    task = load(TASK)
    assert model_of(task.trivial(), task, 0).kind == "npz"
