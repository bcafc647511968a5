"""The three forms of a task, and the batch of trials.

A task is a class that inherits from one of `TrialTask`, `ControlTask` and `StreamTask`, sets its
spaces, and carries its card. A form holds what every task of that form has in common; the faces
(`env.py`, `vector.py`) are derived from it and never written per task.
"""

from __future__ import annotations

import bisect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, ClassVar, Generic, Self, TypeAlias, TypeVar

import gymnasium as gym
import numpy as np

from neurotasks.agent import Agent
from neurotasks.arrays import Array, Namespace
from neurotasks.card import TaskCard
from neurotasks.errors import NoIdealObserver, UnknownStage
from neurotasks.rng import STAGES, Draw, check_seed

__all__ = [
    "Batch",
    "ControlTask",
    "Details",
    "Episodes",
    "Experience",
    "State",
    "StreamTask",
    "Task",
    "TrialTask",
    "rows",
    "split_of",
    "tell",
]

Control = TypeVar("Control", bound="ControlTask[Any]")
State = TypeVar("State", bound=tuple[Array, ...])
"""The state of B worlds of a control task: a named tuple of arrays whose first axis is B."""


@dataclass(frozen=True)
class Batch:
    """Trials side by side.

    Attributes:
        x: Observations, (B, T, *observation).
        y: Truths, (B, T, ...): a class per step (integers) or a vector like the action.
        mask: Which steps are scored, (B, T) bool.
        trials: The table of trial parameters, each (B, ...).
    """

    x: Array
    y: Array
    mask: Array
    trials: Mapping[str, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of trials."""
        return int(self.x.shape[0])

    def __getitem__(self, index: Any) -> Batch:
        """Return some of the trials: a slice, a mask or an array of positions."""
        table = {name: column[index] for name, column in self.trials.items()}
        return Batch(self.x[index], self.y[index], self.mask[index], table)


Details: TypeAlias = Mapping[str, Mapping[str, float]]
"""Further figures of a stage's answers, by name and part: a psychometric curve by coherence."""


@dataclass(frozen=True)
class Episodes:
    """What happened in B episodes of a control task, side by side, in the steps up to the last end.

    Attributes:
        start: The state of each at its beginning, which nobody saw.
        observation: What was seen before each action, (B, T, *observation).
        action: (B, T, *action).
        reward: (B, T) float64.
        running: Whether the episode had not ended before the step, (B, T) bool.
    """

    start: Any
    observation: Array
    action: Array
    reward: Array
    running: Array


class TrialTask(ABC):
    """A task whose answers do not change what is shown.

    Attributes:
        card: The facts; set by `@register`.
        observation_space: Space of one step's observation.
        action_space: Space of one step's answer.
    """

    card: ClassVar[TaskCard]
    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]

    @abstractmethod
    def generate(self, draw: Draw, *_: Any, **parameters: Any) -> Batch:
        """Return the trials of a draw; `parameters` are those of the card's stage, by name."""

    @abstractmethod
    def trivial(self, stage: str = "test") -> Agent:
        """Return the best agent that ignores the observation."""

    def ideal(self, stage: str = "test") -> Agent:
        """Return the ideal observer of a stage.

        Raises:
            NoIdealObserver: The data are recorded.
        """
        raise _no_ideal_observer(self.card, stage)

    def details(self, answer: Array, batch: Batch) -> Details:
        """Return further figures of a stage's answers, by name and part; none by default.

        Args:
            answer: (B, T, *action), all answers of a stage.
            batch: The trials that were answered.
        """
        del answer, batch
        return {}

    def sample(
        self,
        trials: int | range,
        seed: int = 0,
        stage: str = "train",
        *,
        split: str | None = None,
        xp: Namespace = np,
        device: Any = None,
    ) -> Batch:
        """Return trials by their numbers. Trial k of seed s is one fixed thing.

        Args:
            trials: How many, counted from trial 0, or which: a range of consecutive numbers.
            seed: The seed.
            stage: "train", "validation", "test", "shift" or "private".
            split: For recorded data, the named split to take rows from; by default the stage's own.
            xp: The array namespace: `numpy`, or `array_api_compat.torch`.
            device: The device of the arrays.
        """
        numbers = range(trials) if isinstance(trials, int) else trials
        if numbers.step != 1 or numbers.start < 0:
            raise ValueError(f"trials must be consecutive numbers from 0 up, not {numbers!r}")
        parameters = self.card.stage(stage).parameters
        draw = Draw(
            self.card.label, stage, check_seed(seed), numbers.start, len(numbers), None, xp, device,
            split or stage,
        )  # fmt: skip
        return self.generate(draw, **parameters)

    def dataset(self, split: str = "train", seed: int = 0) -> Batch:
        """Return a whole split: for recorded data every row once, in the order of the seed.

        Raises:
            UnknownStage: The card has no such split.
        """
        return self.sample(split_size(self.card, split), seed, split_stage(split), split=split)


class ControlTask(ABC, Generic[State]):
    """A task whose answers change what comes next: pure functions on batches of worlds.

    A stream of worlds is a control task that is learned one kind of world after the other. Its
    generator takes a parameter `world`: the number of a kind, or None for all of them by turns.

    Attributes:
        card: The facts; set by `@register`. `card.steps` is the time limit of an episode.
        observation_space: Space of one step's observation.
        action_space: Space of one step's action.
        experiences: How many kinds of worlds come one after the other; 0 where it is no stream.
        index: Which of them this task is restricted to; None where it is not.
        whole: The stream that this task is a part of; None where it is none.
    """

    card: ClassVar[TaskCard]
    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]
    experiences: int = 0
    index: int | None = None
    whole: ControlTask[Any] | None = None

    @abstractmethod
    def initial(self, draw: Draw, *_: Any, **parameters: Any) -> State:
        """Return the state at the beginning of the episodes of a draw.

        `parameters` are those of the card's stage, by name; likewise in `step`.
        """

    @abstractmethod
    def observe(self, state: State) -> Array:
        """Return what the agent sees, (B, *observation)."""

    @abstractmethod
    def step(
        self, state: State, action: Array, draw: Draw, *_: Any, **parameters: Any
    ) -> tuple[State, Array, Array]:
        """Return the next state, the reward (B,) float64 and whether it ended (B,) bool.

        Whoever stops using the old state may write into the new one.
        """

    @abstractmethod
    def trivial(self, stage: str = "test") -> Agent:
        """Return the better of the best constant and the random policy."""

    def ideal(self, stage: str = "test") -> Agent:
        """Return the optimal policy of a stage.

        Raises:
            NoIdealObserver: It is not known.
        """
        raise _no_ideal_observer(self.card, stage)

    def details(self, episodes: Episodes) -> Details:
        """Return further figures of a stage's episodes, by name and part; none by default."""
        del episodes
        return {}

    def published(self) -> Mapping[str, Array]:
        """Return published courses of a stream of worlds; none by default."""
        return {}

    def stream(self) -> tuple[Self, ...]:
        """Return the experiences in order: this task with one kind of world each."""
        return tuple(_restricted(self, index) for index in range(self.experiences))


@dataclass(frozen=True)
class Experience:
    """One step of a stream as a learner sees it: a data set now, no way back, no look ahead.

    Attributes:
        task: The stream.
        index: Which experience, from 0.
    """

    task: StreamTask
    index: int

    @property
    def card(self) -> TaskCard:
        """The card of the stream."""
        return self.task.card

    @property
    def observation_space(self) -> gym.Space[Any]:
        """Space of one observation."""
        return self.task.observation_space

    @property
    def action_space(self) -> gym.Space[Any]:
        """Space of one answer."""
        return self.task.action_space

    @property
    def count(self) -> int:
        """How many experiences the stream has."""
        return self.task.experiences

    def dataset(self, split: str = "train", seed: int = 0) -> Batch:
        """Return the training trials of this experience in the stream of a seed."""
        if split != "train":
            raise UnknownStage(f"an experience has the split 'train' alone, not {split!r}")
        return self.task.experience(self.index, seed)


class StreamTask(ABC):
    """An ordered list of experiences, and one test set that is evaluated after each.

    Attributes:
        card: The facts; set by `@register`.
        observation_space: Space of one observation.
        action_space: Space of one answer.
        experiences: How many experiences there are.
        told: How many tasks the agent is told apart by (task-incremental learning): so many planes
            follow the image, as `tell` adds them; 0 where it is not told.
    """

    card: ClassVar[TaskCard]
    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]
    experiences: int
    told: int = 0

    @abstractmethod
    def experience(self, index: int, seed: int) -> Batch:
        """Return the training trials of an experience in the stream of a seed."""

    @abstractmethod
    def test(self, seed: int, stage: str = "test") -> Batch:
        """Return the test set of a stage of evaluation.

        Its table's "group" is the column of the accuracy matrix. Where a part of the test set
        belongs to one experience, the group is the number of that experience.
        """

    @abstractmethod
    def trivial(self, stage: str = "test") -> Agent:
        """Return the best agent that ignores the observation."""

    def ideal(self, stage: str = "test") -> Agent:
        """Return the ideal observer of a stage.

        Raises:
            NoIdealObserver: The data are recorded.
        """
        raise _no_ideal_observer(self.card, stage)

    def published(self) -> Mapping[str, Array]:
        """Return published courses by name: the mean over groups after each experience, (E,).

        None by default. They are drawn beside those of our agents.
        """
        return {}

    def sizes(self, seed: int) -> Sequence[int]:
        """Return the number of trials of each experience; large ones tell it unloaded."""
        return [len(self.experience(index, seed)) for index in range(self.experiences)]

    def stream(self) -> tuple[Experience, ...]:
        """Return the experiences in order."""
        return tuple(Experience(self, index) for index in range(self.experiences))

    def dataset(self, split: str = "test", seed: int = 0) -> Batch:
        """Return the test set, or the whole stream's training trials in stream order."""
        if split == "test":
            return self.test(seed)
        return self.sample(split_size(self.card, split), seed, split_stage(split))

    def sample(self, trials: int | range, seed: int = 0, stage: str = "train") -> Batch:
        """Return trials by their numbers: in stage "train", in the order of the stream.

        After the last trial of the stream (or of the test set) the first comes again.
        """
        self.card.stage(stage)
        numbers = range(trials) if isinstance(trials, int) else trials
        if stage != "train":
            batch = self.test(check_seed(seed), "test" if stage == "validation" else stage)
            return batch[np.asarray(numbers, dtype=np.int64) % len(batch)]
        return _stream_order(self, check_seed(seed), numbers)


Task: TypeAlias = TrialTask | ControlTask[Any] | StreamTask
"""Any of the three forms."""


def split_stage(split: str) -> str:
    """Return the stage whose generator a split uses: "train15k" is a part of "train"."""
    return next((stage for stage in STAGES if split.startswith(stage)), "train")


def split_size(card: TaskCard, split: str) -> int:
    """Return how many trials a split has.

    Raises:
        UnknownStage: The card has no such split.
    """
    if split not in card.splits:
        raise UnknownStage(f"{card.id} has no split {split!r}; it has {', '.join(card.splits)}")
    return card.splits[split]


def rows(draw: Draw, n: int) -> Array:
    """Return which row of n recorded ones each trial shows, (B,) int64 NumPy array.

    For learning, the trials of a seed run through all rows in an order of the seed's own
    (row = a k + b modulo n, with a and n coprime), so that n consecutive trials are one pass.
    For evaluation, trial k is row k.
    """
    trials = (draw.first[:, None] + np.arange(draw.count)) % n
    if draw.stage in ("train", "validation"):
        strides = _coprime(n)
        seeds, place = np.unique(draw.seeds, return_inverse=True)
        order = Draw(draw.task, draw.stage, seeds).uniform("order", (2,))[place]
        a = strides[(order[:, 0] * len(strides)).astype(np.int64)]
        b = (order[:, 1] * n).astype(np.int64)
        trials = (a[:, None] * trials + b[:, None]) % n
    return trials.reshape(-1)


def split_of(draw: Draw, card: TaskCard) -> str:
    """Return which split of recorded data a draw shows; the shifted trials are those of the test.

    Raises:
        UnknownStage: The card has no such split.
    """
    name = draw.split or draw.stage
    name = "test" if name == "shift" else name
    split_size(card, name)
    return name


@lru_cache(maxsize=16)
def _coprime(n: int) -> Array:
    numbers = np.arange(1, n + 1)
    return numbers[np.gcd(numbers, n) == 1]


def _restricted(task: Control, index: int) -> Control:
    """Return a stream of worlds with one kind of world alone, in every stage."""
    stages = {
        name: replace(stage, parameters={**stage.parameters, "world": index})
        for name, stage in task.card.stages.items()
    }
    kind, card = type(task), replace(task.card, stages=stages)
    told = {"card": card, "index": index, "whole": task}
    restricted: type[Control] = type(kind.__name__, (kind,), told)
    return restricted()


def _no_ideal_observer(card: TaskCard, stage: str) -> NoIdealObserver:
    card.stage(stage)
    return NoIdealObserver(
        f"{card.id} has no ideal observer: nobody knows the best possible answer. "
        f"Its ceiling is {card.ceiling}: {card.ceiling_source}"
    )


def tell(images: Array, label: Array, told: int) -> Array:
    """Return images with planes that tell the task: 255 in the plane of the task, 0 in the others.

    Args:
        images: (N, C, H, W) uint8.
        label: The task of each, (N,), from 0.
        told: How many tasks there are.

    Returns:
        (N, C + told, H, W) uint8; the images themselves where `told` is 0.
    """
    if not told:
        return images
    channels = images.shape[1]
    shown = np.zeros((len(images), channels + told, *images.shape[2:]), dtype=np.uint8)
    shown[:, :channels] = images
    shown[np.arange(len(images)), channels + np.asarray(label)] = 255
    return shown


def _stream_order(task: StreamTask, seed: int, numbers: Sequence[int]) -> Batch:
    """Return trials of the stream by their position in it."""
    ends = np.cumsum(task.sizes(seed)).tolist()
    parts: list[Batch] = []
    position, left = (numbers[0] if len(numbers) else 0) % ends[-1], len(numbers)
    while left:
        index = bisect.bisect_right(ends, position)
        experience = task.experience(index, seed)
        start = position - (ends[index] - len(experience))
        part = experience[start : start + left]
        parts.append(part)
        left -= len(part)
        position = ends[index] % ends[-1]
    return _concatenate(parts or [task.experience(0, seed)[:0]])


def _concatenate(parts: Sequence[Batch]) -> Batch:
    return Batch(
        np.concatenate([part.x for part in parts]),
        np.concatenate([part.y for part in parts]),
        np.concatenate([part.mask for part in parts]),
        {name: np.concatenate([part.trials[name] for part in parts]) for name in parts[0].trials},
    )
