"""Optimisers on the rows of a stack, with gradients clipped row by row.

They are AdamW (Loshchilov and Hutter, 2019) and stochastic gradient descent with momentum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.optim.adamw import adamw

__all__ = ["RowAdamW", "RowSGD", "schedule"]

_BETAS = (0.9, 0.999)
_KERNEL = getattr(torch, "_fused_adamw_", None)
"""What `adamw` ends in, if this torch has it: the way there takes as long as the step."""


class RowAdamW:
    """One optimiser for all seeds; no row sees anything of another.

    Args:
        like: The weights (S, P) to be trained.
        weight_decay: Decoupled weight decay.
        clip: Largest norm of a row of the gradient; infinite to leave it as it is.
        epsilon: What is added to the root of the mean square, so that it can divide.
    """

    def __init__(
        self, like: Tensor, *, weight_decay: float, clip: float, epsilon: float = 1e-8
    ) -> None:
        self.weight_decay, self.clip, self.epsilon = weight_decay, clip, epsilon
        self.mean, self.square = torch.zeros_like(like), torch.zeros_like(like)
        self.steps = torch.zeros((), device=like.device)

    def step(self, weights: Tensor, gradient: Tensor, rate: float) -> None:
        """Change the weights (S, P) in place; the gradient (S, P) is clipped in place."""
        _clip(gradient, self.clip)
        if _KERNEL is not None:
            self.steps.add_(1.0)  # the public function counts by itself
        (_KERNEL or partial(adamw, fused=True))(
            [weights],
            [gradient],
            [self.mean],
            [self.square],
            [],
            [self.steps],
            lr=rate,
            beta1=_BETAS[0],
            beta2=_BETAS[1],
            weight_decay=self.weight_decay,
            eps=self.epsilon,
            amsgrad=False,
            maximize=False,
        )

    def narrow(self, rows: Sequence[int]) -> None:
        """Forget all rows but these."""
        self.mean, self.square = self.mean[list(rows)], self.square[list(rows)]


class RowSGD:
    """Stochastic gradient descent with momentum, as torch defines it, for all seeds.

    Args:
        like: The weights (S, P) to be trained.
        momentum: Part of the last step's velocity that is kept.
        clip: Largest norm of a row of the gradient; infinite to leave it as it is.

    Attributes:
        velocity: (S, P); a step changed the weights by minus the rate times it.
    """

    def __init__(self, like: Tensor, *, momentum: float, clip: float = math.inf) -> None:
        self.momentum, self.clip = momentum, clip
        self.velocity = torch.zeros_like(like)

    def step(self, weights: Tensor, gradient: Tensor, rate: float) -> None:
        """Change the weights (S, P) in place; the gradient (S, P) is clipped in place."""
        _clip(gradient, self.clip)
        torch.add(gradient, self.velocity, alpha=self.momentum, out=self.velocity)
        weights.add_(self.velocity, alpha=-rate)


def _clip(gradient: Tensor, most: float) -> None:
    """Shorten in place the rows of a gradient whose norm is larger than this."""
    if math.isfinite(most):
        torch.renorm(gradient, 2, 0, most, out=gradient)


def schedule(progress: float, warmup: float) -> float:
    """Return the learning rate as a part of the highest, for progress from 0 to 1.

    It rises in a line over the part `warmup`, and falls to zero along a cosine over the whole.
    """
    rise = min(progress / warmup, 1.0) if warmup > 0 else 1.0
    return rise * 0.5 * (1.0 + math.cos(math.pi * progress))
