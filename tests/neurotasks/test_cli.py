from __future__ import annotations

import json

import pytest

from neurotasks import cards
from neurotasks.cli import main


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROTASKS_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_list_shows_every_task_and_a_glob_some(capsys):
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(card.label in shown for card in cards())
    assert main(["list", "CartPole*"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_list_as_json_is_the_cards(capsys):
    assert main(["list", "--json"]) == 0
    assert [card["id"] for card in json.loads(capsys.readouterr().out)] == [c.id for c in cards()]


def test_evaluate_prints_the_score_of_an_agent(capsys, tmp_path, monkeypatch):
    (tmp_path / "my_agents.py").write_text(
        "import numpy as np\n"
        "class Constant:\n"
        "    def act(self, observation, state):\n"
        "        return np.ones((*observation.shape[:2], 2)), state\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for agent, score in (("trivial", 0.0), ("ideal", 1.0), ("my_agents:Constant", 0.0)):
        words = ["evaluate", "OrientationDecoding-v0", "--agent", agent, "--seeds", "2"]
        assert main([*words, "--stage", "test"]) == 0
        line = capsys.readouterr().out.splitlines()[-1]
        assert float(line.split("score")[1].split()[0]) == pytest.approx(score, abs=0.05)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show", "CartPol-v0"], "did you mean CartPole-v0 or"),
        (
            ["evaluate", "CartPole-v0", "--agent", "best"],
            "give 'trivial', 'ideal' or 'module:name'",
        ),
        (["evaluate", "CartPole-v0", "--agent", "no_such:Agent"], "cannot be imported"),
        (["evaluate", "CartPole-v0", "--stage", "exam"], "there is no stage 'exam'"),
        (["evaluate", "ImageClassificationMNIST-v0"], "run `neurotasks data fetch mnist`"),
        (["data", "fetch", "mnst"], "did you mean mnist?"),
        (["data", "add", "mnist", "nowhere"], "there is no file or folder nowhere"),
    ],
)
def test_an_error_is_one_line_with_the_cure(words, message, capsys, empty_cache):
    from neurotasks import load  # noqa: PLC0415

    load.cache_clear()  # a task that is open already knows its data
    assert main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == "" or words[0] == "evaluate"
    assert len(shown.err.splitlines()) == 1
    assert message in shown.err
    assert not empty_cache.exists(), "nothing is made that was not asked for"


def test_data_status_names_every_file(capsys, empty_cache):
    assert main(["data", "status"]) == 0
    shown = capsys.readouterr().out
    assert str(empty_cache) in shown
    assert "train-images-idx3-ubyte.gz" in shown
    assert "missing" in shown


def test_data_add_all_takes_what_a_folder_holds(capsys, empty_cache, real_data):
    assert main(["data", "add", "all", str(real_data / "tinyshakespeare")]) == 0
    shown = capsys.readouterr().out
    assert "tinyshakespeare: added input.txt" in shown
    assert "mnist: none of the files" in shown
