"""Deep Q-networks (Mnih et al., 2015), the networks and worlds of all seeds as one batch.

A network answers with the value of each action. It learns from steps that are remembered: the value
of the action taken is moved towards the reward plus the discounted value of the best action where
it led to, as a copy of the network that is renewed now and then sees it. In the double form (van
Hasselt et al., 2016) the network itself says which action is best there, and the copy what it is
worth. Errors beyond 1 pull with the force of 1 (Mnih's clipped error, Huber's loss).

What has been learned may be lost again: the answer is the network that earned most in training
between two checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.deep import finish, networks_of, seen_by, stack_of, teach
from agents.devices import choose_device, one_thread
from agents.networks import Readout
from agents.optimiser import RowAdamW, schedule
from agents.play import Chance, Curves, Play, Step
from agents.training import TorchAgent
from agents.trials import tensor
from neurotasks.agent import Budget, Log
from neurotasks.arrays import Array

__all__ = ["DQNLearner"]


@dataclass(frozen=True, kw_only=True)
class DQNLearner:
    """Learns the values of actions for each seed, with epsilon-greedy choices.

    Attributes:
        network: Name of a network without memory; see `NETWORKS`.
        width: Units of its hidden layers.
        learning_rate: The highest learning rate; it falls to zero along a cosine.
        discount: Of the reward one step later.
        batch: Remembered steps of each seed in one update.
        updates: Updates after each step of all worlds.
        memory: How many of the last steps each seed remembers.
        starts: Steps of each seed, all random, before it learns.
        renewal: Updates after which the copy is renewed.
        double: Whether the network, not its copy, says which action is best.
        epsilon: Part of the choices that are random, at first.
        final_epsilon: The same in the end.
        exploration: Part of the budget over which it falls from the one to the other, in a line.
        clip: Largest norm of the gradient of one seed.
        worlds: Worlds that each seed plays side by side.
        checks: How often during the budget progress is logged, and the best network kept.
        device: "auto", "cpu" or "cuda"; small networks are fastest on the processor.
    """

    network: str = "mlp"
    width: int = 64
    learning_rate: float = 1e-3
    discount: float = 0.99
    batch: int = 64
    updates: int = 2
    memory: int = 50_000
    starts: int = 1_000
    renewal: int = 200
    double: bool = True
    epsilon: float = 1.0
    final_epsilon: float = 0.05
    exploration: float = 0.3
    clip: float = 10.0
    worlds: int = 8
    checks: int = 20
    device: str = "cpu"

    def learn(
        self, task: Any, *, seeds: Sequence[int], budget: Budget, log: Log
    ) -> list[TorchAgent]:
        """Learn a control task (or a trial task, as a game of one trial), all seeds side by side.

        Args:
            task: The task.
            seeds: One for each agent.
            budget: Environment steps of each seed, rounded down to whole steps of all its worlds.
            log: Gets "return" and "cpu_seconds"; see `Curves`.

        Raises:
            TypeError: The actions are not classes, or the network does not fit the task.
            TrainingDiverged: The weights of a seed are no longer numbers; all others have learned.
        """
        space = task.action_space
        if not isinstance(space, gym.spaces.Discrete):
            raise TypeError(f"DQN gives values to the actions of a Discrete space, not of {space}")
        with one_thread():
            agents = _Training(task, seeds, budget.samples, self).run(log)
        cure = f"lower the learning rate (now {self.learning_rate:g})"
        return finish(task, agents, seeds, cure)

    def part_random(self, progress: float) -> float:
        """Return which part of the choices is random after a part of the budget."""
        fallen = min(progress / self.exploration, 1.0) if self.exploration > 0 else 1.0
        return self.epsilon + (self.final_epsilon - self.epsilon) * fallen


class _Training:
    """The loop over steps and updates."""

    def __init__(self, task: Any, seeds: Sequence[int], samples: int, settings: DQNLearner) -> None:
        self.seeds, self.settings = list(seeds), settings
        self.start, self.actions = int(task.action_space.start), int(task.action_space.n)
        self.device = choose_device(settings.device)
        self.worlds = settings.worlds
        self.steps = max(samples // self.worlds, 1)
        self.play = Play(task, seeds, self.worlds)
        values = Readout("squared error", (self.actions,), self.actions, classes=False)
        self.stack = stack_of(task, settings.network, values, settings.width, seeds, self.device)
        self.copy = self.stack.narrowed(range(len(seeds)))
        self.optimiser = RowAdamW(self.stack.weights, weight_decay=0.0, clip=settings.clip)
        rooms = max(min(settings.memory // self.worlds, self.steps), 1) * self.worlds
        self.memory = _Memory(self.play.seen, rooms, self.device)
        name = task.card.label
        self.choice = Chance(f"{name} DQN choice", seeds, (self.worlds, 2))
        self.replay = Chance(f"{name} DQN replay", seeds, (settings.batch,))
        self.weight = torch.full(
            (len(seeds), settings.batch, 1), 1 / settings.batch, device=self.device
        )
        self.learned = 0  # updates so far

    def run(self, log: Log) -> list[TorchAgent]:
        """Act, remember and learn until the budget is used up."""
        curves, checks = Curves(len(self.seeds), log), self.settings.checks
        best, kept = np.full(len(self.seeds), -np.inf), self.stack.weights.clone()
        for step in range(self.steps):
            progress = step / self.steps
            seen = self.play.seen
            action = self._choose(seen, self.settings.part_random(progress))
            self.memory.keep(seen, action, self.play.step(action + self.start))
            shown = (step + 1) * self.worlds
            if shown >= self.settings.starts:
                for _ in range(self.settings.updates):
                    self._update(self.settings.learning_rate * schedule(progress, 0.0))
            if (step + 1) * checks // self.steps > step * checks // self.steps:
                returns = self.play.recent()
                curves.note([shown] * len(self.seeds), returns)
                better = tensor(returns > best, self.device)
                kept[better] = self.stack.weights[better]
                best = np.fmax(best, returns)
        curves.close()
        whole = self.stack.weights.isfinite().all(dim=1) & tensor(best > -np.inf, self.device)
        final = torch.where(whole[:, None], kept, self.stack.weights)
        readout = Readout("cross-entropy", (), self.actions, classes=True, start=self.start)
        shown = self.steps * self.worlds
        return [TorchAgent(network, readout, shown) for network in networks_of(self.stack, final)]

    def _choose(self, seen: Array, epsilon: float) -> NDArray[np.int64]:
        """Return actions (S, W) from 0 up."""
        numbers = self.choice.draw()
        random = (numbers[..., 1] * self.actions).astype(np.int64)
        explores = numbers[..., 0] < epsilon
        if explores.all():
            return random
        values = self.stack.answer(seen_by(self.stack, seen))
        return np.where(explores, random, values[:, :, 0].argmax(dim=-1).cpu().numpy())

    def _update(self, rate: float) -> None:
        """Learn from one batch of remembered steps for each seed."""
        if self.learned % self.settings.renewal == 0:
            self.copy.weights.copy_(self.stack.weights)
        self.learned += 1
        batch = self.memory.sample(self.replay.draw())
        x, after = seen_by(self.stack, batch.seen), seen_by(self.copy, batch.after)
        wanted = batch.reward + self.settings.discount * batch.goes_on * self._worth(after)
        values = self.stack.answer(x)[:, :, 0]  # (S, B, A)
        action = batch.action[..., None]
        pull = (wanted[..., None] - values.gather(-1, action)).clamp_(-1.0, 1.0)
        # Half of the squared error's slope, a mean over the actions, is then the clipped error.
        target = values.scatter_add(-1, action, pull * (self.actions / 2))
        teach(self.stack, x, target[:, :, None], self.weight)
        self.optimiser.step(self.stack.weights, self.stack.gradient, rate)

    def _worth(self, after: Tensor) -> Tensor:
        """Return the value (S, B) of the best action in what came after."""
        values = self.copy.answer(after)[:, :, 0]
        if not self.settings.double:
            return values.amax(dim=-1)
        best = self.stack.answer(after)[:, :, 0].argmax(dim=-1, keepdim=True)
        return values.gather(-1, best)[..., 0]


class _Batch(NamedTuple):
    """Remembered steps, (S, B, ...) each."""

    seen: Tensor
    action: Tensor
    reward: Tensor
    after: Tensor
    goes_on: Tensor


class _Memory:
    """The last steps of all seeds, on the device.

    Args:
        seen: An observation of all worlds, (S, W, *observation).
        rooms: How many steps of each seed are kept, a multiple of W.
        device: Where.
    """

    def __init__(self, seen: Array, rooms: int, device: torch.device) -> None:
        self.rooms, self.device, seeds = rooms, device, len(seen)
        self.next = self.filled = 0
        example = tensor(seen, device)
        self.columns = _Batch(
            example.new_empty(seeds, rooms, *example.shape[2:]),
            torch.empty(seeds, rooms, dtype=torch.int64, device=device),
            torch.empty(seeds, rooms, device=device),
            example.new_empty(seeds, rooms, *example.shape[2:]),
            torch.empty(seeds, rooms, device=device),
        )
        self.first = torch.arange(seeds, device=device)[:, None] * rooms

    def keep(self, seen: Array, action: Array, found: Step) -> None:
        """Remember one step of all worlds in the place of the oldest one."""
        worlds = seen.shape[1]
        place = slice(self.next, self.next + worlds)
        news = (seen, action, found.reward, found.last, ~found.terminated)
        for column, new in zip(self.columns, news, strict=True):
            column[:, place] = tensor(new, self.device)
        self.next = (self.next + worlds) % self.rooms
        self.filled = min(self.filled + worlds, self.rooms)

    def sample(self, numbers: NDArray[np.float64]) -> _Batch:
        """Return remembered steps.

        Args:
            numbers: (S, B) uniform in [0, 1): which.
        """
        index = (tensor(numbers, self.device) * self.filled).long() + self.first
        flat = index.reshape(-1)
        taken = (column.flatten(0, 1).index_select(0, flat) for column in self.columns)
        return _Batch(*(part.view(*index.shape, *part.shape[1:]) for part in taken))
