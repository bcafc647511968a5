"""Streams as the strategies of Avalanche learn them."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from agents.avalanche_streams import benchmark
from neurotasks.agent import Agent
from neurotasks.arrays import Array
from neurotasks.task import Batch, StreamTask

__all__ = ["experiences"]


def experiences(task: StreamTask, seed: int, *, whole: bool, joint: bool) -> Any:
    """Return the experiences of a seed, made when they are asked for, as a stream of Avalanche.

    Items are as `agents.avalanche_streams.benchmark` makes them, but for x, which is always
    (T, *observation), the planes that tell the task among them: networks of the suite take it so,
    and iCaRL, which mirrors all that looks like a photograph to it, leaves it as it is.

    Args:
        task: The stream.
        seed: Its seed.
        whole: Whether the classes of all tasks that are told apart are numbered through.
        joint: Whether all experiences are one.
    """
    view = _View(task, whole=whole, joint=joint)
    return benchmark(view, seed, stage=None, planes=True, lazy=True).train_stream


class _View(StreamTask):
    """A stream with its experiences rearranged."""

    def __init__(self, task: StreamTask, *, whole: bool, joint: bool) -> None:
        self.task, self.joint = task, joint
        self.card, self.told = task.card, task.told  # type: ignore[misc]
        self.observation_space = task.observation_space
        self.experiences = 1 if joint else task.experiences
        self.whole = whole and task.told > 0
        answers: Any = task.action_space
        self.outputs = int(answers.n)
        count = self.outputs * (task.told if self.whole else 1)
        self.action_space = spaces.Discrete(count, start=int(answers.start))

    def experience(self, index: int, seed: int) -> Batch:
        numbers = range(self.task.experiences) if self.joint else [index]
        parts = [self.task.experience(number, seed) for number in numbers]
        x, y, mask = (_joined([getattr(p, name) for p in parts]) for name in ("x", "y", "mask"))
        told = {}
        if self.told:
            told["task"] = _joined([np.asarray(part.trials["task"]) for part in parts])
        if self.whole:
            y = y + self.outputs * told["task"][:, None]
        return Batch(x[:, :, None] if x.shape[1] == 1 else x, y, mask, told)

    def test(self, seed: int, stage: str = "test") -> Batch:
        return self.task.test(seed, stage)

    def trivial(self, stage: str = "test") -> Agent:
        return self.task.trivial(stage)


def _joined(arrays: list[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
