"""Trials of streams: each seed has its own, in an order of its own, and keeps some of them.

A batch holds as many trials of every seed, however many trials each has: it goes through them pass
after pass without a seam, each pass in a new order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from agents.heads import split_task
from agents.losses import targets, truths, weights
from agents.networks import Readout
from agents.stack import Stack
from agents.trials import tensor
from neurotasks.task import Batch

__all__ = ["Memory", "Pool", "joined", "load"]

_PREPARED_BYTES = 1 << 29  # of the trials of all seeds, up to which they are prepared only once
_AHEAD_BYTES = 5 << 18  # stays in a processor's cache
_FLOAT = 4  # bytes


def load(batch: Batch, readout: Readout, told: int, device: torch.device) -> Batch:
    """Return trials on the device, without the planes that tell the task.

    Args:
        batch: The trials as the stream has them.
        readout: Of an answer.
        told: How many tasks the agent is told apart by.
        device: Where they shall live.

    Returns:
        Observations, what `losses.targets` makes of the truths, and the mask. Where the task is
        told, targets count the answers of the first task, then those of the second, and so on.
    """
    x, y, mask = (tensor(part, device) for part in (batch.x, batch.y, batch.mask))
    target = targets(y, mask, readout)
    if told:
        x, task = split_task(x, told)
        target = torch.where(mask, target + task * readout.size, 0)
        x = x.contiguous()
    return Batch(x, target, mask)


class Memory:
    """What one seed keeps of the trials of earlier experiences.

    Args:
        most: How many trials, shared evenly among the experiences so far; None to keep all.

    Attributes:
        kept: The trials of each experience.
    """

    def __init__(self, most: int | None) -> None:
        self.most = most
        self.kept: list[Batch] = []

    def add(self, trials: Batch, order: torch.Generator) -> None:
        """Keep some trials of a new experience, drawn at random, in place of some of the older."""
        if self.most is not None:
            shuffled = torch.randperm(len(trials), generator=order)[: self.most]
            trials = trials[shuffled.to(trials.x.device)]
        self.kept.append(trials)
        if self.most is not None:
            share, rest = divmod(self.most, len(self.kept))
            self.kept = [trials[: share + (group < rest)] for group, trials in enumerate(self.kept)]

    @property
    def bytes(self) -> int:
        """How many bytes the trials take."""
        return sum(_size(trials) for trials in self.kept)


def joined(parts: Sequence[Batch]) -> Batch:
    """Return trials one below the other."""
    if len(parts) == 1:
        return parts[0]
    x, y, mask = (torch.cat([getattr(p, name) for p in parts]) for name in ("x", "y", "mask"))
    return Batch(x, y, mask)


class Pool:
    """The trials that the seeds of a stack learn from, and batches of them.

    Args:
        stack: The networks.
        fresh: New trials of each seed.
        kept: Trials of each seed from its memory, to be shown beside the new ones; may be empty.
    """

    def __init__(
        self, stack: Stack, fresh: Sequence[Batch], kept: Sequence[Sequence[Batch]]
    ) -> None:
        self.stack = stack
        self.parts = [joined([new, *old]) for new, old in zip(fresh, kept, strict=True)]
        self.fresh = [len(new) for new in fresh]
        self.kept = [len(part) - new for part, new in zip(self.parts, self.fresh, strict=True)]
        self.y, self.mask = (
            torch.cat([getattr(part, name) for part in self.parts]) for name in ("y", "mask")
        )
        lengths = torch.tensor([0, *(len(part) for part in self.parts)])
        self.start = lengths.cumsum(0)[:-1, None]  # (S, 1), row of each seed's first trial
        floats = sum(part.x.numel() for part in self.parts) * _FLOAT
        self.x: Tensor | None = None
        if floats <= _PREPARED_BYTES:
            self.x = torch.cat([stack.inputs(part.x, [row]) for row, part in self._numbered()])

    def batches(
        self, steps: int, batch: int, orders: Sequence[torch.Generator]
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield random batches.

        Args:
            steps: How many.
            batch: New trials in each; as many kept ones follow where there are any.
            orders: The seeds' generators.

        Yields:
            Inputs (S, B, T, ...), truths (S, O, B T) and the steps' weights (S, 1, B T).
        """
        walks = []
        for new, old, order in zip(self.fresh, self.kept, orders, strict=True):
            walk = [_walk(new, steps, batch, order)]
            if old:
                walk.append(new + _walk(old, steps, batch, order))
            walks.append(torch.cat(walk, dim=1))
        index = torch.stack(walks, dim=1)  # (steps, S, B)
        each = _size(self.parts[0][:1]) * index[0].numel() * _FLOAT
        for some in torch.split(index, max(_AHEAD_BYTES // each, 1)):
            yield from self._take(some, torch.ones(some.shape, dtype=torch.bool))

    def in_order(self, batch: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield the new trials once, in order; seeds that have no more see steps of no weight."""
        most = max(self.fresh)
        steps = -(-most // batch)
        place = torch.arange(steps * batch).view(steps, 1, batch)
        there = place < torch.tensor(self.fresh)[:, None]
        yield from self._take(torch.where(there, place, 0), there)

    def _take(self, index: Tensor, there: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield the trials of some steps, (K, S, B) numbers of the seed's own and whether any."""
        device = self.y.device
        flat = (index + self.start).to(device)
        y, mask = self.y[flat], self.mask[flat]
        mask &= there.to(device).view(*there.shape, *[1] * (mask.ndim - there.ndim))
        weight = weights(mask)
        truth = truths(y, weight, self.stack.readout)
        if self.x is not None:
            x = self.x.index_select(0, flat.flatten()).view(*flat.shape, *self.x.shape[1:])
            yield from zip(x, truth, weight, strict=True)
            return
        for step in range(len(index)):
            chosen = index[step].to(device)
            x = torch.stack(
                [self.stack.inputs(part.x[chosen[row]], [row]) for row, part in self._numbered()]
            )
            yield x, truth[step], weight[step]

    def _numbered(self) -> Iterator[tuple[int, Batch]]:
        return enumerate(self.parts)


def _walk(size: int, steps: int, batch: int, order: torch.Generator) -> Tensor:
    """Return which of `size` trials come in each step, (steps, batch): shuffled, pass by pass."""
    passes = -(-steps * batch // size)
    shuffled = [torch.randperm(size, generator=order) for _ in range(passes)]
    return torch.cat(shuffled)[: steps * batch].view(steps, batch)


def _size(batch: Batch) -> int:
    """Return how many bytes trials on a device take."""
    return int(batch.x.nbytes + batch.y.nbytes + batch.mask.nbytes)
