from __future__ import annotations

import json

import numpy as np
import pytest

import neurotasks
from leaderboard.collect import collect, read
from leaderboard.statistics import iqm_interval
from leaderboard.summary import by_topic, overall, suite
from neurotasks.errors import CorruptResult, NoResults


def around(mean, spread, runs=5):
    shape = np.linspace(-1.0, 1.0, runs)
    return (mean + spread * shape / shape.std(ddof=1)).tolist()


def table_of(folder, card):
    board = collect(read(folder.path), neurotasks.cards())
    return next(table for table in board.tables if table.card.id == card.id)


def test_ranks_by_test_score_between_the_anchors(folder, card, make):
    for agent, level in {"trivial": 0.0, "b": 0.5, "ideal": 1.0, "a": 0.8}.items():
        folder.add(make(card, agent, around(level, 0.001)))
    rows = table_of(folder, card).rows
    assert [(row.agent, row.rank) for row in rows] == [
        ("ideal", None), ("a", 1), ("b", 2), ("trivial", None),
    ]  # fmt: skip


def test_an_agent_below_chance_still_stands_before_the_trivial_anchor(folder, card, make):
    folder.add(make(card, "trivial", [0.0, 0.0]))
    folder.add(make(card, "worse", [-3.0, -3.1]))
    assert [row.agent for row in table_of(folder, card).rows] == ["worse", "trivial"]


def test_overlapping_intervals_leave_ranks_open_and_tie(folder, card, make):
    folder.add(make(card, "a", around(0.80, 0.05)))
    folder.add(make(card, "b", around(0.78, 0.05)))
    folder.add(make(card, "c", around(0.40, 0.01)))
    folder.add(make(card, "single", [0.79]))
    folder.add(make(card, "ideal", around(0.79, 0.05)))
    rows = table_of(folder, card).ranked
    assert {row.agent: (row.places, row.group) for row in rows} == {
        "a": ((1, 3), 1), "single": (None, None), "b": ((1, 3), 1), "c": ((3, 4), 2),
    }  # fmt: skip


def test_with_fewer_seeds_than_a_rank_needs_a_result_stands_apart(folder, card, make):
    folder.add(make(card, "many", around(0.5, 0.01)))
    folder.add(make(card, "few", around(0.9, 0.01, 4)))
    folder.add(make(card, "ideal", [1.0]))
    board = collect(read(folder.path), neurotasks.cards(), 5)
    table = next(table for table in board.tables if table.card.id == card.id)
    assert [row.agent for row in table.rows] == ["ideal", "many"]
    assert [row.agent for row in table.unranked] == ["few"]


def test_of_two_results_the_one_with_more_seeds_is_shown(folder, card, make):
    folder.add(make(card, "mlp", around(0.9, 0.01, 2)))
    folder.add(make(card, "mlp", around(0.6, 0.01, 5)))
    folder.add(make(card, "mlp", around(0.7, 0.01, 3)))
    (row,) = table_of(folder, card).rows
    assert len(row.result.seeds) == 5
    assert row.others == 2


def test_of_equally_many_seeds_the_longer_training_is_shown(folder, card, make):
    folder.add(make(card, "mlp", around(0.6, 0.01), samples=500))
    folder.add(make(card, "mlp", around(0.9, 0.01), samples=100))
    (row,) = table_of(folder, card).rows
    assert row.result.samples == 500


def test_a_result_of_another_card_is_kept_apart(folder, card, make):
    folder.add(make(card, "mlp", around(0.9, 0.01)))
    folder.add(make(card, "mlp", around(0.99, 0.01, 9), card="0" * 16))
    table = table_of(folder, card)
    assert [len(row.result.seeds) for row in table.rows] == [5]
    assert [len(row.result.seeds) for row in table.earlier] == [9]
    assert table.earlier[0].rank is None


def test_a_result_of_an_unknown_task_is_listed(folder, card, make):
    folder.add(make(card, "mlp", [0.5], task="neurotasks/Gone-v0"))
    board = collect(read(folder.path), neurotasks.cards())
    assert [record.result.task for record in board.unknown] == ["neurotasks/Gone-v0"]
    assert not any(table.rows for table in board.tables)


def test_every_registered_task_has_a_table_under_its_topic(folder, card, make):
    folder.add(make(card, "mlp", [0.5]))
    board = collect(read(folder.path), neurotasks.cards())
    assert [table.card for table in board.tables] == list(neurotasks.cards())
    topics = by_topic(board.tables)
    assert list(topics) == sorted({c.topic for c in neurotasks.cards()})
    assert card in [table.card for table in topics[card.topic]]


def test_overall_is_the_interquartile_mean_over_tasks_and_says_how_many(filled):
    board = collect(read(filled.path), neurotasks.cards())
    lines = overall(board.tables)
    by_agent = {line.agent: line for line in lines}
    runs = [
        row.result.stages["test"].score
        for table in board.tables
        for row in table.rows
        if row.agent == "mlp"
    ]
    assert by_agent["mlp"].score == iqm_interval(runs)
    assert by_agent["mlp"].tasks == len(neurotasks.cards())
    assert [lines[0].agent, lines[-1].agent] == ["ideal", "trivial"]
    assert [line.rank for line in lines] == [None, 1, 2, 3, None]
    topic = next(iter(by_topic(board.tables).values()))
    assert all(len(line.cells) == len(topic) for line in suite(topic))


def test_on_the_suite_only_agents_with_the_same_tasks_can_tie(folder, card, make):
    other = next(c for c in neurotasks.cards() if c.id != card.id)
    for agent in ("a", "b"):
        folder.add(make(card, agent, around(0.5, 0.05)))
        folder.add(make(other, agent, around(0.5, 0.05)))
    folder.add(make(card, "half", around(0.5, 0.05)))
    board = collect(read(folder.path), neurotasks.cards())
    told = {line.agent: (line.rank, line.places, line.group) for line in overall(board.tables)}
    assert told == {"a": (1, (1, 2), 1), "b": (2, (1, 2), 1), "half": (3, None, None)}


def test_an_empty_or_missing_folder_says_what_to_run(tmp_path):
    for folder in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(NoResults, match="baselines run --out"):
            read(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.update(agent=3), "agent is not text"),
        (lambda r: r.update(agent="a\u001b[31m"), "agent must be 1 to 100 printable"),
        (lambda r: r.update(agent=" "), "agent must be"),
        (lambda r: r.update(task="x" * 101), "task must be"),
        (lambda r: r.update(parameters=-1), "parameters is not a number"),
        (lambda r: r.update(flops="many"), "flops is not a number"),
        (lambda r: r.update(seconds="soon"), "seconds is not a number"),
        (lambda r: r.update(samples=True), "samples is not a number"),
        (lambda r: r.update(config=[]), "config does not map"),
        (lambda r: r.update(seeds=[]), "seeds must be"),
        (lambda r: r.update(seeds=["0", "1"]), "seeds must be"),
        (lambda r: r.update(seeds=[1, 1]), "a seed stands twice"),
        (lambda r: r["stages"].pop("test"), "stages must hold 'test'"),
        (lambda r: r["stages"].update(dream=r["stages"]["test"]), "stages must hold"),
        (lambda r: r["stages"]["test"].update(raw=[1.0]), "must hold 2 finite numbers"),
        (lambda r: r["stages"]["test"].update(raw=[1.0, float("nan")]), "finite numbers"),
        (lambda r: r["stages"]["test"].update(score=[0.9, 0.9]), "does not follow from"),
        (lambda r: r["stages"]["test"].update(extra=3), "extra does not map"),
        (lambda r: r["stages"]["test"].update(extra={"matrix": [[[1]], [[1, 2]]]}), "matrix must"),
        (lambda r: r["stages"]["test"].update(extra={"matrix": [[], []]}), "matrix must"),
        (lambda r: r["stages"]["test"].update(extra={"matrix": 1}), "matrix must"),
        (lambda r: r["curves"].update(loss=[[1, 2]]), "learning curve 'loss'"),
        (lambda r: r["curves"].update(loss=4), "learning curve 'loss'"),
    ],
)
def test_a_result_with_impossible_values_is_refused_by_name(folder, card, make, change, words):
    path = folder.add(make(card, "mlp", [0.5, 0.6]))
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(CorruptResult, match=words) as caught:
        collect(read(folder.path), neurotasks.cards())
    assert str(path) in str(caught.value)


def test_a_stage_that_the_task_lacks_is_refused_by_name(folder, make):
    card = next(card for card in neurotasks.cards() if "shift" not in card.stages)
    result = make(card, "mlp", [0.5])
    result.stages["shift"] = result.stages["test"]
    path = folder.add(result)
    with pytest.raises(CorruptResult, match="no stage 'shift'") as caught:
        collect(read(folder.path), neurotasks.cards())
    assert str(path) in str(caught.value)


def test_half_a_file_is_refused_by_name(folder, card, make):
    path = folder.add(make(card, "mlp", [0.5]))
    path.write_text(path.read_text()[:200])
    with pytest.raises(CorruptResult, match=r"result-000\.json is no result: it is not JSON"):
        read(folder.path)
