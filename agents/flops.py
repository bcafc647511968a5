"""Floating-point operations of an agent's network, counted from what torch is asked to compute."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.devices import one_thread
from agents.training import TorchAgent
from neurotasks.errors import MissingExtra
from neurotasks.task import StreamTask, Task

try:
    import torch
except ImportError as error:
    raise MissingExtra("torch", "torch") from error

from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["Flops", "flops"]

_TRIALS = 2  # counted side by side: products with one row are other operations, not all counted


@dataclass(frozen=True)
class Flops:
    """Floating-point operations for one trial (of control: one episode of full length).

    A multiplication and an addition are two. Products of matrices, convolutions and attention are
    counted; what is done number by number (activations, norms, the optimiser) is not, as is usual.

    Attributes:
        forward: To answer the trial.
        training: To answer it and to take the gradient of all trainable weights.
    """

    forward: int
    training: int


def flops(agent: TorchAgent, task: Task) -> Flops:
    """Count the operations of an agent on a task.

    Args:
        agent: The agent; it stays as it is.
        task: The task, for the shape of its observations and the length of its trials.
    """
    steps = 1 if isinstance(task, StreamTask) else task.card.steps
    space = task.observation_space
    start = getattr(space, "start", 0)  # a Discrete space may begin at another class than 0
    shape = (_TRIALS, steps, *(space.shape or ()))
    x = torch.tensor(np.full(shape, start, dtype=space.dtype))
    network = copy.deepcopy(agent.network).to("cpu").requires_grad_()
    with torch.enable_grad(), one_thread(), _unfused():
        with _counter() as counted:
            output: Tensor = network(x)[0]
        forward = counted.get_total_flops()
        with _counter() as counted:
            torch.autograd.backward((output,), (torch.ones_like(output),))
        training = forward + counted.get_total_flops()
    return Flops(forward // _TRIALS, training // _TRIALS)


@contextmanager
def _unfused() -> Iterator[None]:
    """Keep layers apart for a block: the fused ones of oneDNN hide their products."""
    before, *_ = torch.backends.mkldnn.set_flags(_enabled=False)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        torch.backends.mkldnn.set_flags(before)  # type: ignore[no-untyped-call]


def _counter() -> FlopCounterMode:
    """Return torch's counter, with a formula of our own for gradients of grouped convolutions."""
    own = {torch.ops.aten.convolution_backward: _convolution_gradient}
    return FlopCounterMode(display=False, custom_mapping=own)


def _convolution_gradient(
    grad: Sequence[int], x: Sequence[int], weight: Sequence[int], *rest: Any, **_: Any
) -> int:
    """Return the operations of a convolution's gradients, each as many as those of its answer.

    Args:
        grad: Shape of the answer, (N, channels, rows, columns).
        x: Shape of the images.
        weight: (channels, channels before / groups, rows, columns).
        rest: Torch's other arguments, the last of them which gradients are asked for: that of the
            images, of the weight, of the bias.
    """
    del x
    return 2 * math.prod(grad) * math.prod(weight[1:]) * sum(rest[-1][:2])
