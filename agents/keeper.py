"""Validation of all seeds now and then: the best weights of each are kept, and who may stop."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from agents.stack import Stack
from agents.trials import tensor
from neurotasks.arrays import Array
from neurotasks.metrics import per_trial
from neurotasks.task import Batch, TrialTask

__all__ = ["Keeper"]

_TRIALS = 1000  # of validation; more would cost more time than they save
_STEPS_AT_ONCE = 4096  # of trials answered side by side, for each seed


class Keeper:
    """Remembers for each seed the weights that did best on its validation trials.

    Args:
        task: The task; where it has no validation split, nothing is validated.
        seeds: The seeds.
        stack: Their networks.

    Attributes:
        best: The best weights (P,) by the number of the seed.
        waited: How many checks ago that was, for each seed.
    """

    def __init__(self, task: TrialTask, seeds: Sequence[int], stack: Stack) -> None:
        self.metric = task.card.metric
        number = min(task.card.splits.get("validation", 0), _TRIALS)
        there = number > 0 and self.metric.values is not None
        self.batches: list[Batch] = [
            task.sample(number, seed, "validation", split="validation")
            for seed in (seeds if there else ())
        ]
        device = stack.weights.device
        inputs = [
            stack.inputs(tensor(batch.x, device), [row]) for row, batch in enumerate(self.batches)
        ]
        self.x = torch.stack(inputs) if inputs else torch.empty(0)
        self.rows = list(range(len(seeds)))
        self.values = [-math.inf] * len(seeds)
        self.waited = [0] * len(seeds)
        self.best: dict[int, Tensor] = {}

    def check(self, stack: Stack, rows: Sequence[int]) -> list[float]:
        """Validate.

        Args:
            stack: The networks that are still being trained.
            rows: Which seeds they are.

        Returns:
            The raw metric of each; nothing where there is no validation split.
        """
        measure = self.metric.values
        if measure is None or not self.batches:
            return []
        found = []
        for place, (row, answer) in enumerate(zip(rows, self._answers(stack, rows), strict=True)):
            batch = self.batches[row]
            raw = float(np.mean(per_trial(measure(answer, batch.y), batch.mask)))
            found.append(raw)
            self.waited[row] += 1
            if self.metric.sign * raw > self.values[row]:
                self.values[row], self.waited[row] = self.metric.sign * raw, 0
                self.best[row] = stack.weights[place].clone()
        return found

    def _answers(self, stack: Stack, rows: Sequence[int]) -> Array:
        """Return the actions on the validation trials, (S, N, T, *action)."""
        if len(rows) < len(self.rows):
            self.x, self.rows = self.x[[self.rows.index(row) for row in rows]], list(rows)
        trials = max(_STEPS_AT_ONCE // self.x.shape[2], 1)
        parts = [stack.answer(part) for part in torch.split(self.x, trials, dim=1)]
        return stack.readout.action(torch.cat(parts, dim=1)).cpu().numpy()
