from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from agents.training import TorchLearner
from baselines.__main__ import main
from baselines.journal import CONFIG, open_study
from baselines.recipes import RECIPES, recipe_of
from baselines.spaces import SPACES, Power, change, space_of, told
from baselines.tune import Search, tune
from baselines.validation import held_out, validation_scores, validation_trials
from neurotasks import cards, load
from neurotasks.agent import Budget, silent
from neurotasks.errors import MissingExtra, UnwritableFolder
from neurotasks.evaluate import trial_metric

LABEL = "SequencePrediction-v0"


def search(out, **changes):
    """Return a search that takes a second: a linear agent at the smallest budget."""
    words = {"task": LABEL, "agent": "logistic", "trials": 3, "budget": "smoke", "seeds": 1}
    return Search(**{**words, "device": "cpu", "out": out, **changes})


def ignore(line):
    """Say nothing."""


def history(folder):
    """Return state, configuration and value of each trial in a journal, in order."""
    plan = {}
    for line in (folder / "journal.log").read_text().splitlines():
        plan = json.loads(line).get("user_attr", {}).get("plan", plan)
    with open_study(folder, plan) as study:
        return [(t.state.name, t.user_attrs.get(CONFIG), t.value) for t in study.get_trials()]


def poisoned(draw):
    """Raise where an evaluation is drawn."""
    assert draw.stage not in ("test", "shift", "private"), "a search looked at a test"
    return draw


def poison(monkeypatch, task, name, place=0):
    """Make a method of a task refuse to draw trials of an evaluation."""
    kind, method = type(task), getattr(type(task), name)

    def checked(self, *arguments, **parameters):
        poisoned(arguments[place])
        return method(self, *arguments, **parameters)

    monkeypatch.setattr(kind, name, checked)


def test_a_search_finds_something_better_than_the_recipe_and_says_both(tmp_path, capsys):
    words = f"tune --task {LABEL} --agent logistic --trials 5 --seeds 2 --budget smoke --device cpu"
    assert main([*words.split(), "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    record = json.loads((tmp_path / "best.json").read_text())
    assert record["recipe"] == {"estimator.C": 1.0, "history": 3}
    assert record["score"] > record["recipe_score"]
    assert record["trials"] == 5
    assert record["card"] == load(LABEL).card.hash
    score, own = record["score"], record["recipe_score"]
    assert f"validation score {score:.4f}, the recipe's own {own:.4f}" in shown
    assert f"best: estimator.C={record['config']['estimator.C']:g}" in shown
    assert shown.count("trial ") == 5


def test_the_score_is_the_mean_over_seeds_on_the_validation_split(tmp_path):
    task, recipe = load(LABEL), recipe_of("logistic", load(LABEL).card)
    found = tune(search(tmp_path, trials=1, seeds=2), ignore)
    budget = Budget("smoke", recipe.samples["smoke"])
    agents = recipe.learner("cpu").learn(task, seeds=[0, 1], budget=budget, log=silent)
    raw = [
        trial_metric(task, agent, seed=seed, stage="validation", trials=2000).mean()
        for seed, agent in enumerate(agents)
    ]
    stage = task.card.stage("test")
    expected = (np.mean(raw) - stage.chance) / (stage.ceiling - stage.chance)
    assert found.score == found.recipe_score == pytest.approx(expected)


@pytest.mark.parametrize(
    ("label", "agent"),
    [
        (LABEL, "logistic"),
        ("OrientationDecoding-v0", "mlp"),
        ("ImageClassificationDigits-v0", "mlp"),
    ],
)
def test_trials_of_a_test_are_never_drawn(tmp_path, monkeypatch, label, agent):
    task = load(label)
    poison(monkeypatch, task, "generate")
    with pytest.raises(AssertionError, match="looked at a test"):
        task.sample(1, 0, "test")
    assert tune(search(tmp_path, task=label, agent=agent, trials=2), ignore).trials == 2


def test_episodes_of_a_test_are_never_played(monkeypatch):
    task = load("CartPole-v0")
    poison(monkeypatch, task, "initial")
    poison(monkeypatch, task, "step", place=2)
    learner = change(recipe_of("sb3-a2c", task.card).learner("cpu"), {"n_envs": 8, "n_steps": 8})
    budget = Budget("smoke", 256)
    scores = validation_scores(task, learner, seeds=[0], budget=budget, log=silent)
    assert np.isfinite(scores).all()


def test_a_stream_validates_on_what_it_holds_out(monkeypatch):
    stream = load("ContinualDigits-v0")
    split = held_out(stream)
    monkeypatch.setattr(type(stream), "test", None)  # nobody may call it
    kept, rows = split.test(3), []
    for index in range(stream.experiences):
        whole, taught = stream.experience(index, 3), split.experience(index, 3)
        mine = kept[kept.trials["group"] == index]
        assert 0.1 < len(mine) / len(whole) < 0.25
        assert len(mine) + len(taught) == len(whole)
        both = np.concatenate((mine.x, taught.x)).reshape(len(whole), -1)
        assert sorted(map(bytes, both)) == sorted(map(bytes, whole.x.reshape(len(whole), -1)))
        rows.append(len(taught))
    assert list(split.sizes(3)) == rows


@pytest.mark.slow
def test_a_stream_is_tuned_without_its_test(tmp_path, monkeypatch):
    monkeypatch.setattr(type(load("ContinualDigits-v0")), "test", None)
    found = tune(search(tmp_path, task="ContinualDigits-v0", agent="naive", trials=2), ignore)
    assert found.trials == 2
    assert set(found.config) == {"learning_rate", "momentum", "width", "batch"}


def test_hopeless_trials_are_given_up_half_way(tmp_path):
    lines = []
    words = {"task": "OrientationDecoding-v0", "agent": "mlp", "trials": 7}
    tune(search(tmp_path, **words), lines.append)
    states = [state for state, _, _ in history(tmp_path)]
    assert states[:4] == ["COMPLETE"] * 4
    assert states.count("PRUNED") == sum("given up" in line for line in lines) > 0


def test_a_configuration_that_cannot_learn_fails_and_the_search_goes_on(tmp_path, monkeypatch):
    learn, calls = TorchLearner.learn, []

    def sometimes(self, task, **words):
        calls.append(self)
        learner = change(self, {"learning_rate": 1e30}) if len(calls) == 2 else self
        return learn(learner, task, **words)

    monkeypatch.setattr(TorchLearner, "learn", sometimes)
    lines = []
    words = {"task": "OrientationDecoding-v0", "agent": "mlp"}
    found = tune(search(tmp_path, **words), lines.append)
    assert [state for state, _, _ in history(tmp_path)] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert "lower the learning rate" in lines[1]
    assert found.trials == 3


def test_a_recipe_that_cannot_learn_ends_the_search(tmp_path, monkeypatch):
    def never(self, task, **words):
        raise ValueError("it cannot learn this")

    monkeypatch.setattr(TorchLearner, "learn", never)
    with pytest.raises(ValueError, match="it cannot learn this"):
        tune(search(tmp_path, task="OrientationDecoding-v0", agent="mlp"), ignore)


def test_a_search_goes_on_as_if_it_had_never_stopped(tmp_path):
    """More trials than are drawn at random, so that the sampler's model is asked too."""
    alone, twice = tmp_path / "alone", tmp_path / "twice"
    whole = tune(search(alone, trials=11), ignore)
    tune(search(twice, trials=4), ignore)
    lines = []
    assert tune(search(twice, trials=11), lines.append) == whole
    assert len(lines) == 7, "what is done is not done again"
    assert history(twice) == history(alone)
    values = [json.dumps(config) for _, config, _ in history(alone)]
    assert len(set(values)) == 11, "no configuration is tried twice"


def test_a_killed_search_marks_its_trial_and_takes_it_up_again(tmp_path):
    """Kill in the middle of a trial: what is finished stays, the rest comes as it would have."""
    killed, alone = tmp_path / "killed", tmp_path / "alone"
    words = f"-m baselines tune --task {LABEL} --agent logistic --trials 5 --seeds 1 --budget smoke"
    command = [sys.executable, *words.split(), "--device", "cpu", "--out", str(killed)]
    process = subprocess.Popen(  # noqa: S603 - our own code
        command, start_new_session=True, stdout=subprocess.PIPE, text=True
    )
    line = process.stdout.readline()
    assert line.startswith("trial   0")
    deadline = time.monotonic() + 60
    journal = killed / "journal.log"
    while journal.read_text().count('"param_name":"history"') < 3 and time.monotonic() < deadline:
        time.sleep(0.002)  # until trial 2 has been told what to do
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with journal.open("a") as file:
        file.write('{"op_code":6,"worker')  # half a line, as a kill in the writing leaves it
    lock = killed / "journal.log.lock"  # and the lock of the writing
    if not lock.is_symlink():
        lock.symlink_to("journal.log")
    begun = time.monotonic()
    found = tune(search(killed, trials=5), ignore)
    assert time.monotonic() - begun < 20, "nobody waits for a lock that nobody holds"
    assert found == tune(search(alone, trials=5), ignore)
    states = [state for state, _, _ in history(killed)]
    assert states.count("FAIL") == 1
    rest = [trial for trial in history(killed) if trial[0] != "FAIL"]
    assert rest == history(alone)


def test_a_folder_holds_one_search(tmp_path):
    tune(search(tmp_path, trials=1), ignore)
    with pytest.raises(ValueError, match="holds a search with another seeds; choose another"):
        tune(search(tmp_path, trials=1, seeds=2), ignore)
    with pytest.raises(ValueError, match="another card, code or settings, recipe"):
        tune(search(tmp_path, trials=1, task="ImageClassificationDigits-v0"), ignore)


def test_one_process_searches_in_a_folder(tmp_path):
    with open_study(tmp_path, {}), pytest.raises(ValueError, match="another process searches"):
        tune(search(tmp_path), ignore)


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UnwritableFolder, match="choose another folder"):
        tune(search(tmp_path / "file"), ignore)


def test_without_optuna_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r"neurotasks\[tune\]"):
        tune(search(tmp_path), ignore)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"agent": "trivial"}, "learns nothing"),
        ({"agent": "ppo"}, "does not run on"),
        ({"task": "OrientationDecoding-v0", "agent": "ridge"}, "it chooses by itself"),
        ({"trials": 0}, "at least one trial"),
        ({"seeds": 0}, "at least one trial and one seed"),
    ],
)
def test_what_cannot_be_tuned_is_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        tune(search(tmp_path / "out", **changes), ignore)
    assert not (tmp_path / "out").exists()


def test_a_learner_without_a_space_is_named():
    with pytest.raises(ValueError, match="declared for object; those are TorchLearner, Scikit"):
        space_of(object(), load(LABEL).card)


def test_every_recipe_lies_in_its_space():
    """The first trial is the recipe: the search must be able to say it."""
    for recipe in RECIPES:
        for card in (card for card in cards() if recipe.learns and recipe.fits(card)):
            learner = recipe.learner("cpu")
            if recipe.name == "ridge":
                continue  # it chooses its strength by itself
            space = space_of(learner, card)
            assert space, recipe.name
            for name, setting in space.items():
                value = told(learner, name)
                assert setting.low <= value <= setting.high, (recipe.name, card.label, name)
                if isinstance(setting, Power):
                    _, exponent = setting.drawn(name, value)
                    assert 2**exponent == value, (recipe.name, card.label, name)
                end = type(value)(setting.high)
                assert told(change(learner, {name: end}), name) == end


def test_every_trial_and_control_task_can_validate():
    for card in cards():
        if card.form != "stream":
            assert validation_trials(card) > 0
    with pytest.raises(ValueError, match="nothing is ever tuned on its test trials"):
        validation_trials(load("ContinualDigits-v0").card)


def test_every_learner_that_is_run_has_a_space():
    names = {type(r.learner("cpu")).__name__ for r in RECIPES if r.learns}
    assert set(SPACES) == names
    fields = TorchLearner.__dataclass_fields__
    assert set(SPACES["TorchLearner"]) <= set(fields)
