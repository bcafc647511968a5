"""The losses of a stack of networks, with their slopes at the outputs."""

from __future__ import annotations

import torch
from torch import Tensor

from agents.networks import Readout

__all__ = ["slope", "targets", "weights"]


def targets(y: Tensor, mask: Tensor, readout: Readout) -> Tensor:
    """Return truths as `slope` takes them; at steps that are not scored they may be anything.

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
    """Return how much each step counts in its seed's mean, (..., B, T) bool to float32."""
    return mask / mask.sum(dim=(-2, -1), keepdim=True).clamp_(min=1)


def slope(output: Tensor, y: Tensor, weight: Tensor, readout: Readout) -> tuple[Tensor, Tensor]:
    """Return the loss of each seed, and its derivative with respect to the outputs.

    Args:
        output: (S, B, T, O) float32.
        y: Targets, (S, B, T) or (S, B, T, O); see `targets`.
        weight: (S, B, T), the weight of each step.
        readout: Which loss: the cross-entropy of the softmax in nats, or the squared error, mean
            over O.

    Returns:
        (S,) and (S, B, T, O).
    """
    if readout.loss != "cross-entropy":
        error, part = output - y, weight[..., None] / output.shape[-1]
        return (error.square() * part).sum(dim=(1, 2, 3)), error.mul_(part).mul_(2.0)
    shifted = output - output.amax(dim=-1, keepdim=True)
    truth = y[..., None]
    known = shifted.gather(-1, truth)[..., 0]
    powers = shifted.exp_()
    total = powers.sum(dim=-1)
    losses = ((total.log() - known) * weight).sum(dim=(1, 2))
    change = powers.mul_((weight / total)[..., None])
    return losses, change.scatter_add_(-1, truth, -weight[..., None])
