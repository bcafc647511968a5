from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from gymnasium import spaces

from agents.cells import cells_of
from agents.tabular import TabularLearner
from neurotasks import load
from neurotasks.agent import Budget, RandomPolicy, silent
from neurotasks.arrays import Array
from neurotasks.card import Stage, TaskCard
from neurotasks.evaluate import evaluate, trial_metric
from neurotasks.metrics import RETURN
from neurotasks.task import ControlTask

WIDTH, HEIGHT = 4, 3
CLIFF, GOAL = (9, 10), 11  # of the cells; the start is cell 8
BEST = -5.0  # up, three times right, down
EDGES = ((-0.8, 0.8), (-0.5, 0.5), (-0.1, -0.02, 0.0, 0.02, 0.1), (-0.87, 0.87))


class Cell(NamedTuple):
    """Where the walkers are, (B,)."""

    place: Array


class Cliff(ControlTask[Cell]):
    """A small cliff walk: 1 is lost for each step, more for a fall, which leads to the start."""

    fall = 20.0
    card = TaskCard(
        name="Cliff",
        version=0,
        form="control",
        topic="test",
        courses=("none",),
        summary="Walk round a cliff.",
        metric=RETURN,
        ceiling="exact",
        ceiling_source="five steps lead round it",
        chance_source="not needed here",
        steps=50,
        stages={"test": Stage(trials=20, chance=-200.0, ceiling=BEST)},
        splits={},
        licence="generated; MIT",
        citation="none",
    )
    observation_space = spaces.Discrete(WIDTH * HEIGHT, start=1)
    action_space = spaces.Discrete(4, start=2)

    def initial(self, draw):
        return Cell(np.full(draw.size, 8))

    def observe(self, state):
        return state.place + 1

    def step(self, state, action, draw):
        row, column = np.divmod(state.place, WIDTH)
        row = np.clip(row + np.array([-1, 0, 1, 0])[action - 2], 0, HEIGHT - 1)
        column = np.clip(column + np.array([0, 1, 0, -1])[action - 2], 0, WIDTH - 1)
        place = row * WIDTH + column
        fell = np.isin(place, CLIFF)
        return Cell(np.where(fell, 8, place)), np.where(fell, -self.fall, -1.0), place == GOAL

    def trivial(self, stage="test"):
        return RandomPolicy(4)


class Puddle(Cliff):
    """The same with falls that cost so little that who slips now and then goes the same way."""

    fall = 2.0


LEARNERS = {
    "q-learning": TabularLearner(discount=1.0),
    "sarsa": TabularLearner(rule="sarsa", discount=1.0),
    "dyna-q": TabularLearner(discount=1.0, planning=5),
}


@pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)
def test_every_seed_finds_the_best_way(learner):
    task, seeds = Puddle() if learner.rule == "sarsa" else Cliff(), range(5)
    agents = learner.learn(task, seeds=seeds, budget=Budget("quick", 20_000), log=silent)
    result = evaluate(task, agents, seeds=seeds)["test"]
    assert result.raw == (BEST,) * 5
    assert agents[0].samples == 20_000
    assert agents[0].parameters == 48


def test_q_learning_finds_the_values_themselves():
    """Every table must hold the solution of Bellman's equation, by value iteration."""
    task = Cliff()
    cells, actions = np.arange(12).repeat(4), np.tile(np.arange(4), 12)
    after, reward, ended = task.step(Cell(cells), actions + 2, None)
    known = np.zeros((12, 4))
    for _ in range(60):
        best = np.where(ended, 0.0, known.max(axis=1)[after.place])
        known = (reward + 0.9 * best).reshape(12, 4)
    learner = TabularLearner(discount=0.9, final_epsilon=1.0)
    agents = learner.learn(task, seeds=[0, 1], budget=Budget("quick", 40_000), log=silent)
    reached = [cell for cell in range(12) if cell not in (*CLIFF, GOAL)]
    for agent in agents:
        np.testing.assert_allclose(agent.values[reached], known[reached], atol=1e-6)


def test_sarsa_minds_its_own_slips_and_q_learning_does_not():
    """At the edge the value of what is done lies below the value of what could be done."""
    settings = {"epsilon": 0.3, "final_epsilon": 0.3, "learning_rate": 0.05, "discount": 1.0}
    budget = Budget("quick", 40_000)
    values = {
        rule: TabularLearner(rule=rule, **settings)
        .learn(Cliff(), seeds=[0], budget=budget, log=silent)[0]
        .values[8]
        .max()
        for rule in ("q-learning", "sarsa")
    }
    assert values["q-learning"] == pytest.approx(BEST, abs=0.2)
    assert values["sarsa"] < BEST - 2.0


def test_planning_needs_fewer_steps():
    task, budget, seeds = Cliff(), Budget("smoke", 240), range(10)
    returns = {
        name: np.mean(
            [
                trial_metric(task, agent, seed=0, trials=1)
                for agent in LEARNERS[name].learn(task, seeds=seeds, budget=budget, log=silent)
            ]
        )
        for name in ("q-learning", "dyna-q")
    }
    assert returns["dyna-q"] > returns["q-learning"] + 5.0


@pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)
def test_a_seed_gives_the_same_table_whatever_runs_beside_it(learner):
    budget = Budget("smoke", 200)
    alone = learner.learn(Cliff(), seeds=[5], budget=budget, log=silent)
    beside = learner.learn(Cliff(), seeds=[3, 5], budget=budget, log=silent)
    np.testing.assert_array_equal(alone[0].values, beside[1].values)
    assert not np.array_equal(beside[0].values, beside[1].values)


def test_worlds_that_do_the_same_count_once():
    """With ten worlds in one place the step must not be ten times as long."""
    learner = TabularLearner(worlds=10, learning_rate=1.0, discount=1.0)
    agent = learner.learn(Cliff(), seeds=[0], budget=Budget("smoke", 10), log=silent)[0]
    assert set(np.unique(agent.values)) <= {0.0, -1.0, -20.0}


def test_the_grid_world_is_learned_from_a_one_hot_cell():
    task, seeds = load("GridWorld-v0"), range(3)
    learner = TabularLearner(one_hot=90)
    agents = learner.learn(task, seeds=seeds, budget=Budget("quick", 20_000), log=silent)
    assert min(evaluate(task, agents, seeds=seeds, stages=["test"])["test"].score) > 0.999


@pytest.mark.parametrize("rule", ["q-learning", "sarsa"])
def test_binned_cartpole_is_far_above_chance(rule):
    heard = []
    learner = TabularLearner(
        rule=rule, edges=EDGES, learning_rate=0.1, final_epsilon=0.01, worlds=8, checks=5
    )
    task = load("CartPole-v0")
    agents = learner.learn(
        task,
        seeds=[0, 1],
        budget=Budget("quick", 50_000),
        log=lambda samples, **scalars: heard.append((samples, scalars)),
    )
    result = evaluate(task, agents, seeds=[0, 1], stages=["test"], trials=100)["test"]
    assert min(result.raw) > 100.0  # chance is about 22
    assert [samples for samples, _ in heard] == [0, *range(10_000, 50_001, 10_000)] * 2
    assert heard[5][1]["return"] > 3 * heard[1][1]["return"]
    assert heard[5][1]["cpu_seconds"] > heard[1][1]["cpu_seconds"] > 0.0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rule": "td"}, "there is no rule 'td'; there are q-learning, sarsa"),
        ({"learning_rate": 1.5}, r"the learning rate is 1.5; it lies in \(0, 1\]"),
        ({"rule": "sarsa", "planning": 1}, "planning belongs to q-learning"),
    ],
)
def test_what_cannot_learn_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        TabularLearner(**settings)


def test_points_are_no_columns():
    with pytest.raises(TypeError, match="columns for a Discrete space"):
        TabularLearner().learn(
            load("OrientationDecoding-v0"), seeds=[0], budget=Budget("smoke", 10), log=silent
        )


BOX = spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, 8.0], np.float32))


def test_cells_between_bounds():
    cells = cells_of(BOX, bins=4)
    assert cells.size == 16
    x = np.array([[-1.0, 0.0], [-0.5, 0.0], [0.9, 7.9], [5.0, -5.0]])
    np.testing.assert_array_equal(cells(x), [0, 4, 15, 12])
    np.testing.assert_array_equal(cells(x[:, None]), [[0], [4], [15], [12]])


def test_cells_between_edges():
    cells = cells_of(BOX, edges=[(), (3.0, 1.0)])  # sorted by itself
    assert cells.size == 3
    np.testing.assert_array_equal(cells(np.array([[0.0, 0.5], [9.0, 1.0], [0.0, 4.0]])), [0, 1, 2])


def test_cells_of_a_vector_and_of_classes():
    one_hot = cells_of(BOX, one_hot=2)
    np.testing.assert_array_equal(one_hot(np.array([[0, 1], [1, 0]])), [1, 0])
    with pytest.raises(ValueError, match="not exactly one of the first 2 numbers"):
        one_hot(np.array([1.0, 1.0]))
    classes = cells_of(spaces.Discrete(3, start=4))
    np.testing.assert_array_equal(classes(np.array([4, 6])), [0, 2])


@pytest.mark.parametrize(
    ("space", "settings", "error"),
    [
        (BOX, {"edges": [(1.0,)]}, ValueError),
        (BOX, {"one_hot": 3}, ValueError),
        (spaces.Box(-np.inf, np.inf, (1,)), {}, ValueError),
        (spaces.MultiBinary(3), {}, TypeError),
    ],
)
def test_cells_that_do_not_fit_are_refused(space, settings, error):
    with pytest.raises(error):
        cells_of(space, **settings)
