"""The losses of a stack of networks, with their slopes at the outputs."""

from __future__ import annotations

import torch
from torch import Tensor

from agents.networks import Readout

__all__ = ["slope", "targets", "truths", "weights"]


def targets(y: Tensor, mask: Tensor, readout: Readout) -> Tensor:
    """Return truths as `truths` takes them; at steps that are not scored they may be anything.

    Args:
        y: (..., T) classes, counted from the readout's first, or (..., T, *action) floats.
        mask: (..., T) bool.
        readout: What the network is trained on.

    Returns:
        Classes from 0 up (..., T) int64, or coordinates (..., T, O) float32.
    """
    if readout.loss == "cross-entropy":
        return torch.where(mask, y.long() - readout.start, 0)
    return torch.where(mask[..., None], y.float().reshape(*mask.shape, readout.size), 0.0)


def weights(mask: Tensor) -> Tensor:
    """Return how much each step counts in its seed's mean, (..., B, T) bool to (..., 1, B T)."""
    flat = mask.flatten(-2).unsqueeze(-2)
    return flat / flat.sum(dim=-1, keepdim=True).clamp_(min=1)


def truths(y: Tensor, weight: Tensor, readout: Readout) -> Tensor:
    """Return what `slope` compares outputs with.

    Args:
        y: Targets, (..., B, T) or (..., B, T, O); see `targets`.
        weight: (..., 1, B T); see `weights`.
        readout: What the network is trained on.

    Returns:
        (..., O, B T): the coordinates; or of classes the slope of the loss with respect to the
        logarithm of their probability, which is minus the weight of the true one.
    """
    if readout.loss != "cross-entropy":
        return y.flatten(-3, -2).mT.contiguous()
    marks = weight.new_zeros(*weight.shape[:-2], readout.size, weight.shape[-1])
    return marks.scatter_(-2, y.flatten(-2).unsqueeze(-2), -weight)


def slope(output: Tensor, truth: Tensor, weight: Tensor, readout: Readout) -> tuple[Tensor, Tensor]:
    """Return the loss of each seed, and its derivative with respect to the outputs.

    The few numbers of an answer come before the many steps: a processor then computes on
    neighbours in memory, which for ten classes takes a third of the time.

    Args:
        output: (S, O, N) float32, for N = B T steps.
        truth: (S, O, N); see `truths`.
        weight: (S, 1, N), the weight of each step.
        readout: Which loss: the cross-entropy of the softmax in nats, or the squared error, mean
            over O.

    Returns:
        (S,) and (S, O, N).
    """
    if readout.loss == "cross-entropy":
        logs = output.log_softmax(dim=1)
        loss = (logs * truth).sum(dim=(1, 2))
        return loss, torch.addcmul(truth, logs.exp_(), weight)
    error = output - truth
    change = (error * weight).mul_(2.0 / readout.size)
    return error.mul_(change).sum(dim=(1, 2)).mul_(0.5), change
