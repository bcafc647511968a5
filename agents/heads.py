"""Heads: for streams that tell the task, a network with outputs of its own for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
from torch import Tensor

from agents.losses import slope
from agents.nets_base import Network, Readout

__all__ = ["Headed", "slope_in_heads", "split_task", "untold"]

_NEVER = -1e9  # a logit whose probability is zero, and finite, so that its product with zero is


class Headed(Network):
    """A network whose last layer holds one head for each task; the observation tells which.

    Args:
        space: Images (C + tasks, rows, columns) uint8, as `neurotasks.task.tell` makes them.
        outputs: Of one head.
        tasks: How many there are.
        make: Makes the network below the heads from a space of images and a number of outputs.

    Attributes:
        inner: That network; its outputs are those of the first head, of the second ...
    """

    def __init__(
        self,
        space: gym.Space[Any],
        outputs: int,
        tasks: int,
        make: Callable[[gym.Space[object], int], Network],
    ) -> None:
        super().__init__(space)
        self.tasks, self.outputs = tasks, outputs
        self.inner = make(untold(space, tasks), tasks * outputs)

    def forward(
        self, observation: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Answer with the head of each step's task."""
        images, task = split_task(observation, self.tasks)
        every, state = self.inner(images, state)
        heads = every.unflatten(-1, (self.tasks, self.outputs))
        chosen = task[..., None, None].expand(*task.shape, 1, self.outputs)
        return heads.gather(-2, chosen)[..., 0, :], state


def untold(space: gym.Space[Any], tasks: int) -> gym.spaces.Box:
    """Return the space of images without the planes that tell the task.

    Raises:
        TypeError: It is no space of images.
    """
    if not isinstance(space, gym.spaces.Box):
        raise TypeError(f"planes of an image tell the task; {space} has none")
    channels = space.shape[0] - tasks
    return gym.spaces.Box(space.low[:channels], space.high[:channels], dtype=space.dtype.type)


def split_task(observation: Tensor, tasks: int) -> tuple[Tensor, Tensor]:
    """Return the images (B, T, C, ...) and the task (B, T) of observations that tell it."""
    channels = observation.shape[2] - tasks
    planes = observation[:, :, channels:].flatten(3)[..., 0]
    return observation[:, :, :channels], planes.argmax(dim=-1)


def slope_in_heads(
    output: Tensor, truth: Tensor, weight: Tensor, readout: Readout, *, tasks: int
) -> tuple[Tensor, Tensor]:
    """Return what `losses.slope` does where a softmax goes over the outputs of one head alone.

    Args:
        output: (S, tasks x outputs, N), of all heads.
        truth: (S, tasks x outputs, N), of classes: it tells the head of each step.
        weight: (S, 1, N).
        readout: Of all heads together.
        tasks: How many heads there are.
    """
    seeds, outputs, steps = output.shape
    shape = (seeds, tasks, outputs // tasks, steps)
    other = truth.view(shape).amin(dim=2, keepdim=True) >= 0  # (S, tasks, 1, N)
    every = output.reshape(shape).masked_fill(other, _NEVER)
    return slope(every.flatten(1, 2), truth, weight, readout)
