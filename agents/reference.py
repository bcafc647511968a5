"""The two agents that hold the scale: the trivial one at score 0, the ideal observer at score 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neurotasks.agent import Agent, Budget, Log, seeded
from neurotasks.task import Experience, Task

__all__ = ["Ideal", "Trivial"]


@dataclass(frozen=True)
class Trivial:
    """Answers with the best agent that ignores the observation; it learns nothing.

    Attributes:
        stage: The stage whose frequencies the agent knows.
    """

    stage: str = "test"

    def learn(
        self, task: Task | Experience, *, seeds: Sequence[int], budget: Budget, log: Log
    ) -> list[Agent]:
        """Return the task's trivial agent for each seed."""
        del budget, log  # nothing is learned
        return [seeded(_whole(task).trivial(self.stage), seed) for seed in seeds]


@dataclass(frozen=True)
class Ideal:
    """Answers with the ideal observer of a stage.

    Attributes:
        stage: The stage whose statistics the observer knows: it is ideal in that stage alone.
    """

    stage: str = "test"

    def learn(
        self, task: Task | Experience, *, seeds: Sequence[int], budget: Budget, log: Log
    ) -> list[Agent]:
        """Return the task's ideal observer for each seed.

        Raises:
            NoIdealObserver: The task has none.
        """
        del budget, log  # nothing is learned
        return [seeded(_whole(task).ideal(self.stage), seed) for seed in seeds]


def _whole(task: Task | Experience) -> Task:
    """Return the task itself: an experience stands for its stream."""
    return task.task if isinstance(task, Experience) else task
