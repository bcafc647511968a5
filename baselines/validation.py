"""The validation score: what a search may look at, for each form of task.

    trial    the trials of the split "validation"
    control  the episodes of the stage "validation", as many as the stage "test" has
    stream   trials that are held out of each experience and never taught, a fifth of it

Nothing here, nor in what it calls, draws a trial of the stages "test", "shift" or "private".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotasks.agent import Agent, Budget, Learner, Log
from neurotasks.arrays import Array
from neurotasks.card import TaskCard
from neurotasks.continual import evaluate_stream
from neurotasks.evaluate import trial_metric
from neurotasks.scores import score
from neurotasks.task import Batch, StreamTask, Task

__all__ = ["held_out", "validation_score", "validation_scores", "validation_trials"]

_STAGE = "validation"
_PART = 5  # one block in five is held out
_BLOCK = 20  # trials; neighbours of a film look alike, so that single ones would tell too much


def validation_scores(
    task: Task, learner: Learner, *, seeds: Sequence[int], budget: Budget, log: Log
) -> tuple[float, ...]:
    """Learn a task, and return the validation score of each seed.

    Raises:
        ValueError: The task has no validation trials.
    """
    if isinstance(task, StreamTask):
        split = held_out(task)
        _, results = evaluate_stream(split, learner, seeds=seeds, budget=budget, log=log)
        return results["test"].score
    trials = validation_trials(task.card)
    agents = learner.learn(task, seeds=seeds, budget=budget, log=log)
    raw = [
        float(trial_metric(task, agent, seed=seed, stage=_STAGE, trials=trials).mean())
        for agent, seed in zip(agents, seeds, strict=True)
    ]
    return tuple(validation_score(value, task.card) for value in raw)


def validation_score(raw: float, card: TaskCard) -> float:
    """Return the score of a raw metric of validation trials; its anchors are those of the test."""
    return score(raw, card.stage(_STAGE))


def validation_trials(card: TaskCard) -> int:
    """Return how many trials validate: for control as many episodes as are tested.

    Raises:
        ValueError: The card has no such split.
    """
    if card.form == "control":
        return card.stage(_STAGE).trials
    if _STAGE not in card.splits:
        raise ValueError(
            f"{card.id} has no split {_STAGE!r}, and nothing is ever tuned on its test trials; it "
            f"has {', '.join(card.splits)}"
        )
    return card.splits[_STAGE]


def held_out(stream: StreamTask) -> StreamTask:
    """Return a stream that teaches four fifths of each experience and tests on the rest.

    Its groups are the experiences. Its anchors are those of the stream's own test, which may show
    other trials (new sessions of a film): its scores compare with each other alone.
    """

    class HeldOut(StreamTask):
        """The same stream, without its test."""

        card = stream.card
        observation_space = stream.observation_space
        action_space = stream.action_space
        experiences = stream.experiences
        told = stream.told

        def experience(self, index: int, seed: int) -> Batch:
            """Return what is taught of an experience."""
            batch = stream.experience(index, seed)
            return batch[~_held_out(len(batch))]

        def test(self, seed: int, stage: str = "test") -> Batch:
            """Return what is held out of all experiences, whatever the stage."""
            del stage
            return kept(seed)

        def trivial(self, stage: str = "test") -> Agent:
            """Return the stream's own."""
            return stream.trivial(stage)

    @cache
    def kept(seed: int) -> Batch:
        parts = []
        for index in range(stream.experiences):
            batch = stream.experience(index, seed)
            parts.append(batch[_held_out(len(batch))])
        columns = [(part.x, part.y, part.mask) for part in parts]
        x, y, mask = (np.concatenate(column) for column in zip(*columns, strict=True))
        group = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        return Batch(x, y, mask, {"group": group})

    return HeldOut()


def _held_out(trials: int) -> NDArray[np.bool_]:
    """Return which trials of an experience are held out: the last block of every five."""
    block = max(min(_BLOCK, trials // _PART), 1)
    number: Array = np.arange(trials) // block
    chosen: Any = number % _PART == _PART - 1
    return chosen
