"""Heads: for streams that tell the task, a network with outputs of its own for each."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium as gym
from torch import Tensor

from agents.nets_base import Network

__all__ = ["Headed", "split_task"]


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
        space: gym.spaces.Box,
        outputs: int,
        tasks: int,
        make: Callable[[gym.Space[object], int], Network],
    ) -> None:
        super().__init__(space)
        channels = space.shape[0] - tasks
        images = gym.spaces.Box(space.low[:channels], space.high[:channels], dtype=space.dtype.type)
        self.tasks, self.outputs = tasks, outputs
        self.inner = make(images, tasks * outputs)

    def forward(
        self, observation: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Answer with the head of each step's task."""
        images, task = split_task(observation, self.tasks)
        every, state = self.inner(images, state)
        heads = every.unflatten(-1, (self.tasks, self.outputs))
        chosen = task[..., None, None].expand(*task.shape, 1, self.outputs)
        return heads.gather(-2, chosen)[..., 0, :], state


def split_task(observation: Tensor, tasks: int) -> tuple[Tensor, Tensor]:
    """Return the images (B, T, C, ...) and the task (B, T) of observations that tell it."""
    channels = observation.shape[2] - tasks
    planes = observation[:, :, channels:].flatten(3)[..., 0]
    return observation[:, :, :channels], planes.argmax(dim=-1)
