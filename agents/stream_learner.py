"""Strategies of continual learning on a stack: the networks of all seeds learn side by side.

naive       the new trials alone: it forgets
replay      as many trials again from a memory that is shared evenly among the experiences
ewc         elastic weight consolidation (Kirkpatrick et al., 2017)
si          synaptic intelligence (Zenke et al., 2017)
cumulative  the trials of all experiences so far
joint       the trials of the whole stream from the first experience on: it looks ahead, and
            says how good the network could be
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor

from agents.heads import Headed
from agents.networks import Network, readout
from agents.stream_base import Run, StackedLearner
from agents.stream_penalty import Elastic, Penalty, Synaptic
from agents.stream_trials import Memory, Pool, joined, load
from neurotasks.task import Batch, Experience

__all__ = ["STRATEGIES", "STRENGTHS", "StreamLearner"]

STRATEGIES = ("naive", "replay", "ewc", "si", "cumulative", "joint")
STRENGTHS: Mapping[str, float] = MappingProxyType({"ewc": 3e4, "si": 3.0})
"""Of the penalties, where none is given: the best on held-out trials of split digits."""


@dataclass(kw_only=True)
class StreamLearner(StackedLearner):
    """Teaches networks a stream with one of the strategies above.

    Where the stream tells the task, the network has a head for each task, and the loss knows the
    answers of the told task alone.

    Attributes:
        strategy: See above.
        memory: How many trials replay keeps.
        strength: Of the penalty of ewc or si; None for that of `STRENGTHS`.
        decay: Of ewc: part of the older importances that is kept, with one anchor (online EWC,
            Schwarz et al., 2018); None for a penalty for each experience.
        damping: Of si: `xi` of the paper.
    """

    strategy: str = "replay"
    memory: int = 200
    strength: float | None = None
    decay: float | None = None
    damping: float = 1e-3
    _memories: list[Memory] = field(default_factory=list, init=False, repr=False)
    _penalty: Penalty | None = field(default=None, init=False, repr=False)
    _answering: list[Network] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what does not exist."""
        super().__post_init__()
        if self.strategy not in STRATEGIES:
            raise ValueError(f"there is no {self.strategy!r}; there are {', '.join(STRATEGIES)}")

    def held(self) -> list[int]:
        """Return the bytes that each seed keeps: trials, importances and anchors of weights."""
        beside = self._penalty.bytes if self._penalty else 0
        return [memory.bytes + beside for memory in self._memories]

    @property
    def _name(self) -> str:
        return f"strategy {self.strategy!r}"

    @property
    def _cure(self) -> str:
        penalty = f", or the strength (now {self._penalty.strength:g})" if self._penalty else ""
        return super()._cure + penalty

    def _heads(self, told: int) -> int:
        return max(told, 1)

    def _begin(self, run: Run, task: Experience) -> None:
        """Make memories and a penalty, and put heads on networks of told streams."""
        most = self.memory if self.strategy == "replay" else None
        self._memories = [Memory(most) for _ in run.seeds]
        weights = run.stack.weights
        strength = STRENGTHS.get(self.strategy, 0.0) if self.strength is None else self.strength
        self._penalty = None
        if self.strategy == "ewc":
            self._penalty = Elastic(weights, strength, self.learning_rate, self.decay)
        elif self.strategy == "si":
            self._penalty = Synaptic(weights, strength, self.learning_rate, self.damping)
        self._answering = [_headed(network, task) for network in run.stack.networks]

    def _teach(self, run: Run, task: Experience, trials: Sequence[Batch], samples: int) -> Tensor:
        """Learn an experience, and keep of it what the strategy needs later."""
        pool = self._pool(run, task, trials)
        shown = self.batch * (2 if any(pool.kept) else 1)
        steps = -(-samples // shown)
        losses = torch.zeros(len(run.seeds), device=run.stack.weights.device)
        for x, y, weight in pool.batches(steps, self.batch, run.orders):
            losses += run.stack.learn(x, y, weight)
            if self._penalty:
                self._penalty.pull(run.stack)
            run.optimiser.step(run.stack.weights, run.stack.gradient, self.learning_rate)
            if self._penalty:
                self._penalty.follow(run.optimiser, self.learning_rate)
        run.shown += steps * shown
        if self._penalty:
            self._penalty.consolidate(run.stack, pool, self.batch)
        if self.strategy == "replay":
            self._keep(run, trials)
        return losses / steps

    def _pool(self, run: Run, task: Experience, trials: Sequence[Batch]) -> Pool:
        """Return the trials that the strategy learns from in an experience."""
        if self.strategy == "replay":
            return Pool(run.stack, trials, [memory.kept for memory in self._memories])
        if self.strategy == "cumulative":
            self._keep(run, trials)
        elif self.strategy == "joint" and task.index == 0:
            self._look_ahead(run, task)
        if self.strategy in ("cumulative", "joint"):
            trials = [joined(memory.kept) for memory in self._memories]
        return Pool(run.stack, trials, [[] for _ in trials])

    def _keep(self, run: Run, trials: Sequence[Batch]) -> None:
        for memory, batch, order in zip(self._memories, trials, run.orders, strict=True):
            memory.add(batch, order)

    def _look_ahead(self, run: Run, task: Experience) -> None:
        """Keep the trials of all experiences."""
        stream, answer = task.task, readout(task.card, task.action_space)
        device = run.stack.weights.device
        for other in stream.stream():
            batches = [other.dataset("train", seed) for seed in run.seeds]
            self._keep(run, [load(batch, answer, stream.told, device) for batch in batches])

    def _networks(self, run: Run, task: Experience) -> list[Network]:
        """Write the weights of the stack into the networks."""
        del task
        for row, weights in enumerate(run.stack.weights):
            run.stack.unstack(row, weights)
        return [network.eval() for network in self._answering]


def _headed(network: Network, task: Experience) -> Network:
    """Return a network that answers observations which tell the task."""
    told, space = task.task.told, task.observation_space
    if not told:
        return network
    outputs = readout(task.card, task.action_space).size
    return Headed(space, outputs, told, lambda *_: network)
