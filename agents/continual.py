"""Strategies of Avalanche on our streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from agents.avalanche import avalanche, quiet
from agents.devices import choose_device, one_thread
from agents.isolation import isolated
from agents.networks import NETWORKS, Network, readout
from agents.training import TorchAgent, TrainingDiverged
from neurotasks.agent import Budget, Log
from neurotasks.task import Batch, Experience

__all__ = ["STRATEGIES", "AvalancheLearner"]

STRATEGIES = {"naive": "Naive", "replay": "Replay", "cumulative": "Cumulative"}
"""Our names of the strategies and Avalanche's: forget, rehearse some trials, keep all of them."""


class _OneStep(nn.Module):
    """A network as Avalanche calls it: observations (B, *observation) to logits (B, classes)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, observation: Tensor) -> Tensor:
        output, _ = self.network(observation[:, None])
        return output[:, 0]


@dataclass
class _Meter:
    """Counts what one strategy is shown, and stops it when an experience's budget is used up."""

    budget: int = 0
    shown: int = 0
    losses: list[Tensor] = field(default_factory=list)

    def start(self, budget: int) -> None:
        """Begin an experience."""
        self.budget = self.shown + budget
        self.losses.clear()

    def count(self, strategy: Any) -> None:
        """Take note of one batch."""
        self.shown += len(strategy.mb_x)
        self.losses.append(strategy.loss.detach())
        if self.shown >= self.budget:
            strategy.stop_training()

    @property
    def loss(self) -> float:
        """Mean loss of the experience so far."""
        return float(torch.stack(self.losses).mean())


@dataclass
class AvalancheLearner:
    """Teaches a network a stream with a strategy of Avalanche, one network for each seed.

    Called with experience 0 it starts afresh; called with a later one it goes on from the one
    before. The budget counts the trials that are shown, those from the memory included.

    Attributes:
        strategy: "naive", "replay" or "cumulative".
        network: Name of the network, "mlp" or "cnn".
        width: Units of its hidden layers.
        learning_rate: Of stochastic gradient descent.
        momentum: Of the same.
        batch: Trials in one step; in replay as many again come from the memory.
        memory: How many trials replay keeps, shared evenly among the experiences so far.
        device: "auto", "cpu" or "cuda".
    """

    strategy: str = "replay"
    network: str = "mlp"
    width: int = 128
    learning_rate: float = 0.03
    momentum: float = 0.9
    batch: int = 32
    memory: int = 200
    device: str = "auto"
    _running: dict[int, tuple[Any, _Meter]] = field(default_factory=dict, init=False, repr=False)
    _next: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what does not exist."""
        for value, known in ((self.strategy, STRATEGIES), (self.network, NETWORKS)):
            if value not in known:
                raise ValueError(f"there is no {value!r}; there are {', '.join(known)}")

    def learn(
        self, task: Experience, *, seeds: Sequence[int], budget: Budget, log: Log
    ) -> list[TorchAgent]:
        """Learn one experience of a stream, seed after seed.

        Args:
            task: The experience.
            seeds: One for each agent; the same ones for all experiences of a stream.
            budget: Trials to be shown in this experience, rounded up to whole batches.
            log: Gets the mean training loss over the seeds.

        Returns:
            The agents. Their networks go on being trained when the next experience is learned.

        Raises:
            TypeError: The task is no experience of a stream.
            ValueError: The experience, or a seed, is not the one that comes next.
            TrainingDiverged: Weights became infinite or NaN.
        """
        self._check_turn(task, seeds)
        device = choose_device(self.device)
        agents, losses = [], []
        for seed in seeds:
            with one_thread(), isolated(seed, task.index), quiet():
                if task.index == 0:
                    self._running[seed] = self._start(task, device)
                strategy, meter = self._running[seed]
                meter.start(budget.samples)
                _teach(strategy, task.dataset("train", seed), budget.samples)
            _check_finite(strategy.model, self, task, seed)
            losses.append(meter.loss)
            network = strategy.model.network.eval()
            agents.append(TorchAgent(network, readout(task.card, task.action_space)))
        self._next = task.index + 1
        log(meter.shown, loss=sum(losses) / len(losses))
        return agents

    def _check_turn(self, task: Experience, seeds: Sequence[int]) -> None:
        if not isinstance(task, Experience):
            raise TypeError(f"{task.card.id} is no experience; AvalancheLearner learns streams")
        if task.index == 0:
            self._running.clear()
        elif task.index != self._next or set(seeds) != set(self._running):
            raise ValueError(
                f"experience {task.index} of {task.card.id} comes out of turn: expected experience "
                f"{self._next} with seeds {sorted(self._running)}; begin again with experience 0"
            )

    def _start(self, task: Experience, device: torch.device) -> tuple[Any, _Meter]:
        """Return a strategy with a network of its own, and its meter."""
        outputs = readout(task.card, task.action_space).size
        model = _OneStep(NETWORKS[self.network](task.observation_space, outputs, self.width))
        meter = _Meter()
        extra = {"mem_size": self.memory} if self.strategy == "replay" else {}
        library = avalanche("avalanche.training.supervised")
        plugin = avalanche("avalanche.core").SupervisedPlugin()
        plugin.after_training_iteration = lambda strategy, **_: meter.count(strategy)
        strategy = getattr(library, STRATEGIES[self.strategy])(
            model=model,
            optimizer=torch.optim.SGD(
                model.parameters(), lr=self.learning_rate, momentum=self.momentum
            ),
            criterion=nn.CrossEntropyLoss(),
            train_mb_size=self.batch,
            device=device,
            evaluator=None,
            plugins=[plugin],
            **extra,
        )
        return strategy, meter


def _teach(strategy: Any, batch: Batch, samples: int) -> None:
    """Train on the trials of an experience until the meter stops it."""
    utils = avalanche("avalanche.benchmarks.utils")
    x, y = torch.tensor(batch.x[:, 0]), torch.tensor(batch.y[:, 0])
    data = utils.as_classification_dataset(_Labelled(x, y))
    stream = avalanche("avalanche.benchmarks").benchmark_from_datasets(train=[data]).train_stream
    strategy.train_epochs = -(-samples // len(x))  # the meter stops it before
    strategy.train(stream[0])


class _Labelled(TensorDataset):
    """Trials with the list of labels that Avalanche looks for."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        super().__init__(x, y)
        self.targets = y.tolist()


def _check_finite(model: nn.Module, learner: AvalancheLearner, task: Experience, seed: int) -> None:
    """Raise if a weight is no number: accuracy and forgetting would still look like some."""
    if not all(bool(torch.isfinite(weight).all()) for weight in model.parameters()):
        raise TrainingDiverged(
            f"strategy {learner.strategy!r} with seed {seed} has weights that are no numbers after "
            f"experience {task.index} of {task.card.id}: lower the learning rate "
            f"(now {learner.learning_rate:g})"
        )
