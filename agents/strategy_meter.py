"""What a strategy of Avalanche is shown, and what it keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.avalanche import avalanche

__all__ = ["Meter", "held_bytes"]

_FLEETING = {
    *("G", "reference_gradients"),  # of GEM and A-GEM
    *("old_theta", "new_theta", "grad", "trajectory"),  # of synaptic intelligence
    *("batch_logits", "mb_buffer_x", "mb_buffer_y", "mb_buffer_tid", "mb_buffer_out"),  # of replay
}
"""Names of what a strategy writes anew in each step, before it reads it."""


@dataclass
class Meter:
    """Counts what one strategy is shown, and stops it when an experience's budget is used up.

    Attributes:
        beside: Returns how many trials of its memory a strategy was shown in a step beside the
            batch.
        budget: How many trials may have been shown at the end of the experience.
        shown: How many were, those from the memory included.
        losses: Of the steps of the experience.
    """

    beside: Callable[[Any], int]
    budget: int = 0
    shown: int = 0
    losses: list[Tensor] = field(default_factory=list)

    def plugin(self) -> Any:
        """Return the plugin that counts for the meter."""
        plugin = avalanche("avalanche.core").SupervisedPlugin()
        plugin.after_training_iteration = lambda strategy, **_: self.count(strategy)
        return plugin

    def start(self, budget: int) -> None:
        """Begin an experience."""
        self.budget = self.shown + budget
        self.losses.clear()

    def count(self, strategy: Any) -> None:
        """Take note of one step."""
        self.shown += len(strategy.mb_x) + self.beside(strategy)
        self.losses.append(strategy.loss.detach())
        if self.shown >= self.budget:
            strategy.stop_training()

    @property
    def loss(self) -> float:
        """Mean loss of the experience so far."""
        return float(torch.stack(self.losses).mean())


def held_bytes(strategy: Any) -> int:
    """Return the bytes that a strategy keeps beside the weights of its model.

    They are what it and its plugins refer to: tensors (importances, old weights), modules (older
    networks, generators) and data sets, of which the trials that are kept count, whatever they lie
    in.
    """
    own = (strategy.model, strategy.optimizer, strategy.loss, *strategy.model.parameters())
    seen = {id(each) for each in own}
    public = (value for name, value in vars(strategy.model).items() if name[0] != "_")
    return _bytes([vars(strategy), *public], seen)


def _bytes(thing: Any, seen: set[int]) -> int:
    """Return the bytes of all that a thing refers to and that was not seen yet."""
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    if isinstance(thing, Tensor | np.ndarray):
        return int(thing.nbytes)
    if isinstance(thing, nn.Module):
        return sum(tensor.nbytes for tensor in chain(thing.parameters(), thing.buffers()))
    if isinstance(thing, avalanche("avalanche.benchmarks.utils").AvalancheDataset):
        each = sum(torch.as_tensor(part).nbytes for part in thing[0]) if len(thing) else 0
        return each * len(thing)
    return sum(_bytes(part, seen) for part in _parts(thing))


def _parts(thing: Any) -> Iterable[Any]:
    """Return what a container, or an object of Avalanche, refers to."""
    if isinstance(thing, list | tuple):
        return thing
    if type(thing).__module__.startswith(("avalanche.", "agents.")):
        thing = vars(thing)
    if isinstance(thing, dict):
        return [part for name, part in thing.items() if name not in _FLEETING]
    return ()
