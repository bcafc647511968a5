"""Agents: whatever maps observations to actions, batched and recurrent from the start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from neurotasks.arrays import Array
from neurotasks.rng import Draw

__all__ = [
    "Agent",
    "Budget",
    "Holder",
    "Learner",
    "Log",
    "Observer",
    "Policy",
    "RandomPolicy",
    "Watcher",
    "seeded",
    "silent",
]


@runtime_checkable
class Agent(Protocol):
    """What answers."""

    def act(self, observation: Array, state: Any) -> tuple[Array, Any]:
        """Answer a block of steps.

        Args:
            observation: (B, T, *observation), B trials side by side and T successive steps.
            state: What the agent remembers of these B trials; None at their first step.

        Returns:
            The actions (B, T, *action), and the state for the next block. The answer at a step may
            depend on that step and on earlier ones only.
        """
        ...


@dataclass(frozen=True)
class Budget:
    """How much a learner may use.

    Attributes:
        name: "smoke", "quick" or "full".
        samples: Training trials (for control: environment steps) shown, repeats counted.
    """

    name: str
    samples: int


class Log(Protocol):
    """Where a learner reports its progress."""

    def __call__(self, samples: int, **scalars: float) -> None:
        """Record named numbers after this many samples."""
        ...


@runtime_checkable
class Watcher(Protocol):
    """A log that also looks on: learners that can, tell it how they do while they learn."""

    def watch(self, samples: int, validation: float) -> None:
        """Hear the mean raw validation metric of all seeds; whatever this raises ends learning."""
        ...


def silent(samples: int, **scalars: float) -> None:
    """Record nothing."""


@runtime_checkable
class Learner(Protocol):
    """What turns a task into agents, one for each seed, trained side by side."""

    def learn(
        self, task: Any, *, seeds: Sequence[int], budget: Budget, log: Log
    ) -> Sequence[Agent]:
        """Learn a task from scratch; for an `Experience` of a stream, go on learning.

        Args:
            task: A trial task, a control task or an experience of a stream.
            seeds: One for each agent: it sets the agent's weights and its training trials.
            budget: How much may be used.
            log: Where progress is reported.

        Returns:
            The trained agents, in the order of the seeds.
        """
        ...


@runtime_checkable
class Holder(Protocol):
    """A learner of streams that says how much it keeps from one experience to the next."""

    def held(self) -> Sequence[int]:
        """Return the bytes that each seed keeps beside its network.

        They are trials in a memory, importances of weights, older networks, masks.
        """
        ...


@dataclass(frozen=True)
class Policy:
    """An agent without memory: a pure function from observations to actions."""

    function: Callable[[Array], Array]

    def act(self, observation: Array, state: Any) -> tuple[Array, Any]:
        """Answer each step by itself."""
        return self.function(observation), state


@dataclass(frozen=True)
class Observer:
    """An agent that remembers all that it has seen of a trial.

    Attributes:
        function: From all that was shown, (B, T, *observation), to the answers (B, T, *action). The
            answer at a step may look at that step and at earlier ones only.
    """

    function: Callable[[Array], Array]

    def act(self, observation: Array, state: Array | None) -> tuple[Array, Array]:
        """Answer a block of steps; the state is what was shown before."""
        seen = np.asarray(observation)
        if state is not None:
            seen = np.concatenate([state, seen], axis=1)
        return self.function(seen)[:, -observation.shape[1] :], seen


@dataclass(frozen=True)
class RandomPolicy:
    """An agent that answers a uniformly drawn class, whatever it sees.

    Attributes:
        actions: How many classes there are.
        seed: The seed of its choices.
    """

    actions: int
    seed: int = 0

    def act(self, observation: Array, state: Any) -> tuple[Array, Any]:
        """Answer at random; the state counts the steps so far."""
        rows, steps = observation.shape[:2]
        done = 0 if state is None else state
        draw = Draw("RandomPolicy", "test", self.seed, done, steps)
        return np.moveaxis(draw.integers("action", self.actions, (rows,)), 0, 1), done + steps


def seeded(agent: Agent, seed: int) -> Agent:
    """Return an agent with the choices, or the knowledge, of a seed, where it has a `seed`."""
    return replace(agent, seed=seed) if hasattr(agent, "seed") else agent  # type: ignore[type-var]
