"""Proximal policy optimisation on a stream of worlds: one kind of world after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from agents.ppo import PPOLearner
from agents.ppo_loop import PPOTraining
from agents.training import TorchAgent
from neurotasks.agent import Budget, Log
from neurotasks.task import ControlTask, Task

__all__ = ["STRATEGIES", "PPOStreamLearner"]

STRATEGIES = ("naive", "joint")


@dataclass(frozen=True, kw_only=True)
class PPOStreamLearner(PPOLearner):
    """Teaches an actor-critic a stream of worlds, all seeds side by side.

    Called with the first kind of world it starts afresh; called with a later one it goes on with
    the weights that it has, and with a fresh optimiser.

    Attributes:
        strategy: "naive" learns the present kind alone; "joint" learns all kinds by turns when it
            is called with the first, for the budget of the whole stream: it looks ahead, and says
            how good the network could be.
    """

    strategy: str = "naive"
    _weights: dict[tuple[int, ...], Tensor] = field(default_factory=dict, init=False, repr=False)
    _agents: dict[tuple[int, ...], list[TorchAgent]] = field(
        default_factory=dict, init=False, repr=False
    )
    _next: list[int] = field(default_factory=lambda: [0], init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what does not exist."""
        super().__post_init__()
        if self.strategy not in STRATEGIES:
            raise ValueError(f"there is no {self.strategy!r}; there are {', '.join(STRATEGIES)}")

    def learn(
        self, task: Task, *, seeds: Sequence[int], budget: Budget, log: Log
    ) -> list[TorchAgent]:
        """Learn one kind of world of a stream.

        Args:
            task: One of `ControlTask.stream()`, in order.
            seeds: One for each agent; the same ones for all kinds of a stream.
            budget: Environment steps of each seed in this kind of world.
            log: As that of `PPOLearner`.

        Raises:
            TypeError: The task is no part of a stream of worlds.
            ValueError: Another kind, or another seed, comes next.
            TrainingDiverged: Weights of a seed became infinite or NaN.
        """
        if not isinstance(task, ControlTask) or task.index is None or task.whole is None:
            raise TypeError(f"{task.card.id} is no part of a stream of worlds; use PPOLearner")
        own = tuple(seeds)
        if task.index == 0:
            self._weights.clear()
            self._agents.clear()
        elif task.index != self._next[0] or own not in self._agents:
            known = [list(seeds) for seeds in self._agents]
            raise ValueError(
                f"part {task.index} of {task.card.id} comes out of turn: expected part "
                f"{self._next[0]} with seeds {known}; begin again with part 0"
            )
        if self.strategy == "naive":
            self._agents[own] = self._go_on(task, own, budget, log)
        elif task.index == 0:
            whole = PPOTraining(task.whole, own, budget.samples * task.experiences, self)
            self._agents[own] = self.run(whole, task, log)
        self._next[0] = task.index + 1
        return self._agents[own]

    def held(self) -> list[int]:
        """Return 0 for each seed: nothing is kept beside the network."""
        return [0 for seeds in self._agents for _ in seeds]

    def _go_on(
        self, task: ControlTask[Any], seeds: tuple[int, ...], budget: Budget, log: Log
    ) -> list[TorchAgent]:
        """Learn a kind of world from the weights that the last one left."""
        training = PPOTraining(task, seeds, budget.samples, self)
        if seeds in self._weights:
            training.rows.weights.copy_(self._weights[seeds])
        agents = self.run(training, task, log)
        self._weights[seeds] = training.rows.weights.clone()
        return agents
