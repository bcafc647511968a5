from __future__ import annotations

import json
from dataclasses import replace

import pytest

from baselines.__main__ import main
from baselines.check import REFERENCE, allowed, check, keep
from baselines.engines import Local
from baselines.keys import key
from baselines.plan import Run, plan
from baselines.recipe import BUDGETS
from baselines.recipes import RECIPES, recipe_of
from baselines.runner import execute, run_all
from baselines.store import missing, stored
from neurotasks import cards, load
from neurotasks.errors import UnwritableFolder
from neurotasks.results import StageResult, read_result, read_results, write_result

LABEL = "OrientationDecoding-v0"


def run(tmp_path, agent="ridge", **changes):
    return replace(Run(LABEL, agent, (0, 1), "smoke", "cpu", tmp_path), **changes)


def test_every_task_has_two_learned_baselines_beside_the_ends_of_the_scale():
    for card in cards():
        agents = {r.name: r.learns for r in RECIPES if r.fits(card)}
        assert sum(agents.values()) >= 2, card.label
        assert "trivial" in agents
        known = card.data == "generated" and card.ceiling != "published"
        assert ("ideal" in agents) == known


def test_budgets_grow():
    for recipe in RECIPES:
        counts = [recipe.samples[budget] for budget in BUDGETS]
        assert counts == sorted(counts)
        assert (counts[0] > 0) == recipe.learns


def test_a_run_leaves_one_whole_result_with_everything_a_reader_asks_for(tmp_path):
    result = execute(run(tmp_path))
    assert read_result(run(tmp_path).path) == result
    assert result.task == load(LABEL).card.id
    assert result.card == load(LABEL).card.hash
    assert result.config["learner"] == "ScikitLearner"
    assert (
        result.samples
        == result.config["samples"]
        == recipe_of("ridge", load(LABEL).card).samples["smoke"]
    )
    assert set(result.stages) == {"test", "shift"}
    assert len(result.stages["test"].raw) == 2
    assert result.parameters > 0
    assert result.seconds > 0
    assert result.energy_kwh > 0
    assert "numpy" in result.versions


def test_the_ends_of_the_scale_are_the_agents_of_each_stage(tmp_path):
    for agent, expected in (("trivial", 0.0), ("ideal", 1.0)):
        stages = execute(run(tmp_path, agent)).stages
        for stage in ("test", "shift"):
            assert stages[stage].score == pytest.approx([expected] * 2, abs=0.05)


def test_finished_runs_are_kept_and_changed_plans_are_run_again(tmp_path):
    assert missing(run(tmp_path, "trivial")) == (0, 1)
    result = execute(run(tmp_path, "trivial"))
    assert stored(run(tmp_path, "trivial")) == result
    assert missing(run(tmp_path, "trivial")) == ()
    assert missing(run(tmp_path, "trivial", seeds=(0, 1, 2))) == (2,)
    assert missing(run(tmp_path, "trivial", budget="quick")) == (0, 1)
    write_result(replace(result, config={"key": "of an earlier card"}), run(tmp_path).path)
    assert missing(run(tmp_path)) == (0, 1)


def test_the_same_run_gives_the_same_numbers(tmp_path):
    first, second = execute(run(tmp_path / "a", "mlp")), execute(run(tmp_path / "b", "mlp"))
    assert first.stages == second.stages
    assert first.curves == second.curves
    assert first.curves["loss"]
    assert len(first.curves["loss"]) == 2, "one curve for each seed"


def test_a_result_says_how_its_networks_were_trained(tmp_path):
    for agent, trained in (("mlp", "2 seeds, batched"), ("ridge", None)):
        result = execute(run(tmp_path, agent))
        assert read_result(run(tmp_path, agent).path).config.get("trained") == trained
        assert result.config["key"] == key(run(tmp_path, agent)), "it moves no key"


def test_logs_are_tensorboards(tmp_path):
    execute(run(tmp_path, "mlp"))
    files = sorted(run(tmp_path, "mlp").logs.rglob("events.out.tfevents.*"))
    assert [path.parent.name for path in files] == ["seed0", "seed1"]


def test_one_failure_stops_no_other_run_and_says_why(tmp_path, capsys):
    (tmp_path / LABEL).mkdir(parents=True)
    (tmp_path / LABEL / "ideal.json").write_text("{half a res")
    words = f"run --task {LABEL} --agent [it][dr]* --seeds 1 --budget smoke --jobs 1 --out".split()
    code = main([*words, str(tmp_path)])
    shown = capsys.readouterr()
    assert code == 1
    assert "ideal on OrientationDecoding-v0 failed" in shown.err
    assert "run the baseline again" in shown.err
    assert "trivial      seeds 0  scored" in shown.out


def test_missing_data_fail_with_the_cure(tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROTASKS_DATA", str(tmp_path / "empty"))
    runs = [Run("ImageClassificationMNIST-v0", "trivial", (0,), "smoke", "cpu", tmp_path)]
    (outcome,) = run_all(runs, Local(1))
    assert "neurotasks data fetch mnist" in outcome.error


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UnwritableFolder, match="choose another folder"):
        execute(run(tmp_path / "file", "trivial"))


def test_an_unknown_agent_names_the_known_ones(tmp_path, capsys):
    assert main(["run", "--agent", "gpt", "--out", str(tmp_path)]) == 2
    assert "the agents are trivial, ideal, ridge" in capsys.readouterr().err
    with pytest.raises(ValueError, match="does not run on CartPole-v0"):
        recipe_of("ridge", load("CartPole-v0").card)


def test_plans_follow_the_globs(tmp_path):
    plans = plan(task="Orient*-v0", agent="m*", seeds=3, budget="smoke", device="cpu", out=tmp_path)
    assert {(p.task, p.agent) for p in plans} >= {(LABEL, "mlp")}
    assert all(p.agent == "mlp" and p.seeds == (0, 1, 2) for p in plans)
    more = plan(task=LABEL, agent="m*, ridge", seeds=1, budget="smoke", device="cpu", out=tmp_path)
    assert {p.agent for p in more} == {"mlp", "ridge"}


def reference(tmp_path, shift=0.0):
    result = execute(run(tmp_path))
    stages = {
        name: StageResult(s.raw, tuple(value + shift for value in s.score), s.extra)
        for name, s in result.stages.items()
    }
    write_result(replace(result, stages=stages), run(tmp_path).path)
    return replace(result, stages=stages)


def checked(folder, said):
    return check(folder, task="*", agent="*", fast=True, jobs=1, say=said.append)


def test_check_holds_where_nothing_moved(tmp_path):
    reference(tmp_path)
    said = []
    assert checked(tmp_path, said) == []
    assert said[0].startswith("holds")


@pytest.mark.parametrize("shift", [0.2, -0.2])
def test_check_fails_when_a_score_leaves_its_interval(tmp_path, shift):
    low, high = allowed(reference(tmp_path, shift), "test")
    moved = checked(tmp_path, [])
    assert any(f"left [{low:.4f}, {high:.4f}]" in line for line in moved)


def test_check_fails_when_the_card_has_changed(tmp_path):
    write_result(replace(reference(tmp_path), card="another"), run(tmp_path).path)
    assert any("the card has changed" in line for line in checked(tmp_path, []))


def test_results_are_kept_as_references_without_their_curves(tmp_path):
    result = execute(run(tmp_path / "runs", "mlp"))
    (kept,) = keep(tmp_path / "runs", tmp_path / "reference")
    assert kept == result
    stored = read_result(tmp_path / "reference" / LABEL / "mlp.json")
    assert stored == replace(result, curves={})


def test_results_of_an_earlier_card_are_no_references(tmp_path):
    write_result(replace(execute(run(tmp_path, "trivial")), card="another"), run(tmp_path).path)
    with pytest.raises(ValueError, match="earlier card"):
        list(keep(tmp_path, tmp_path / "reference", agent="trivial"))


def test_the_committed_references_cover_what_can_be_run_here():
    """Every task that works offline has all its agents; recorded streams in part."""
    there = {(r.task, r.agent): r for r in read_results(REFERENCE)}
    for card in cards():
        agents = {r.name for r in RECIPES if r.fits(card)}
        found = {agent for task, agent in there if task == card.id}
        if card.data == "recorded" and card.form == "stream":
            assert found <= agents, card.label
        elif card.data != "recorded" or found:
            assert found == agents, card.label
        for agent in found:
            assert there[card.id, agent].card == card.hash, f"{agent} on {card.label}"
            assert len(there[card.id, agent].seeds) == 5


def test_check_of_nothing_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no reference result"):
        checked(tmp_path, [])


def test_results_are_json_that_others_can_read(tmp_path):
    execute(run(tmp_path, "trivial"))
    record = json.loads(run(tmp_path, "trivial").path.read_text())
    assert record["schema"] == 2
    assert record["stages"]["test"]["extra"] == {}
