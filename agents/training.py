"""Agents of torch, and the learner that trains them: what others need of the training engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agents.devices import choose_device, one_thread
from agents.engine import PRECISIONS, Settings, train
from agents.networks import NETWORKS, Network, Readout, readout
from agents.trials import tensor
from neurotasks.agent import Budget, Log, Watcher
from neurotasks.arrays import Array
from neurotasks.errors import MissingExtra, NeurotasksError
from neurotasks.task import TrialTask

try:
    import torch
except ImportError as error:
    raise MissingExtra("torch", "torch") from error

from torch import Tensor

__all__ = ["TorchAgent", "TorchLearner", "TrainingDiverged", "parameters"]

_STEPS_AT_ONCE = 4096  # of trials answered side by side


class TrainingDiverged(NeurotasksError, ArithmeticError):
    """The loss, or a weight, is no longer a number.

    Args:
        message: What happened and what helps.
        agents: The agents of the seeds that learned, by seed.
        failures: Why the others failed, by seed.
    """

    def __init__(
        self,
        message: str,
        agents: Mapping[int, TorchAgent] | None = None,
        failures: Mapping[int, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.agents, self.failures = dict(agents or {}), dict(failures or {})


@dataclass(frozen=True)
class TorchAgent:
    """A network that answers a task.

    Attributes:
        network: The network, on its device.
        readout: How its output becomes an action.
        samples: How many trials it was shown in training; None where nobody counted.
        trained: How many seeds were trained side by side, and by what kind of stack, such as "10
            seeds, batched"; empty where no stack trained it.
    """

    network: Network
    readout: Readout
    samples: int | None = None
    trained: str = ""

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
            x = tensor(observation, device)
            for start in range(0, max(len(x), 1), rows):
                part = None if state is None else state[:, start : start + rows].contiguous()
                output, after = self.network(x[start : start + rows], part)
                actions.append(self.readout.action(output))
                states.append(after)
            action = torch.cat(actions)
            kept = None if states[0] is None else torch.cat(states, dim=1)
        return (action if isinstance(observation, Tensor) else action.cpu().numpy()), kept


@dataclass(frozen=True)
class TorchLearner(Settings):
    """Trains one network for each seed, all of them side by side.

    Attributes:
        network: Name of the network; see `NETWORKS`.
        width: Units of its hidden layers.
    """

    network: str = "mlp"
    width: int = 128

    def __post_init__(self) -> None:
        """Refuse what does not exist."""
        for value, known in ((self.network, tuple(NETWORKS)), (self.precision, PRECISIONS)):
            if value not in known:
                what = "network" if known != PRECISIONS else "precision"
                raise ValueError(f"there is no {what} {value!r}; there are {', '.join(known)}")

    def learn(
        self, task: TrialTask, *, seeds: Sequence[int], budget: Budget, log: Log
    ) -> list[TorchAgent]:
        """Train from scratch, all seeds side by side.

        Afterwards the log gets "loss" and, where the task has a validation split, "validation" (the
        raw metric), seed after seed; each begins again at 0 samples.

        Raises:
            TypeError: The task is no trial task, or no network fits its spaces.
            ValueError: The budget holds no sample, or seeds should stop early without validation.
            TrainingDiverged: The loss or the weights of a seed became infinite or NaN. All others
                have been trained; the error holds their agents.
        """
        if not isinstance(task, TrialTask):
            raise TypeError(f"{task.card.id} is no trial task; TorchLearner learns trial tasks")
        if budget.samples < 1:
            raise ValueError(
                f"a budget of {budget.samples} samples teaches nothing; give at least 1"
            )
        device = choose_device(self.device)
        with one_thread():
            networks = [self._untrained(task, seed).to(device) for seed in seeds]
            watcher = log if isinstance(log, Watcher) else None
            courses = train(task, networks, seeds, budget.samples, self, watcher)
        answer = readout(task.card, task.action_space)
        agents, failures = {}, {}
        for course in courses:
            for samples, scalars in course.curve:
                log(samples, **scalars)
            if course.failure:
                failures[course.seed] = course.failure
            else:
                agents[course.seed] = TorchAgent(
                    course.network, answer, course.samples, course.trained
                )
        if failures:
            raise TrainingDiverged(self._cure(task, failures), agents, failures)
        return [agents[seed] for seed in seeds]

    def _untrained(self, task: TrialTask, seed: int) -> Network:
        """Return a network with the weights of a seed, whatever the global generator's state."""
        outputs = readout(task.card, task.action_space).size
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return NETWORKS[self.network](task.observation_space, outputs, self.width)

    def _cure(self, task: TrialTask, failures: Mapping[int, str]) -> str:
        """Return the message about seeds that failed."""
        what = "; ".join(f"seed {seed}: {failure}" for seed, failure in failures.items())
        return (
            f"training on {task.card.id} failed, {what}: lower the learning rate "
            f"(now {self.learning_rate:g}), or look for NaN in the observations"
        )


def parameters(network: torch.nn.Module) -> int:
    """Return the number of trainable parameters of a network."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
