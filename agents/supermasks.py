"""Supermasks in superposition (Wortsman et al., 2020): one random network, a mask for each task.

The weights are random and never learned: plus or minus one constant in each layer, with biases of
zero. Learning a task is finding which of them to keep. Each weight has a score; a forward pass uses
the part of each layer with the highest ones, and the gradient goes through that choice as if it
were none (edge-popup; Ramanujan et al., 2020). What is kept of a task is one bit for each weight.

Where the stream tells the task, its mask answers. Where it does not, the network asks itself which
mask makes it surest, for each observation alone:

    gradient  in the mean of all masks, it is the one whose share, raised a little, lowers the
              entropy of the answer most: the one-shot inference of the paper, a pass for each mask
    entropy   it is the one whose own answer has the least entropy: no pass beyond those that answer

On 8 x 8 digits, seen one by one, the second is right far more often: the mean of the masks of a
small network says little. It can be exported to ONNX, as networks that hear the task can. With the
first there is a derivative within the answer, which the exporters do not know.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from agents.heads import split_task
from agents.networks import Network, readout
from agents.optimiser import RowSGD
from agents.stack import Layout
from agents.stream_base import Run, StackedLearner
from agents.stream_trials import Pool
from neurotasks.task import Batch, Experience

__all__ = ["SupermaskLearner", "Supermasked"]

INFERENCES = ("gradient", "entropy")
_BYTE = 8  # bits
_AT_ONCE = 64  # observations with a gradient of all weights each


class Supermasked(Network):
    """A network with a mask for each task.

    Args:
        space: Of observations, with the planes that tell the task where it is told.
        inner: The network with all of its weights, for observations without the planes.
        masks: Which weights each task keeps, (tasks, P) bool, in the order of `Layout`.
        inference: One of `INFERENCES`, how the task is found out; None where it is told.
    """

    masks: Tensor

    def __init__(
        self, space: gym.Space[Any], inner: Network, masks: Tensor, inference: str | None
    ) -> None:
        super().__init__(space)
        self.inner, self.inference = inner, inference
        self.register_buffer("masks", masks)

    def forward(
        self, observation: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Answer with the mask of each step's task."""
        task = None
        if self.inference is None:
            observation, task = split_task(observation, len(self.masks))
        every = torch.stack(
            [self._answer(mask, observation) for mask in self.masks.unbind()], dim=2
        )
        if self.inference == "gradient":
            task = self._by_gradient(observation)
        elif task is None:
            task = _entropy(every).argmin(dim=-1)
        chosen = task[..., None, None].expand(*task.shape, 1, every.shape[-1])
        return every.gather(2, chosen)[..., 0, :], state

    def _by_gradient(self, observation: Tensor) -> Tensor:
        """Return the task whose share in the mean of all masks should grow, (B, T)."""
        tasks, masks = len(self.masks), self.masks.float()

        def entropy(share: Tensor, seen: Tensor) -> Tensor:
            return _entropy(self._answer(share @ masks, seen[None, None]))[0, 0]

        slopes = vmap(grad(entropy), in_dims=(None, 0), chunk_size=_AT_ONCE)(
            masks.new_full((tasks,), 1 / tasks), observation.flatten(0, 1)
        )
        return slopes.argmin(dim=-1).view(observation.shape[:2])

    def _answer(self, kept: Tensor, observation: Tensor) -> Tensor:
        """Return the outputs (B, T, outputs) where a part of each weight is kept, (P,)."""
        parts = Layout.of(self.inner).views(kept[None])
        weights = {name: self.inner.get_parameter(name) * part[0] for name, part in parts.items()}
        return functional_call(self.inner, weights, (observation, None))[0]


@dataclass(kw_only=True)
class SupermaskLearner(StackedLearner):
    """Finds a mask for each experience of a stream.

    The networks are those that answer each step by itself. The learning rate, momentum and clipping
    are those of the scores.

    Attributes:
        density: Part of each layer's weights that a mask keeps.
        inference: One of `INFERENCES`: how a task is found out that is not told.
    """

    learning_rate: float = 0.1
    density: float = 0.5
    inference: str = "gradient"
    _fixed: Tensor = field(default_factory=lambda: torch.empty(0), init=False, repr=False)
    _masks: Tensor = field(default_factory=lambda: torch.empty(0), init=False, repr=False)
    _learned: list[set[int]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what does not exist."""
        super().__post_init__()
        if not 0 < self.density <= 1:
            raise ValueError(f"density is a part of the weights, above 0 to 1, not {self.density}")
        if self.inference not in INFERENCES:
            known = ", ".join(INFERENCES)
            raise ValueError(f"there is no {self.inference!r}; there are {known}")

    def held(self) -> list[int]:
        """Return the bytes that each seed keeps: the bits of its masks."""
        bits = _maskable(self.running.stack.layout)
        return [len(learned) * -(-bits // _BYTE) for learned in self._learned]

    def _heads(self, told: int) -> int:
        del told
        return 1

    def _begin(self, run: Run, task: Experience) -> None:
        """Draw the weights that are never learned: their signs are those of the untrained network.

        Raises:
            TypeError: The network has a memory.
        """
        if run.stack.networks[0].state is not None:
            raise TypeError(f"a {self.network} remembers; a supermask chooses at each step anew")
        self._fixed = run.stack.weights.clone()
        for name, view in run.stack.layout.views(self._fixed).items():
            if _is_masked(view.shape[1:]):
                inputs = math.prod(view.shape[2:])
                view.copy_(view.sign() * math.sqrt(2 / (inputs * self.density)))
            elif "bias" in name:
                view.zero_()
        tasks = task.task.told or task.count
        seeds, weights = self._fixed.shape
        self._masks = self._fixed.new_zeros(seeds, tasks, weights, dtype=torch.bool)
        self._learned = [set() for _ in run.seeds]

    def _teach(self, run: Run, task: Experience, trials: Sequence[Batch], samples: int) -> Tensor:
        """Search a mask for the experience."""
        trials, labels = self._labels(task, trials)
        stack, pool = run.stack, Pool(run.stack, trials, [[] for _ in trials])
        scores = self._scores(run)
        optimiser = RowSGD(scores, momentum=self.momentum, clip=self.clip)
        steps = -(-samples // self.batch)
        losses = torch.zeros(len(run.seeds), device=scores.device)
        for x, y, weight in pool.batches(steps, self.batch, run.orders):
            torch.mul(self._fixed, self._highest(stack.layout, scores), out=stack.weights)
            losses += stack.learn(x, y, weight)
            optimiser.step(scores, stack.gradient.mul_(self._fixed), self.learning_rate)
        run.shown += steps * self.batch
        masks = self._highest(stack.layout, scores)
        for row, label in enumerate(labels):
            self._learned[row].add(label)
            unknown = [n for n in range(self._masks.shape[1]) if n not in self._learned[row]]
            self._masks[row, [label, *unknown]] = masks[row]  # the newest, until there is one
        return losses / steps

    def _labels(self, task: Experience, trials: Sequence[Batch]) -> tuple[list[Batch], list[int]]:
        """Return the trials with the answers of one task, and the number of each seed's mask.

        Raises:
            ValueError: An experience shows several tasks, or one that an earlier one has shown.
        """
        if not task.task.told:
            return list(trials), [task.index] * len(trials)
        size = readout(task.card, task.action_space).size
        found = [(batch.y[batch.mask] // size).unique().tolist() for batch in trials]
        for labels, learned in zip(found, self._learned, strict=True):
            if len(labels) != 1 or labels[0] in learned:
                raise ValueError(
                    f"experience {task.index} of {task.card.id} shows the tasks {labels} after "
                    f"{sorted(learned)}: a mask is learned in one experience, for one task"
                )
        return [replace(batch, y=batch.y % size) for batch in trials], [one for (one,) in found]

    def _scores(self, run: Run) -> Tensor:
        """Return new scores (S, P), uniform within the bounds of torch's own linear layers."""
        scores = torch.stack(
            [2 * torch.rand(self._fixed.shape[1], generator=order) - 1 for order in run.orders]
        ).to(self._fixed.device)
        for view in run.stack.layout.views(scores).values():
            view.div_(math.sqrt(math.prod(view.shape[2:])))
        return scores

    def _highest(self, layout: Layout, scores: Tensor) -> Tensor:
        """Return which weights have the highest scores of their layer, (S, P) bool."""
        sizes = [shape.numel() for shape in layout.shapes.values()]
        kept = torch.ones_like(scores, dtype=torch.bool)
        parts = zip(torch.split(scores, sizes, 1), torch.split(kept, sizes, 1), strict=True)
        for shape, (some, place) in zip(layout.shapes.values(), parts, strict=True):
            if _is_masked(shape):
                torch.ge(
                    some, _lowest(some, max(round(self.density * some.shape[1]), 1)), out=place
                )
        return kept

    def _networks(self, run: Run, task: Experience) -> list[Network]:
        """Return networks with the masks learned so far; where it is told, with one for each."""
        told = task.task.told
        inference = None if told else self.inference
        known = self._masks[:, : told or task.index + 1]
        networks: list[Network] = []
        for row, mask in enumerate(known):
            inner = run.stack.unstack(row, self._fixed[row])
            network = Supermasked(task.observation_space, inner, mask.clone(), inference)
            networks.append(network.to(mask.device).eval())
        return networks


def _entropy(logits: Tensor) -> Tensor:
    """Return the entropy of answers in nats, (..., classes) to (...)."""
    logs = logits.log_softmax(dim=-1)
    return -(logs * logs.exp()).sum(dim=-1)


def _is_masked(shape: Sequence[int]) -> bool:
    """Say whether a parameter is chosen from: matrices and kernels, not biases and scales."""
    return len(shape) > 1


def _maskable(layout: Layout) -> int:
    return sum(shape.numel() for shape in layout.shapes.values() if _is_masked(shape))


def _lowest(scores: Tensor, count: int) -> Tensor:
    """Return the lowest of the `count` highest scores of each row, (S, 1).

    On a processor NumPy finds it in a seventh of torch's time.
    """
    place = scores.shape[1] - count
    if scores.device.type != "cpu":
        return scores.kthvalue(place + 1, dim=1, keepdim=True).values
    return torch.from_numpy(np.partition(scores.numpy(), place, axis=1)[:, place : place + 1])
