from __future__ import annotations

import json

import numpy as np
import pytest

from neurotasks import load
from neurotasks.errors import CorruptSubmission, InvalidAction, UnwritableFolder
from neurotasks.evaluate import evaluate
from neurotasks.results import Result, write_result
from neurotasks.submission.check import problems
from neurotasks.submission.pack import Words, pack_agents, pack_files, pack_run

POINTS = "neurotasks/OrientationDecoding-v0"
WORDS = Words(agent="tested", description="A\nB", link="https://example.org", tuning_trials=3)


def result(path, seeds=(0, 1)):
    task = load(POINTS)
    stages = evaluate(task, [task.trivial()] * len(seeds), seeds=seeds)
    told = {
        "task": task.card.id, "card": task.card.hash, "agent": "trivial", "config": {"width": 4},
        "seeds": seeds, "stages": stages, "parameters": 0, "samples": 10, "flops": 0,
        "seconds": 1.0, "cpu_seconds": 1.0, "energy_kwh": 0.0, "energy_method": "none",
        "hardware": "Test processor", "versions": {"python": "3.11"}, "commit": "0" * 40,
        "curves": {},
    }  # fmt: skip
    write_result(Result(**told), path)
    return stages


def keep(path, seeds=(0, 1)):
    task, folder = load(POINTS), path.parent / "models" / path.stem
    folder.mkdir(parents=True)
    for seed in seeds:
        batches = {stage: task.sample(4000, seed, stage) for stage in task.card.evaluated}
        arrays = {stage: task.trivial().act(batch.x, None)[0] for stage, batch in batches.items()}
        np.savez(folder / f"answers-{seed}.npz", **arrays)


def test_a_run_is_packed_with_all_that_is_known_of_it(tmp_path):
    path = tmp_path / "run" / "trivial.json"
    stages = result(path)
    keep(path)
    manifest = pack_run(path, tmp_path / "out", WORDS)
    assert problems(tmp_path / "out") == []
    assert (manifest.agent, manifest.format, manifest.seeds) == ("tested", "predictions", (0, 1))
    assert manifest.claimed["test"] == stages["test"].raw
    assert (manifest.description, manifest.tuning_trials) == ("A\nB", 3)
    assert pack_run(path, tmp_path / "more").agent == "trivial"


def test_graphs_are_taken_before_answers(tmp_path):
    path = tmp_path / "run" / "trivial.json"
    result(path)
    keep(path)
    for seed in (0, 1):
        (path.parent / "models" / "trivial" / f"model-{seed}.onnx").write_bytes(b"graph")
    assert sorted(pack_run(path, tmp_path / "out").files) == ["model-0.onnx", "model-1.onnx"]


def test_a_run_that_kept_nothing_says_how_to_keep_it(tmp_path):
    result(tmp_path / "trivial.json")
    with pytest.raises(CorruptSubmission, match="python -m baselines run --models"):
        pack_run(tmp_path / "trivial.json", tmp_path / "out")


def test_any_agents_are_packed_as_their_answers(tmp_path):
    task = load(POINTS)
    facts = {"samples": 12, "parameters": 7}
    out = tmp_path / "out"
    manifest = pack_agents(POINTS, [task.trivial()], out, seeds=(5,), words=WORDS, facts=facts)
    assert problems(out) == []
    assert (manifest.samples, manifest.parameters, manifest.link) == (12, 7, WORDS.link)
    again = pack_agents(POINTS, [task.trivial()], tmp_path / "2", seeds=(5,), words=WORDS)
    assert again.files == manifest.files, "the same answers are the same file"


class Odd:
    def __init__(self, answer):
        self.answer = answer

    def act(self, observation, _state):
        return np.full((*observation.shape[:2], 2), self.answer), None


@pytest.mark.parametrize("answer", [np.nan, "text", None])
def test_answers_that_are_none_are_not_packed(tmp_path, answer):
    with pytest.raises(InvalidAction):
        pack_agents(POINTS, [Odd(answer)], tmp_path / "out", seeds=(0,), words=WORDS)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_packed_says_why(tmp_path):
    agents = [load(POINTS).trivial()]
    with pytest.raises(CorruptSubmission, match="export the agent as an ONNX graph"):
        pack_agents("CartPole-v0", agents, tmp_path / "out", seeds=(0,), words=WORDS)
    with pytest.raises(CorruptSubmission, match="1 agents for 2 seeds"):
        pack_agents(POINTS, agents, tmp_path / "out", seeds=(0, 1), words=WORDS)
    with pytest.raises(CorruptSubmission, match="'agent' is ''"):
        pack_agents(POINTS, agents, tmp_path / "out", seeds=(0,), words=Words())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_written_whole_or_not_at_all(tmp_path, manifest):
    (tmp_path / "file").touch()
    with pytest.raises(UnwritableFolder, match="is there already"):
        pack_files(manifest(), {"predictions.npz": b""}, tmp_path)
    with pytest.raises(UnwritableFolder, match="cannot write"):
        pack_files(manifest(), {"predictions.npz": b""}, tmp_path / "file" / "out")
    with pytest.raises(CorruptSubmission, match="'files' must be predictions"):
        pack_files(manifest(), {"evil.py": b""}, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    written = pack_files(manifest(), {"predictions.npz": b"x"}, tmp_path / "deep" / "out")
    assert json.loads((tmp_path / "deep" / "out" / "manifest.json").read_text())["files"] == dict(
        written.files
    )
