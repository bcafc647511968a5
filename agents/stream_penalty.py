"""Penalties that hold weights where earlier experiences left them.

All are one quadratic form, strength x importance x (weight - anchor)^2, on the weights (S, P) of a
stack: its gradient is two operations for all layers and seeds. They differ in what is important.

A weight whose penalty is so steep that a step of the learning rate would jump over the anchor is
held as firmly as a step can hold it, and no more: so no strength makes learning diverge.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from agents.optimiser import RowSGD
from agents.stack import Stack
from agents.stream_trials import Pool

__all__ = ["Elastic", "Penalty", "Synaptic", "fisher"]

_SMALL = torch.finfo(torch.float32).tiny


class Penalty:
    """What all penalties share; by itself it never holds anything.

    Args:
        weights: (S, P), of the stack.
        strength: Of the penalty.
        rate: The learning rate.

    Attributes:
        importance: (S, P).
        anchor: (S, P).
        stiffness: The penalty's second derivative, at most what one step can follow, (S, P).
    """

    def __init__(self, weights: Tensor, strength: float, rate: float) -> None:
        self.strength, self.rate = strength, rate
        self.importance, self.anchor = torch.zeros_like(weights), weights.clone()
        self.stiffness = torch.zeros_like(weights)
        self.holds = False

    def pull(self, stack: Stack) -> None:
        """Add the penalty's gradient to that of the stack."""
        if self.holds:
            away = stack.weights - self.anchor
            stack.gradient.addcmul_(self.stiffness, away)

    def follow(self, optimiser: RowSGD, rate: float) -> None:
        """Take note of a step."""
        del optimiser, rate

    def consolidate(self, stack: Stack, pool: Pool, batch: int) -> None:
        """Hold the weights that an experience has led to.

        Args:
            stack: The networks.
            pool: The trials of the experience.
            batch: How many go into one gradient.
        """
        raise NotImplementedError

    def _hold(self) -> None:
        """Hold the anchors from now on."""
        torch.mul(self.importance, 2.0 * self.strength, out=self.stiffness)
        self.stiffness.clamp_(max=1.0 / self.rate)
        self.holds = True

    @property
    def bytes(self) -> int:
        """How many bytes each seed keeps."""
        return 2 * self.anchor[0].nbytes if self.holds else 0


class Elastic(Penalty):
    """Elastic weight consolidation (Kirkpatrick et al., 2017): important is what Fisher says.

    The penalties of several experiences, each with its own anchor, are summed. As quadratic forms
    they are one, up to a constant: its importance is the sum of theirs, its anchor the mean of
    theirs weighted by importance. So a seed keeps no more, and computes no more, as the stream goes
    on.

    Args:
        weights: (S, P), of the stack.
        strength: Of the penalty; `ewc_lambda` of Avalanche's `EWCPlugin`.
        rate: The learning rate.
        decay: Part of the older importance that is kept, with the newest weights as the anchor
            (online EWC, Schwarz et al., 2018); None for the sum described above.
    """

    def __init__(
        self, weights: Tensor, strength: float, rate: float, decay: float | None = None
    ) -> None:
        super().__init__(weights, strength, rate)
        self.decay = decay

    def consolidate(self, stack: Stack, pool: Pool, batch: int) -> None:
        """Add the Fisher information of an experience."""
        new = fisher(stack, pool, batch)
        if self.decay is not None:
            self.importance.mul_(self.decay).add_(new)
            self.anchor.copy_(stack.weights)
        else:
            self.importance += new
            part = new / self.importance.clamp(min=_SMALL)
            self.anchor.lerp_(stack.weights, part)
        self._hold()


class Synaptic(Penalty):
    """Synaptic intelligence (Zenke et al., 2017): important is what lowered the loss.

    Each weight earns minus its gradient of the loss, without the penalty, times its change, summed
    over the steps of an experience. Avalanche's plug-in takes the gradient with the penalty, halves
    the strength, and allows no importance above 0.001.

    Args:
        weights: (S, P), of the stack.
        strength: Of the penalty; `c` in the paper.
        rate: The learning rate.
        damping: What is added to the square of a weight's change, by which its gain is divided;
            `xi` in the paper.
    """

    def __init__(self, weights: Tensor, strength: float, rate: float, damping: float) -> None:
        super().__init__(weights, strength, rate)
        self.damping = damping
        self.gain, self.slope = torch.zeros_like(weights), torch.zeros_like(weights)

    def pull(self, stack: Stack) -> None:
        """Remember the gradient of the loss, then add the penalty's."""
        self.slope.copy_(stack.gradient)
        super().pull(stack)

    def follow(self, optimiser: RowSGD, rate: float) -> None:
        """Add up what the step gained: the weights changed by minus the rate times the velocity."""
        self.gain.addcmul_(self.slope, optimiser.velocity, value=rate)

    def consolidate(self, stack: Stack, pool: Pool, batch: int) -> None:
        """Add what each weight gained for the distance that it went; losses count as nothing."""
        del pool, batch
        away = stack.weights - self.anchor
        self.importance += self.gain.clamp_(min=0) / (away.square_() + self.damping)
        self.anchor.copy_(stack.weights)
        self.gain.zero_()
        self._hold()


def fisher(stack: Stack, pool: Pool, batch: int) -> Tensor:
    """Return the diagonal of the empirical Fisher information of each seed, (S, P).

    As in Avalanche's `EWCPlugin` it is the mean over batches of the squared gradient of a batch's
    mean loss (not the mean of the squared gradients of single trials, which is about a batch's size
    times as large where gradients are noise). Batches are in the order of the trials.
    """
    total = torch.zeros_like(stack.weights)
    for x, y, weight in pool.in_order(batch):
        stack.learn(x, y, weight)
        total.addcmul_(stack.gradient, stack.gradient)
    return total / _counts(pool.fresh, batch).to(total)


def _counts(sizes: Sequence[int], batch: int) -> Tensor:
    """Return how many batches each seed has, (S, 1)."""
    return torch.tensor([-(-size // batch) for size in sizes])[:, None]
