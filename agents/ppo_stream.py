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


@dataclass
class _Way:
    """How far a learner has come on a stream.

    Attributes:
        seeds: Who is on the way.
        next: The kind of world that comes next.
        weights: Of all networks, once there are some.
        agents: Those that answer now.
    """

    seeds: tuple[int, ...] = ()
    next: int = 0
    weights: Tensor | None = None
    agents: list[TorchAgent] = field(default_factory=list)


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
    _way: _Way = field(default_factory=_Way, init=False, repr=False)

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
        way = self._way
        if task.index == 0:
            way.seeds, way.weights = tuple(seeds), None
        elif task.index != way.next or tuple(seeds) != way.seeds:
            raise ValueError(
                f"part {task.index} of {task.card.id} comes out of turn: expected part {way.next} "
                f"with seeds {list(way.seeds)}; begin again with part 0"
            )
        if self.strategy == "naive":
            way.agents = self._go_on(task, budget, log)
        elif task.index == 0:
            whole = PPOTraining(task.whole, seeds, budget.samples * task.experiences, self)
            way.agents = self.run(whole, task, log)
        way.next = task.index + 1
        return way.agents

    def held(self) -> list[int]:
        """Return 0 for each seed: nothing is kept beside the network."""
        return [0] * len(self._way.seeds)

    def _go_on(self, task: ControlTask[Any], budget: Budget, log: Log) -> list[TorchAgent]:
        """Learn a kind of world from the weights that the last one left."""
        way = self._way
        training = PPOTraining(task, way.seeds, budget.samples, self)
        if way.weights is not None:
            training.rows.weights.copy_(way.weights)
        agents = self.run(training, task, log)
        way.weights = training.rows.weights.clone()
        return agents
