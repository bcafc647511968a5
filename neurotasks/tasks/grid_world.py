"""Find the way round a wall to the goal.

What the subject sees: which of the 9 x 10 cells it is in (90 numbers, one of them 1, rows from the
top), and on which of its four sides a wall is (4 numbers: above, right, below, left).

What it may do: go up (0), right (1), down (2) or left (3). Who goes into a wall stays where it was.

How it is scored: 10 for the step into the goal, -5 for every step into a wall and -0.1 for every
other step; the mean return of an episode. The course has the same goal and walls, and makes the
shorter way the better one by a discount of 0.9 instead of a price.

When it ends: in the goal, or after 200 steps.

Chance and ceiling: chance is a random walk; to go always the same way ends in pushing a wall, and
is worse. The ceiling is the value of the optimal policy by value iteration. Both are exact means
over the starts, which are all free cells with one probability. The course starts in row 2, column 2
and has its goal in row 2, column 7: seven steps, over the top of the block between them. In stage
"shift" the block has grown to the top, and the way leads below it: who walks by heart meets a wall
there, who minds its four sides can feel it, as in the detour task of Tolman.

Source: Sutton, Barto (2018), "Reinforcement learning: an introduction", chapters 6 and 8; detours
after Tolman, Honzik (1930), University of California Publications in Psychology 4:215.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from neurotasks.agent import Agent, RandomPolicy
from neurotasks.arrays import Array, namespace
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import RETURN
from neurotasks.registry import register
from neurotasks.rng import Draw
from neurotasks.task import ControlTask

HEIGHT, WIDTH = 9, 10
CELLS = HEIGHT * WIDTH
MAPS = {
    "block": (
        "##########"
        "#        #"
        "#   ## G #"
        "#   ##   #"
        "#   ##   #"
        "#        #"
        "#        #"
        "#        #"
        "##########"
    ),
    "spit": (
        "##########"
        "#   ##   #"
        "#   ## G #"
        "#   ##   #"
        "#   ##   #"
        "#        #"
        "#        #"
        "#        #"
        "##########"
    ),
}  # fmt: skip
STEPS = 200
MOVES = np.array([-WIDTH, 1, WIDTH, -1])  # up, right, down, left
GOAL_REWARD, WALL_REWARD, STEP_REWARD = 10.0, -5.0, -0.1

CARD = TaskCard(
    name="GridWorld",
    version=0,
    form="control",
    topic="control",
    courses=("Neuromatch Academy Deep Learning, W3D2", "Neuromatch Academy, W3D4"),
    summary="Find the shortest way to the goal, round a block of walls.",
    metric=RETURN,
    ceiling="exact",
    ceiling_source="value iteration over the cells, averaged over the starts",
    chance_source="a random walk, its expected return by recursion over 200 steps; exact",
    steps=STEPS,
    stages={
        "test": Stage(
            trials=1000, chance=-111.152976, ceiling=9.530612, parameters={"walls": "block"}
        ),
        "shift": Stage(
            trials=1000, chance=-122.516231, ceiling=9.444681, parameters={"walls": "spit"}
        ),
    },
    splits={},
    licence="generated; MIT",
    citation="Sutton, Barto (2018), Reinforcement learning: an introduction, MIT Press",
    tags=("control", "navigation", "reinforcement learning", "tabular"),
)


class Place(NamedTuple):
    """The state of B walkers.

    Attributes:
        cell: (B,) int64, row times 10 plus column.
        touch: (B, 4) float32, 1 where a wall is: above, right, below, left.
    """

    cell: Array
    touch: Array


@register(CARD)
class GridWorld(ControlTask[Place]):
    """Walkers between walls."""

    observation_space = spaces.Box(0.0, 1.0, (CELLS + len(MOVES),), np.float32)
    action_space = spaces.Discrete(len(MOVES))

    def initial(self, draw: Draw, *, walls: str) -> Place:
        """Draw a free cell."""
        world = grid(walls)
        cell = draw.asarray(world.starts)[draw.integers("start", len(world.starts))]
        return Place(cell, draw.asarray(world.touch)[cell])

    def observe(self, state: Place) -> Array:
        """Return the cell, one of 90, and the walls beside it."""
        xp = namespace(state.cell)
        cells = xp.arange(CELLS, device=state.cell.device)
        here = xp.astype(state.cell[:, None] == cells, xp.float32)
        return xp.concat((here, state.touch), axis=1)

    def step(
        self, state: Place, action: Array, draw: Draw, *, walls: str
    ) -> tuple[Place, Array, Array]:
        """Go to the next cells, where no wall is in the way."""
        world = grid(walls)
        cell = draw.asarray(world.after)[state.cell, action]
        reward = draw.asarray(world.reward)[state.cell, action]
        return Place(cell, draw.asarray(world.touch)[cell]), reward, cell == world.goal

    def trivial(self, stage: str = "test") -> Agent:
        """Walk at random."""
        self.card.stage(stage)
        return RandomPolicy(len(MOVES))

    def ideal(self, stage: str = "test") -> Agent:
        """Walk the shortest way of the stage's map."""
        return _Table(solve(self.card.stage(stage).parameters["walls"]).policy)


class Grid(NamedTuple):
    """A map as tables over its cells."""

    goal: int
    starts: NDArray[np.int64]  # (S,), the free cells but the goal
    touch: NDArray[np.float32]  # (90, 4)
    after: NDArray[np.int64]  # (90, 4), the next cell by action
    reward: NDArray[np.float64]  # (90, 4)


@lru_cache(maxsize=8)
def grid(walls: str) -> Grid:
    """Read a map.

    Args:
        walls: Its name in `MAPS`.
    """
    drawing = np.array(list(MAPS[walls]))
    wall, goal = drawing == "#", int(np.flatnonzero(drawing == "G")[0])
    cells = np.arange(CELLS)[:, None]
    ahead = np.clip(cells + MOVES, 0, CELLS - 1)  # only a wall has its neighbour outside
    blocked = wall[ahead]
    after = np.where(blocked, cells, ahead)
    reward = np.where(blocked, WALL_REWARD, np.where(after == goal, GOAL_REWARD, STEP_REWARD))
    return Grid(goal, np.flatnonzero(drawing == " "), blocked.astype(np.float32), after, reward)


class Solution(NamedTuple):
    """What can be earned from where, as a mean over the starts too."""

    value: float
    policy: NDArray[np.int64]  # (90,), the best action
    random: float  # value of a random walk


@lru_cache(maxsize=8)
def solve(walls: str) -> Solution:
    """Solve a map backwards in time, for the best and for the random walk."""
    world = grid(walls)
    goes_on = world.after != world.goal
    best, drift = np.zeros(CELLS), np.zeros(CELLS)
    policy = np.zeros(CELLS, dtype=np.int64)
    for _ in range(STEPS):
        gain = world.reward + np.where(goes_on, best[world.after], 0.0)
        policy, best = gain.argmax(axis=1), gain.max(axis=1)
        drift = (world.reward + np.where(goes_on, drift[world.after], 0.0)).mean(axis=1)
    return Solution(float(best[world.starts].mean()), policy, float(drift[world.starts].mean()))


@dataclass(frozen=True)
class _Table:
    """An action for each cell."""

    policy: NDArray[np.int64]

    def act(self, observation: Array, state: None) -> tuple[Array, None]:
        """Look up the cell."""
        return self.policy[np.asarray(observation)[..., :CELLS].argmax(axis=-1)], state
