"""Training trials on the device, taken by index, in an order of each seed's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from agents.losses import targets, truths, weights
from agents.networks import Readout
from neurotasks.arrays import Array
from neurotasks.task import Batch, TrialTask, split_size

__all__ = ["Trials", "tensor"]

_AHEAD_BYTES = 5 << 18  # stays in a processor's cache
_FLOAT = 4  # bytes
Prepare = Callable[[Tensor, Sequence[int]], Tensor]
"""From observations (N, T, *observation) and the seeds that see them to what a stack takes."""


class Trials:
    """The trials of all seeds.

    A recorded split lies on the device once, and each seed goes through its rows in new orders. Of
    a generated task each seed has trials of its own, fresh ones in every pass.

    Args:
        task: The task.
        seeds: The seeds.
        split: The split to train on.
        device: Where the trials live.
    """

    def __init__(
        self, task: TrialTask, seeds: Sequence[int], split: str, device: torch.device
    ) -> None:
        self.task, self.seeds, self.split, self.device = task, list(seeds), split, device
        self.generated = task.card.data == "generated"
        self.orders = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._order = torch.empty(0, dtype=torch.int64)  # (S, N), what is left of the pass
        self._ready: list[tuple[Tensor, ...]] = []  # the next batches, the last first
        self._room: Tensor | None = None  # for their inputs: fresh memory costs more than the copy

    def draw(self, numbers: range) -> list[Batch]:
        """Return one pass: for each seed the trials `numbers`, at most a split's worth of them.

        For recorded data it is one batch, the whole split, that all seeds share.
        """
        size = split_size(self.task.card, self.split)
        if not self.generated:
            return [self._moved(self.task.dataset(self.split))]
        if self.device.type == "cpu":
            return [self._moved(self.task.sample(numbers[:size], seed)) for seed in self.seeds]
        from array_api_compat import torch as xp  # noqa: PLC0415 - only to draw on a GPU

        return [
            self._moved(self.task.sample(numbers[:size], seed, xp=xp, device=self.device))
            for seed in self.seeds
        ]

    def batches(
        self, first: list[Batch], samples: int, batch: int, readout: Readout, prepare: Prepare
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield batches for all seeds, pass by pass, until the samples end.

        The inputs are good until the next batch is asked for: others may take their memory.

        Args:
            first: The first pass, as `draw` returns it.
            samples: How many trials each seed is shown.
            batch: How many at once.
            readout: What the networks are trained on.
            prepare: Makes a stack's inputs of observations, once for each pass.

        Yields:
            Inputs (S, B, T, ...), truths (S, O, B T) and the steps' weights (S, 1, B T).
        """
        done, parts = 0, first
        while done < samples:
            if done == 0 or self.generated:
                parts = first if done == 0 else self.draw(range(done, samples))
                x, y, mask = _joined(parts, readout, prepare, len(self.seeds))
            self._shuffle(len(parts[0]), samples - done)
            while self._order.shape[1]:
                self._take(batch, readout, x, y, mask)
                while self._ready:
                    inputs, truth, weight = self._ready.pop()
                    yield inputs, truth, weight
                    done += inputs.shape[1]

    def narrow(self, rows: Sequence[int]) -> None:
        """Go on with the trials of some seeds alone."""
        self.seeds = [self.seeds[row] for row in rows]
        self.orders = [self.orders[row] for row in rows]
        self._order = self._order[list(rows)]
        self._ready = [tuple(part[list(rows)] for part in ready) for ready in self._ready]

    def _take(self, batch: int, readout: Readout, *trials: Tensor) -> None:
        """Take some batches (K, S, B, ...) off the order, as one copy is cheaper than several."""
        seeds, left = self._order.shape
        each = min(batch, left)
        inputs, _, scored = (part[:1].nbytes for part in trials)
        size = (inputs + scored * readout.size * _FLOAT) * seeds * each  # with the truths
        count = min(max(_AHEAD_BYTES // size, 1), left // each)
        index, self._order = torch.split(self._order, [count * each, left - count * each], 1)
        flat = index.reshape(seeds, count, each).transpose(0, 1).reshape(-1)
        x = torch.index_select(trials[0], 0, flat, out=self._space(trials[0], len(flat)))
        y, mask = (part.index_select(0, flat) for part in trials[1:])
        x, y, mask = (part.view(count, seeds, each, *part.shape[1:]) for part in (x, y, mask))
        weight = weights(mask)
        parts = (x, truths(y, weight, readout), weight)
        self._ready = list(zip(*(part.unbind() for part in parts), strict=True))[::-1]

    def _space(self, like: Tensor, count: int) -> Tensor:
        """Return memory for some trials."""
        if self._room is None or len(self._room) < count:
            self._room = like.new_empty(count, *like.shape[1:])
        return self._room[:count]

    def _shuffle(self, size: int, left: int) -> None:
        """Draw the order of a pass: (S, N) rows of what `_joined` returns."""
        orders = [torch.randperm(size, generator=order)[:left] for order in self.orders]
        if self.generated:
            orders = [order + row * size for row, order in enumerate(orders)]
        self._order = torch.stack(orders).to(self.device)

    def _moved(self, batch: Batch) -> Batch:
        x, y, mask = (tensor(part, self.device) for part in (batch.x, batch.y, batch.mask))
        return Batch(x, y, mask)


def _joined(
    parts: Sequence[Batch], readout: Readout, prepare: Prepare, seeds: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the trials of all seeds below each other, or the ones that they share."""
    sees = [[row] for row in range(seeds)] if len(parts) == seeds else [list(range(seeds))]
    x = torch.cat([prepare(part.x, rows) for part, rows in zip(parts, sees, strict=True)])
    y = torch.cat([targets(part.y, part.mask, readout) for part in parts])
    return x, y, torch.cat([part.mask for part in parts])


def tensor(array: Array, device: torch.device) -> Tensor:
    """Return an array as a tensor on a device; tensors stay where they are if they can."""
    if isinstance(array, Tensor):
        return array.to(device)
    return torch.tensor(np.ascontiguousarray(array), device=device)
