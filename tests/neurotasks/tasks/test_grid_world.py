"""Grid world: the rules, and shortest ways by a search of its own."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

import neurotasks
from neurotasks.agent import Policy
from neurotasks.evaluate import trial_metric
from neurotasks.rng import Draw
from neurotasks.tasks.grid_world import CELLS, MAPS, STEPS, WIDTH, Place, grid, solve

TASK = neurotasks.load("GridWorld-v0")
STAGES = ("test", "shift")
UP, RIGHT, DOWN, LEFT = range(4)


def _walls(stage):
    return TASK.card.stage(stage).parameters["walls"]


def _go(cell, action, walls="block", xp=np):
    cell, action = xp.asarray([cell]), xp.asarray([action])
    draw = Draw(TASK.card.label, "test", 1, 0, 1, xp=xp)
    place, reward, ended = TASK.step(Place(cell, None), action, draw, walls=walls)
    return int(place.cell[0]), float(reward[0]), bool(ended[0]), place


def _distances(walls):
    """The number of steps to the goal from every cell that leads there, by breadth-first search."""
    drawing = [MAPS[walls][k : k + WIDTH] for k in range(0, CELLS, WIDTH)]
    row = next(r for r, line in enumerate(drawing) if "G" in line)
    queue = deque([(row, drawing[row].index("G"))])
    found = {queue[0]: 0}
    while queue:
        r, c = queue.popleft()
        for near in ((r - 1, c), (r, c + 1), (r + 1, c), (r, c - 1)):
            if near not in found and drawing[near[0]][near[1]] != "#":
                found[near] = found[r, c] + 1
                queue.append(near)
    return {r * WIDTH + c: steps for (r, c), steps in found.items()}


def test_the_goal_pays_and_ends_a_wall_costs_and_stays():
    assert _go(26, RIGHT)[:3] == (27, 10.0, True)
    assert _go(22, UP)[:3] == (12, -0.1, False)
    assert _go(12, UP)[:3] == (12, -5.0, False)
    assert _go(23, RIGHT)[:3] == (23, -5.0, False)


def test_the_course_needs_seven_steps():
    assert _distances("block")[22] == 7
    assert _distances("spit")[22] == 11


def test_the_subject_sees_its_cell_and_feels_the_walls():
    *_, place = _go(22, UP)
    seen = TASK.observe(place)
    np.testing.assert_array_equal(np.flatnonzero(seen[0, :CELLS]), [12])
    np.testing.assert_array_equal(seen[0, CELLS:], [1, 0, 0, 0])
    *_, place = _go(12, RIGHT, "spit")
    np.testing.assert_array_equal(TASK.observe(place)[0, CELLS:], [1, 1, 0, 0])


@pytest.mark.parametrize("stage", STAGES)
def test_every_free_cell_is_a_start(stage):
    draw = Draw(TASK.card.label, stage, 1, 0, 10_000)
    cells, counts = np.unique(TASK.initial(draw, walls=_walls(stage)).cell, return_counts=True)
    np.testing.assert_array_equal(cells, sorted(set(_distances(_walls(stage))) - {27}))
    assert counts.min() > 0.7 * counts.mean()


@pytest.mark.parametrize("stage", STAGES)
def test_the_ceiling_is_the_mean_of_the_shortest_ways(stage):
    steps = np.array([d for d in _distances(_walls(stage)).values() if d])
    value = (10.0 - 0.1 * (steps - 1)).mean()
    assert solve(_walls(stage)).value == pytest.approx(value, abs=1e-12)
    assert TASK.card.stage(stage).ceiling == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("stage", STAGES)
def test_the_optimal_policy_walks_the_shortest_way_from_every_start(stage):
    distances = _distances(_walls(stage))
    policy = solve(_walls(stage)).policy
    for start in grid(_walls(stage)).starts.tolist():
        cell, ended, steps = start, False, 0
        while not ended:
            cell, _, ended, _ = _go(cell, policy[cell], _walls(stage))
            steps += 1
        assert steps == distances[start]


@pytest.mark.parametrize("stage", STAGES)
def test_a_random_walk_earns_chance_by_its_transition_matrix(stage):
    world = grid(_walls(stage))
    belief, value = np.zeros(CELLS), 0.0
    belief[world.starts] = 1 / len(world.starts)
    matrix = np.zeros((CELLS, CELLS))
    for cell in range(CELLS):
        np.add.at(matrix[cell], world.after[cell], 0.25)
    for _ in range(STEPS):
        value += belief @ world.reward.mean(axis=1)
        belief = belief @ matrix
        belief[world.goal] = 0.0
    assert TASK.card.stage(stage).chance == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("action", range(4))
def test_always_the_same_way_is_worse_than_chance(action):
    constant = Policy(lambda x: np.full(x.shape[:2], action))
    returns = trial_metric(TASK, constant, seed=4, trials=500)
    assert returns.mean() < TASK.card.stage("test").chance - 100


def test_who_walks_by_heart_runs_into_the_new_wall():
    returns = trial_metric(TASK, TASK.ideal("test"), seed=4, stage="shift", trials=500)
    assert returns.mean() < 0.0
    assert returns.max() == 10.0


def test_torch_walks_the_same_ways():
    xp = pytest.importorskip("array_api_compat.torch")
    for cell, action in ((26, RIGHT), (12, UP), (22, LEFT), (55, DOWN)):
        *ours, place = _go(cell, action)
        *theirs, other = _go(cell, action, xp=xp)
        assert ours == theirs
        np.testing.assert_array_equal(TASK.observe(other).numpy(), TASK.observe(place))
