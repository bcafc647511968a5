"""The clipped objective of proximal policy optimisation, with its slopes at the outputs.

Shapes: S seeds, B sequences of T steps, O outputs, A coordinates of an action. The actor of a class
gives logits, O classes of them; the actor of a point gives its mean, O = A.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

from torch import Tensor
from torch.nn.functional import layer_norm

__all__ = ["Slopes", "log_probability", "slopes"]

_TINY = 1e-16  # keeps the division by a vanishing variance finite
_HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)


class Lived(Protocol):
    """What the objective asks of a batch, (S, B, T) each.

    Attributes:
        choice: What was chosen: classes, or points (S, B, T, A).
        chance: Its log-probability then.
        advantage: How much better it was than expected.
    """

    @property
    def choice(self) -> Tensor: ...
    @property
    def chance(self) -> Tensor: ...
    @property
    def advantage(self) -> Tensor: ...


class Slopes(NamedTuple):
    """Derivatives of what is to be made small.

    Attributes:
        output: By the actor's outputs, (S, B, T, O).
        spread: By the logarithm of its standard deviation, (S, A).
    """

    output: Tensor
    spread: Tensor


def log_probability(output: Tensor, spread: Tensor, choice: Tensor) -> Tensor:
    """Return the logarithm of the probability (of a point: its density) of what was chosen.

    Args:
        output: (S, B, T, O).
        spread: Logarithm of the standard deviation, (S, A); (S, 0) for classes.
        choice: Classes (S, B, T), or points (S, B, T, A).

    Returns:
        (S, B, T).
    """
    if spread.shape[1] == 0:
        return _logarithms(output).gather(1, choice[:, None])[:, 0]
    wide = spread[:, None, None]
    away = (choice - output) * wide.neg().exp()
    return -(away.square() * 0.5 + wide + _HALF_LOG_TAU).sum(dim=-1)


def slopes(output: Tensor, spread: Tensor, lived: Lived, clip: float, entropy: float) -> Slopes:
    """Return the slopes of the objective of one batch, Schulman et al. (2017), equation 7.

    The advantages are normalised in the batch, seed by seed. Where a step has moved beyond the clip
    towards its advantage, it has no slope.

    Args:
        output: What the actors say now, (S, B, T, O).
        spread: As in `log_probability`.
        lived: What was chosen.
        clip: How far the ratio of the probabilities now and then may lie from 1.
        entropy: Weight of the policy's entropy.
    """
    advantage = layer_norm(lived.advantage, lived.advantage.shape[1:], eps=_TINY)
    if spread.shape[1] == 0:
        known, chosen = _logarithms(output), lived.choice[:, None]
        now = known.gather(1, chosen)
        weight = _weight(now[:, 0] - lived.chance, advantage, clip)[:, None]
        probability = known.exp()
        change = (probability * weight).neg_().scatter_add_(1, chosen, weight)
        if entropy:
            doubt = -(probability * known).sum(dim=1, keepdim=True)
            change += probability * (known + doubt) * (entropy / now[0].numel())
        return Slopes(change.movedim(1, -1), spread)
    now = log_probability(output, spread, lived.choice)
    weight = _weight(now - lived.chance, advantage, clip)[..., None]
    rate = spread[:, None, None].neg().exp()
    away = (lived.choice - output) * rate
    wider = (weight * (away.square() - 1.0)).sum(dim=(1, 2)) - entropy
    return Slopes(weight * away * rate, wider)


def _logarithms(output: Tensor) -> Tensor:
    """Return the log-probabilities of the classes, (S, O, B, T).

    The classes come before the steps: over a last axis of two or three, torch is several times as
    slow.
    """
    return output.movedim(-1, 1).contiguous().log_softmax(dim=1)


def _weight(moved: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """Return the slopes by the log-probabilities, which have moved since, (S, B, T)."""
    ratio = moved.exp()
    kept = ratio * advantage
    beyond = ratio.clamp_(1.0 - clip, 1.0 + clip).mul_(advantage) < kept
    return kept.masked_fill_(beyond, 0.0).mul_(-1.0 / advantage[0].numel())
