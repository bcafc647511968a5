"""The training loop of all supervised and sequence tasks.

Data live on the device; batches are taken from them by index. A generated task shows fresh trials
in every pass, a recorded one the rows of its split in a new order. The learning rate rises for a
short time and then falls to zero along a cosine over the whole budget. Where the task has a
validation split, the weights that did best on it are kept.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.devices import choose_device, one_thread
from agents.networks import NETWORKS, Network, Readout, readout
from neurotasks.agent import Budget, Log
from neurotasks.arrays import Array
from neurotasks.errors import MissingExtra, NeurotasksError
from neurotasks.metrics import per_trial
from neurotasks.task import Batch, TrialTask, split_size

try:
    import torch
except ImportError as error:
    raise MissingExtra("torch", "torch") from error

from torch import Tensor
from torch.nn import functional

__all__ = ["TorchAgent", "TorchLearner", "TrainingDiverged", "parameters"]

_VALIDATION = 1000  # trials; more would cost more time than they save
_STEPS_AT_ONCE = 4096  # of trials answered side by side


class TrainingDiverged(NeurotasksError, ArithmeticError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class TorchAgent:
    """A network that answers a task.

    Attributes:
        network: The network, on its device.
        readout: How its output becomes an action.
    """

    network: Network
    readout: Readout

    @property
    def parameters(self) -> int:
        """The number of trainable parameters."""
        return parameters(self.network)

    def act(self, observation: Array, state: Tensor | None) -> tuple[Array, Tensor | None]:
        """Answer a block of steps.

        Args:
            observation: (B, T, *observation), a NumPy array or a tensor.
            state: (layers, B, width), or None.

        Returns:
            The actions (B, T, *action), of the kind of the observation, and the next state.
        """
        device = next(self.network.parameters()).device
        rows = max(_STEPS_AT_ONCE // max(observation.shape[1], 1), 1)
        actions, states = [], []
        with one_thread(), torch.no_grad():
            x = _tensor(observation, device)
            for start in range(0, max(len(x), 1), rows):
                part = None if state is None else state[:, start : start + rows].contiguous()
                output, after = self.network(x[start : start + rows], part)
                actions.append(self.readout.action(output))
                states.append(after)
            action = torch.cat(actions)
            kept = None if states[0] is None else torch.cat(states, dim=1)
        return (action if isinstance(observation, Tensor) else action.cpu().numpy()), kept


@dataclass(frozen=True)
class TorchLearner:
    """Trains one network for each seed with AdamW (Loshchilov and Hutter, 2019).

    Attributes:
        network: Name of the network: "mlp", "cnn" or "gru".
        width: Units of its hidden layers.
        learning_rate: The highest learning rate.
        batch: Trials in one step of the optimiser.
        weight_decay: Decoupled weight decay.
        clip: Largest norm of the gradient.
        warmup: Part of the budget over which the learning rate rises.
        checks: How often during the budget progress is validated and logged.
        split: The split to train on.
        device: "auto", "cpu" or "cuda".
    """

    network: str = "mlp"
    width: int = 128
    learning_rate: float = 3e-3
    batch: int = 128
    weight_decay: float = 1e-4
    clip: float = 1.0
    warmup: float = 0.05
    checks: int = 20
    split: str = "train"
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse a network that does not exist."""
        if self.network not in NETWORKS:
            known = ", ".join(NETWORKS)
            raise ValueError(f"there is no network {self.network!r}; there are {known}")

    def learn(
        self, task: TrialTask, *, seeds: Sequence[int], budget: Budget, log: Log
    ) -> list[TorchAgent]:
        """Train from scratch, one seed after the other.

        The log gets "loss" and, where the task has a validation split, "validation" (the raw
        metric); each seed begins again at 0 samples.

        Raises:
            TypeError: The task is no trial task, or no network fits its spaces.
            ValueError: The budget holds no sample.
            TrainingDiverged: The loss became infinite or NaN.
        """
        if not isinstance(task, TrialTask):
            raise TypeError(f"{task.card.id} is no trial task; TorchLearner learns trial tasks")
        if budget.samples < 1:
            raise ValueError(
                f"a budget of {budget.samples} samples teaches nothing; give at least 1"
            )
        device = choose_device(self.device)
        with one_thread():
            return [self._train(task, seed, budget.samples, log, device) for seed in seeds]

    def _train(
        self, task: TrialTask, seed: int, samples: int, log: Log, device: torch.device
    ) -> TorchAgent:
        """Show one network its samples, check now and then, and return it at its best."""
        network = self._untrained(task, seed).to(device)
        agent = TorchAgent(network, readout(task.card, task.action_space))
        data = self._trials(task, seed, range(samples), device)
        network.encoder.fit(data.x)
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )
        keeper = _Keeper(task, agent, seed)
        shown, losses = 0, []
        for batch in self._batches(task, seed, samples, data):
            progress = (shown + len(batch) / 2) / samples
            for group in optimiser.param_groups:
                group["lr"] = self.learning_rate * _schedule(progress, self.warmup)
            losses.append(self._step(agent, optimiser, batch))
            before, shown = shown, shown + len(batch)
            if shown * self.checks // samples > before * self.checks // samples:
                loss = _finite(losses, shown, task, self.learning_rate)
                log(shown, loss=loss, **keeper.check())
                losses.clear()
        return keeper.best()

    def _untrained(self, task: TrialTask, seed: int) -> Network:
        """Return a network with the weights of a seed, whatever the global generator's state."""
        outputs = readout(task.card, task.action_space).size
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return NETWORKS[self.network](task.observation_space, outputs, self.width)

    def _step(self, agent: TorchAgent, optimiser: torch.optim.Optimizer, batch: Batch) -> Tensor:
        """Take one step down the loss and return the loss."""
        output, _ = agent.network(batch.x)
        values = _losses(output, batch.y, batch.mask, agent.readout)
        loss = (values * batch.mask).sum() / batch.mask.sum().clamp(min=1)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(agent.network.parameters(), self.clip)
        optimiser.step()
        return loss.detach()

    def _trials(self, task: TrialTask, seed: int, numbers: range, device: torch.device) -> Batch:
        """Return one pass over the training trials, on the device.

        For generated data these are the trials `numbers`, at most a split's worth of them.
        """
        size = split_size(task.card, self.split)
        if task.card.data != "generated":
            batch = task.dataset(self.split, seed)
        elif device.type == "cpu":
            batch = task.sample(numbers[:size], seed)
        else:
            from array_api_compat import torch as xp  # noqa: PLC0415 - only to draw on a GPU

            batch = task.sample(numbers[:size], seed, xp=xp, device=device)
        x, y, mask = (_tensor(part, device) for part in (batch.x, batch.y, batch.mask))
        return Batch(x, y, mask)

    def _batches(self, task: TrialTask, seed: int, samples: int, data: Batch) -> Iterator[Batch]:
        """Yield batches pass by pass, the first of them over `data`, until the samples end."""
        order = torch.Generator().manual_seed(seed)
        device, done = data.x.device, 0
        while done < samples:
            if done > 0 and task.card.data == "generated":
                data = self._trials(task, seed, range(done, samples), device)
            chosen = torch.randperm(len(data), generator=order)[: samples - done]
            for index in torch.split(chosen, self.batch):
                yield data[index.to(device)]
                done += len(index)


class _Keeper:
    """Validates an agent now and then, and remembers the weights that did best."""

    def __init__(self, task: TrialTask, agent: TorchAgent, seed: int) -> None:
        self.agent, self.metric = agent, task.card.metric
        self.batch: Batch | None = None
        trials = task.card.splits.get("validation", 0)
        if trials:
            number = min(trials, _VALIDATION)
            self.batch = task.sample(number, seed, "validation", split="validation")
        self.value = -math.inf
        self.weights: dict[str, Any] | None = None

    def check(self) -> dict[str, float]:
        """Return the raw metric of the validation trials by name, if there are any."""
        if self.batch is None or self.metric.values is None:
            return {}
        action, _ = self.agent.act(self.batch.x, None)
        steps = self.metric.values(action, self.batch.y)
        raw = float(np.mean(per_trial(steps, self.batch.mask)))
        if self.metric.sign * raw > self.value:
            self.value = self.metric.sign * raw
            self.weights = copy.deepcopy(self.agent.network.state_dict())
        return {"validation": raw}

    def best(self) -> TorchAgent:
        """Return the agent with the best weights, ready to answer."""
        if self.weights is not None:
            self.agent.network.load_state_dict(self.weights)
        self.agent.network.eval()
        return self.agent


def parameters(network: torch.nn.Module) -> int:
    """Return the number of trainable parameters of a network."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def _schedule(progress: float, warmup: float) -> float:
    """Return the learning rate as a part of the highest, for progress from 0 to 1."""
    rise = min(progress / warmup, 1.0) if warmup > 0 else 1.0
    return rise * 0.5 * (1.0 + math.cos(math.pi * progress))


def _losses(output: Tensor, y: Tensor, mask: Tensor, readout: Readout) -> Tensor:
    """Return the loss of each step, (B, T, size) and (B, T, ...) to (B, T)."""
    if readout.loss == "cross-entropy":
        truth = torch.where(mask, y.long() - readout.start, 0)  # unscored truths may be anything
        return functional.cross_entropy(output.movedim(-1, 1), truth, reduction="none")
    error = output.reshape(y.shape) - y.to(output.dtype)
    return error.square().flatten(2).mean(dim=-1)


def _finite(losses: Sequence[Tensor], shown: int, task: TrialTask, rate: float) -> float:
    """Return the mean of some losses if it is a number."""
    loss = float(torch.stack(list(losses)).mean())
    if math.isfinite(loss):
        return loss
    raise TrainingDiverged(
        f"the loss on {task.card.id} became {loss} after {shown} samples: lower the learning rate "
        f"(now {rate:g}), or look for NaN in the observations"
    )


def _tensor(array: Array, device: torch.device) -> Tensor:
    """Return an array as a tensor on a device; tensors stay where they are if they can."""
    if isinstance(array, Tensor):
        return array.to(device)
    return torch.tensor(np.ascontiguousarray(array), device=device)
