"""REINFORCE with a learned baseline (Williams, 1992), all seeds and worlds as one batch.

All worlds begin an episode together and play it to its end. Then every action is made more likely
by as much as the discounted return after it was above what a second network expected there, and
less likely by as much as it was below. Nothing is said about an episode before it has ended, and no
step is learned from twice.

Returns are standardised over the episodes of each seed before they are compared, so that one
learning rate serves tasks whose rewards have other sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.deep import finish, networks_of, seen_by, stack_of, teach
from agents.devices import choose_device, one_thread
from agents.nets_base import Network
from agents.networks import Readout
from agents.optimiser import RowAdamW, schedule
from agents.play import Chance, Curves, Play, Step
from agents.policies import Answers
from agents.training import TorchAgent
from agents.trials import tensor
from neurotasks.agent import Budget, Log
from neurotasks.arrays import Array

__all__ = ["ReinforceLearner"]

_BLOCK = 32  # steps of all worlds that are learned from at once
_LONGEST = 1 << 20  # steps of an episode
_TINY = 1e-6  # keeps the division by a vanishing spread finite


@dataclass(frozen=True, kw_only=True)
class ReinforceLearner:
    """Learns a policy for each seed.

    Attributes:
        network: Name of a network without memory, for policy and baseline; see `NETWORKS`.
        width: Units of their hidden layers.
        learning_rate: The highest learning rate; it falls to zero along a cosine.
        discount: Of the reward one step later.
        spread: Standard deviation of the actions in a Box, in halves of its width (or in the
            action's unit, where it has no bounds).
        clip: Largest norm of the gradient of one seed.
        worlds: Episodes that each seed plays side by side between two updates.
        checks: How often during the budget progress is logged.
        device: "auto", "cpu" or "cuda"; small networks are fastest on the processor.
    """

    network: str = "mlp"
    width: int = 64
    learning_rate: float = 1e-2
    discount: float = 0.99
    spread: float = 0.5
    clip: float = 1.0
    worlds: int = 16
    checks: int = 20
    device: str = "cpu"

    def learn(
        self, task: Any, *, seeds: Sequence[int], budget: Budget, log: Log
    ) -> list[TorchAgent]:
        """Learn a control task (or a trial task, as a game of one trial), all seeds side by side.

        Args:
            task: The task.
            seeds: One for each agent.
            budget: Environment steps of each seed; the episodes that reach it are played out.
            log: Gets "return" and "cpu_seconds"; see `Curves`.

        Raises:
            TypeError: The spaces are neither Discrete nor Box, or the network does not fit.
            TrainingDiverged: The weights of a seed are no longer numbers; all others have learned.
        """
        with one_thread():
            agents = _Training(task, seeds, budget.samples, self).run(log)
        cure = f"lower the learning rate (now {self.learning_rate:g})"
        return finish(task, agents, seeds, cure)


class _Episodes:
    """What was seen and done while all worlds played one episode.

    Args:
        shape: (S, W).

    Attributes:
        x: Observations as the stacks take them, (S, W, 1, ...) for each step.
        y: What was chosen, (S, W) classes or (S, W, A) coordinates for each step.
        reward: (S, W) for each step; 0 after the end.
        alive: (S, W) before each step, whether the episode was going on, and after the last.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.x: list[Tensor] = []
        self.y: list[Tensor] = []
        self.reward: list[NDArray[np.float64]] = []
        self.alive: list[NDArray[np.bool_]] = [np.ones(shape, dtype=np.bool_)]

    def add(self, x: Tensor, y: Tensor, found: Step) -> None:
        """Add a step."""
        self.x.append(x)
        self.y.append(y)
        self.reward.append(np.where(self.alive[-1], found.reward, 0.0))
        self.alive.append(self.alive[-1] & ~found.done)

    @property
    def steps(self) -> NDArray[np.int64]:
        """How many steps each seed was shown, (S,)."""
        return np.sum(self.alive[:-1], axis=(0, 2))

    @property
    def total(self) -> NDArray[np.float64]:
        """The mean return of each seed, (S,), not discounted."""
        return np.sum(self.reward, axis=0).mean(axis=1)

    def returns(self, discount: float) -> NDArray[np.float64]:
        """Return what was earned from each step on, discounted, (T, S, W)."""
        after, found = np.zeros_like(self.reward[0]), []
        for reward in reversed(self.reward):
            after = reward + discount * after
            found.append(after)
        return np.stack(found[::-1])


class _Training:
    """The loop over episodes and updates."""

    def __init__(
        self, task: Any, seeds: Sequence[int], samples: int, settings: ReinforceLearner
    ) -> None:
        self.seeds, self.samples, self.settings = list(seeds), samples, settings
        self.device = choose_device(settings.device)
        self.play = Play(task, seeds, settings.worlds)
        self.answers = Answers.to(task.action_space)
        one = Readout("squared error", (1,), 1, classes=False)
        network, width = settings.network, settings.width
        readout = self.answers.readout
        self.policy = stack_of(task, network, readout, width, seeds, self.device)
        self.baseline = stack_of(task, network, one, width, seeds, self.device)
        self.optimisers = [
            RowAdamW(stack.weights, weight_decay=0.0, clip=settings.clip)
            for stack in (self.policy, self.baseline)
        ]
        numbers = (settings.worlds, readout.size)
        name, classes = f"{task.card.label} REINFORCE", readout.classes
        self.chance = Chance(name, seeds, numbers, normal=not classes)
        self.shown = np.zeros(len(self.seeds), dtype=np.int64)
        self.final = self.policy.weights.clone()  # of the seeds that have used up their budget

    def run(self, log: Log) -> list[TorchAgent]:
        """Play and learn until every seed has used up its budget."""
        curves, checks = Curves(len(self.seeds), log), self.settings.checks
        turn, before = 0, self.shown
        while (running := before < self.samples).any():
            # What a seed draws must not depend on how long the others' episodes last.
            self.chance.seek(turn * _LONGEST)
            episodes = self._play()
            self.shown = before + np.where(running, episodes.steps, 0)
            self._learn(episodes, before / self.samples)
            rows = tensor(running, self.device)
            self.final[rows] = self.policy.weights[rows]
            noted = self.shown * checks // self.samples > before * checks // self.samples
            if noted.any():
                curves.note(self.shown.tolist(), episodes.total, noted)
            turn, before = turn + 1, self.shown
        curves.close()
        readout = self.answers.readout
        networks = networks_of(self.policy, self.final)
        if not readout.classes:
            networks = [Bounded(network, self.answers) for network in networks]
        pairs = zip(networks, self.shown.tolist(), strict=True)
        return [TorchAgent(network, readout, shown) for network, shown in pairs]

    def _play(self) -> _Episodes:
        """Play one episode in all worlds."""
        self.play.begin()
        episodes = _Episodes(self.play.shape)
        while episodes.alive[-1].any():
            x = seen_by(self.policy, self.play.seen)
            choice = self._choose(self.policy.answer(x)[:, :, 0])
            action = self.answers.action(choice.flatten(0, 1)).cpu().numpy()
            found = self.play.step(
                action.reshape(*self.play.shape, *action.shape[1:]), restart=False
            )
            episodes.add(x, choice, found)
        return episodes

    def _choose(self, output: Tensor) -> Tensor:
        """Return classes (S, W), or points (S, W, A), drawn from what the policies answer."""
        numbers = tensor(self.chance.draw(), self.device)
        if not self.answers.readout.classes:
            return (output + self.settings.spread * numbers).nan_to_num_()
        # The largest of logits and Gumbel noise is a class drawn by their softmax.
        return (output - (-numbers.clamp(min=_TINY).log()).log()).argmax(dim=-1)

    def _learn(self, episodes: _Episodes, progress: NDArray[np.float64]) -> None:
        """Learn from the episodes of all worlds."""
        alive = np.stack(episodes.alive[:-1])  # (T, S, W)
        wanted = _standardised(episodes.returns(self.settings.discount), alive)
        share = alive / alive.sum(axis=(0, 2), keepdims=True)
        blocks = [self._block(episodes, wanted, share, t) for t in range(0, len(alive), _BLOCK)]
        gradients = [torch.zeros_like(stack.weights) for stack in (self.policy, self.baseline)]
        for x, y, target, part in blocks:
            expected = self.baseline.answer(x)[..., 0]
            weight = (target - expected) * part
            if not self.answers.readout.classes:  # the slope of the density's logarithm
                weight *= self.answers.readout.size / (2 * self.settings.spread**2)
            teach(self.policy, x, y, weight)
            gradients[0] += self.policy.gradient
            teach(self.baseline, x, target[..., None], part)
            gradients[1] += self.baseline.gradient
        rates = tensor([schedule(min(part, 1.0), 0.0) for part in progress], self.device)
        stacks = (self.policy, self.baseline)
        for stack, optimiser, gradient in zip(stacks, self.optimisers, gradients, strict=True):
            old = stack.weights.clone()
            optimiser.step(stack.weights, gradient, self.settings.learning_rate)
            # A step is proportional to its rate, which each seed has for itself.
            stack.weights.copy_(torch.lerp(old, stack.weights, rates[:, None].float()))

    def _block(
        self, episodes: _Episodes, wanted: Array, share: Array, start: int
    ) -> tuple[Tensor, ...]:
        """Return some steps of all worlds: inputs, choices, returns and weights, (S, B, 1, ...).

        The last block is filled up to a power of two with steps that weigh nothing, so that the
        stacks meet few sizes.
        """
        x, y = (torch.stack(part[start : start + _BLOCK]) for part in (episodes.x, episodes.y))
        numbers = (tensor(part[start : start + _BLOCK], self.device) for part in (wanted, share))
        parts = (x, y[:, :, :, None], *(part.float()[..., None] for part in numbers))
        missing = (1 << (len(x) - 1).bit_length()) - len(x)
        return tuple(
            torch.cat((part, part.new_zeros(missing, *part.shape[1:])))
            .transpose(0, 1)
            .flatten(1, 2)
            for part in parts
        )


class Bounded(Network):
    """A network whose outputs are actions in a Box.

    Args:
        network: Answers points, with coordinates from -1 to 1 over the Box.
        answers: What they mean.
    """

    middle: Tensor
    reach: Tensor

    def __init__(self, network: Network, answers: Answers) -> None:
        super(Network, self).__init__()
        self.network, self.encoder = network, network.encoder
        self.register_buffer("middle", answers.middle)
        self.register_buffer("reach", answers.reach)

    def body(self, encoded: Tensor) -> Tensor:
        """Cut the points to the Box, and scale them."""
        return self.middle + self.reach * self.network.body(encoded).clamp(-1.0, 1.0)


def _standardised(returns: NDArray[np.float64], alive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the returns (T, S, W) with mean 0 and spread 1 over the living steps of each seed."""
    count = alive.sum(axis=(0, 2), keepdims=True)
    mean = np.where(alive, returns, 0.0).sum(axis=(0, 2), keepdims=True) / count
    away = np.where(alive, returns - mean, 0.0)
    spread = np.sqrt(np.square(away).sum(axis=(0, 2), keepdims=True) / count)
    return away / (spread + _TINY)
