"""What learners of streams on a stack of networks share: turns, networks, trials, and failures."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from agents.choice import choose
from agents.devices import choose_device, one_thread
from agents.heads import slope_in_heads, untold
from agents.networks import NETWORKS, Network, Readout, readout
from agents.optimiser import RowSGD
from agents.stack import Stack
from agents.stream_trials import load
from agents.training import TorchAgent, TrainingDiverged
from neurotasks.agent import Budget, Log
from neurotasks.task import Batch, Experience

__all__ = ["Run", "StackedLearner"]


@dataclass
class Run:
    """The seeds that go through a stream side by side.

    Attributes:
        seeds: The seeds.
        stack: Their networks; of a told stream the networks below the heads.
        optimiser: It goes on from experience to experience, its velocity too.
        orders: A generator for each seed.
        shown: How many trials each seed was shown so far.
    """

    seeds: list[int]
    stack: Stack
    optimiser: RowSGD
    orders: list[torch.Generator]
    shown: int = 0


@dataclass(kw_only=True)
class StackedLearner(ABC):
    """Teaches networks a stream, those of all seeds side by side.

    Called with experience 0 it starts afresh; called with a later one it goes on from the one
    before. The budget counts the trials that are shown, those from a memory included.

    Attributes:
        network: Name of the network; see `NETWORKS`.
        width: Units of its hidden layers.
        learning_rate: Of stochastic gradient descent.
        momentum: Of the same.
        batch: New trials of each seed in one step.
        clip: Largest norm of the gradient of one seed; infinite to leave it as it is.
        device: "auto", "cpu" or "cuda".
        stacked: Whether all seeds compute side by side; None to follow what was measured.
    """

    network: str = "mlp"
    width: int = 128
    learning_rate: float = 0.03
    momentum: float = 0.9
    batch: int = 32
    clip: float = math.inf
    device: str = "auto"
    stacked: bool | None = None
    _run: Run | None = field(default=None, init=False, repr=False)
    _next: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what does not exist."""
        if self.network not in NETWORKS:
            raise ValueError(f"there is no {self.network!r}; there are {', '.join(NETWORKS)}")

    def learn(
        self, task: Experience, *, seeds: Sequence[int], budget: Budget, log: Log
    ) -> list[TorchAgent]:
        """Learn one experience of a stream, all seeds side by side.

        Args:
            task: The experience.
            seeds: One for each agent; the same ones for all experiences of a stream.
            budget: Trials to be shown in this experience, rounded up to whole batches.
            log: Gets the mean training loss over the seeds.

        Returns:
            The agents. Their networks go on being trained when the next experience is learned.

        Raises:
            TypeError: The task is no experience of a stream, or no network fits its spaces.
            ValueError: The experience, or the seeds, are not those that come next; or the budget
                holds no sample.
            TrainingDiverged: Weights of some seeds became infinite or NaN. The error holds the
                agents of the others.
        """
        self._check(task, seeds, budget)
        answer, device = readout(task.card, task.action_space), choose_device(self.device)
        with one_thread():
            trials = [
                load(task.dataset("train", seed), answer, task.task.told, device) for seed in seeds
            ]
            if task.index == 0:
                self._run = self._start(task, answer, seeds, trials)
                self._begin(self._run, task)
            run = self.running
            loss = self._teach(run, task, trials, budget.samples)
            networks = self._networks(run, task)
        trained = f"{len(seeds)} seeds, {run.stack.kind}"
        agents = {
            seed: TorchAgent(network, answer, run.shown, trained)
            for seed, network in zip(seeds, networks, strict=True)
        }
        self._check_finite(run, loss, task, agents)
        self._next = task.index + 1
        log(run.shown, loss=float(loss.mean()))
        return list(agents.values())

    @property
    def running(self) -> Run:
        """The seeds on their way through the stream."""
        if self._run is None:
            raise ValueError(f"{self._name} has not begun a stream")
        return self._run

    @abstractmethod
    def _heads(self, told: int) -> int:
        """Return how many heads a network has where so many tasks are told; at least one."""

    @abstractmethod
    def _begin(self, run: Run, task: Experience) -> None:
        """Make what goes beside the networks of a new stream."""

    @abstractmethod
    def _teach(self, run: Run, task: Experience, trials: Sequence[Batch], samples: int) -> Tensor:
        """Learn an experience and return the mean losses (S,)."""

    @abstractmethod
    def _networks(self, run: Run, task: Experience) -> Sequence[Network]:
        """Return networks that answer as the seeds now do."""

    def _check(self, task: Experience, seeds: Sequence[int], budget: Budget) -> None:
        if not isinstance(task, Experience):
            raise TypeError(f"{task.card.id} is no experience; {self._name} learns streams")
        if budget.samples < 1:
            raise ValueError(
                f"a budget of {budget.samples} samples teaches nothing; give at least 1"
            )
        before = self._run.seeds if self._run and self._next else []
        if task.index and (task.index != self._next or list(seeds) != before):
            raise ValueError(
                f"experience {task.index} of {task.card.id} comes out of turn: expected experience "
                f"{self._next} with seeds {before}; begin again with experience 0"
            )
        if task.index == 0:
            self._next = 0

    def _start(
        self, task: Experience, answer: Readout, seeds: Sequence[int], trials: Sequence[Batch]
    ) -> Run:
        """Return a new run; each seed has weights and an order of its own."""
        told, device = task.task.told, trials[0].x.device
        if told and not answer.classes:
            raise TypeError(f"{task.card.id} tells the task, but its answers are no classes")
        every = replace(answer, size=answer.size * self._heads(told))
        networks = [self._untrained(task, every.size, seed).to(device) for seed in seeds]
        for network, batch in zip(networks, trials, strict=True):
            network.encoder.fit(batch.x)
        stack: Stack = choose(networks, every, trials[0].x[: self.batch], stacked=self.stacked)
        if self._heads(told) > 1:
            stack.slope = partial(slope_in_heads, tasks=told)
        optimiser = RowSGD(stack.weights, momentum=self.momentum, clip=self.clip)
        orders = [torch.Generator().manual_seed(seed) for seed in seeds]
        return Run(list(seeds), stack, optimiser, orders)

    def _untrained(self, task: Experience, outputs: int, seed: int) -> Network:
        """Return a network with the weights of a seed, whatever the global generator's state."""
        space = task.observation_space
        if task.task.told:
            space = untold(space, task.task.told)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return NETWORKS[self.network](space, outputs, self.width)

    def _check_finite(
        self, run: Run, loss: Tensor, task: Experience, agents: Mapping[int, TorchAgent]
    ) -> None:
        """Raise if a weight is no number: accuracy and forgetting would still look like some."""
        good = (run.stack.weights.isfinite().all(dim=1) & loss.isfinite()).tolist()
        bad = [seed for seed, whole in zip(run.seeds, good, strict=True) if not whole]
        if not bad:
            return
        self._next = 0
        what = f"weights that are no numbers after experience {task.index} of {task.card.id}"
        raise TrainingDiverged(
            f"{self._name} with seed {', '.join(map(str, bad))} has {what}: {self._cure}",
            {seed: agent for seed, agent in agents.items() if seed not in bad},
            dict.fromkeys(bad, what),
        )

    @property
    def _name(self) -> str:
        """What learns, for messages."""
        return type(self).__name__

    @property
    def _cure(self) -> str:
        """What helps when weights grow beyond all bounds."""
        return f"lower the learning rate (now {self.learning_rate:g}) or clip gradients"
