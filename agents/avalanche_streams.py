"""Streams as benchmarks of Avalanche: one call, and its strategies and plugins run on it unchanged.

    from agents.avalanche import avalanche
    from agents.avalanche_streams import benchmark

    stream = benchmark(neurotasks.load("ContinualDigits-v0"), dtype=torch.float32)
    model = avalanche("avalanche.models").SimpleMLP(num_classes=10, input_size=64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    strategy = avalanche("avalanche.training").Naive(
        model=model, optimizer=optimizer, train_mb_size=32
    )
    for experience in stream.train_stream:
        strategy.train(experience)
    strategy.eval(stream.test_stream)

Avalanche has three ways to build a benchmark, of which only the oldest gives its experiences all
that its strategies look for: task labels (LwF, DER, multi-head models), a link to the benchmark
(iCaRL) and a data set that can be replaced (BiC). That one is taken, with the class order that
iCaRL asks for besides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import TensorDataset

from agents.avalanche import avalanche, quiet
from neurotasks.task import Batch, StreamTask

__all__ = ["benchmark"]

_SCENARIOS = "avalanche.benchmarks.scenarios.deprecated"

IGNORED = -100
"""The target of a step that is not scored: torch's cross-entropy passes over it."""


def benchmark(
    task: StreamTask,
    seed: int = 0,
    *,
    stage: str | None = "test",
    dtype: torch.dtype | None = None,
    planes: bool = False,
    lazy: bool = False,
) -> Any:
    """Return a stream of a seed as a benchmark of Avalanche.

    Its `train_stream` has one experience for each of the task's. Its `test_stream` has one for each
    group of the test set where groups are experiences, as Avalanche's forgetting metrics want it,
    and else a single one. An item is `(x, y, label)`:

    - x is the observation, (*observation), or (T, *observation) of a trial of T steps;
    - y is the class, counted from 0, or (T,) classes with -100 at steps that are not scored, which
      torch's cross-entropy passes over; a model then answers (B, classes, T). Trials without a
      scored step are left out, and "targets", by which buffers are balanced, tells the class of
      the last scored step;
    - label is the task's, of streams that tell it, else 0.

    Args:
        task: The stream.
        seed: Its seed.
        stage: The stage of evaluation behind `test_stream`; None leaves it empty.
        dtype: The type of floats that observations become; integers are divided by their highest
            value (255 for a byte of an image). By default observations stay as they are, as the
            networks of the suite take them.
        planes: Whether the images of a stream that tells the task keep the planes that do so.
            Multi-head models of Avalanche read the label instead.
        lazy: Whether an experience is made when it is first asked for, and may be dropped with
            `train_stream.drop_previous_experiences`; what comes later is then unknown before.

    Raises:
        TypeError: The task is no stream of classes.
    """
    make = _Maker(_checked(task), dtype, planes)
    tests = [] if stage is None else list(make.tests(task.test(seed, stage)))
    with quiet():
        made = avalanche(f"{_SCENARIOS}.classification_scenario").ClassificationScenario(
            stream_definitions={
                "train": _definition(make.train(seed), make.labels, lazy=lazy),
                "test": _definition([data for data, _ in tests], [label for _, label in tests]),
            }
        )
    made.n_classes_per_exp, made.classes_order = make.counts, make.order
    return made


@dataclass
class _Maker:
    """Makes the data sets of a stream, and takes down what each teaches.

    Attributes:
        task: The stream.
        dtype: What observations become.
        planes: Whether images keep the planes that tell the task.
        labels: The labels in each experience, filled as they are made.
        counts: How many classes each experience taught first.
        order: All classes in the order in which they were taught.
    """

    task: StreamTask
    dtype: torch.dtype | None
    planes: bool
    labels: list[set[int]] = field(init=False)
    counts: list[int] = field(default_factory=list)
    order: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with the labels of a stream that does not tell them."""
        self.labels = [{0} for _ in range(self.task.experiences)]

    def train(self, seed: int) -> Iterator[Any]:
        """Make the experiences one after the other."""
        for index in range(self.task.experiences):
            data, self.labels[index] = self.dataset(self.task.experience(index, seed))
            new = sorted(data.targets.uniques - set(self.order))
            self.counts.append(len(new))
            self.order.extend(new)
            yield data

    def tests(self, batch: Batch) -> Iterator[tuple[Any, set[int]]]:
        """Make the test set: a part for each experience, or a whole."""
        group = np.asarray(batch.trials["group"])
        found = np.unique(group)
        if len(found) != self.task.experiences:
            yield self.dataset(batch)
            return
        for number in found:
            yield self.dataset(batch[group == number])

    def dataset(self, batch: Batch) -> tuple[Any, set[int]]:
        """Return trials as a data set of Avalanche, and the task labels in it."""
        utils = avalanche("avalanche.benchmarks.utils")
        batch = batch[np.asarray(batch.mask).any(axis=1)]
        x, y = self._observations(np.asarray(batch.x)), self._classes(batch)
        told = np.asarray(batch.trials["task"]) if self.task.told else np.zeros(1, dtype=np.int64)
        found = set(told.tolist())
        constant = avalanche("avalanche.benchmarks.utils.flat_data").ConstantSequence
        labels = told.tolist() if len(found) > 1 else constant(*found, len(batch))
        data = utils.TaskAwareSupervisedClassificationDataset(
            [_items(x, y)],
            data_attributes=[
                utils.DataAttribute(_last_scored(y), "targets"),
                utils.TaskLabels(labels),
            ],
        )
        return data, found

    def _observations(self, x: NDArray[Any]) -> Tensor:
        """Return observations (N, T, *observation) as items, the time axis only where T > 1."""
        bare = self.task.told > 0 and not self.planes
        x = x[:, :, : x.shape[2] - self.task.told] if bare else x
        items = torch.tensor(x[:, 0] if x.shape[1] == 1 else x)
        if self.dtype is None or items.dtype == self.dtype:
            return items
        found, space = items.to(self.dtype), self.task.observation_space
        if items.is_floating_point() or not isinstance(space, spaces.Box):
            return found
        high = torch.tensor(np.maximum(space.high, 1))
        return found.div_(high[: len(high) - self.task.told] if bare else high)

    def _classes(self, batch: Batch) -> Tensor:
        """Return classes (N, T) as items, the time axis only where T > 1."""
        space: Any = self.task.action_space
        y = torch.tensor(np.asarray(batch.y)).long() - int(space.start)
        y[~torch.tensor(np.asarray(batch.mask))] = IGNORED
        return y[:, 0] if y.shape[1] == 1 else y


def _checked(task: Any) -> StreamTask:
    """Return a stream whose answers are classes.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(task, StreamTask):
        kind = "a stream of worlds" if getattr(task, "experiences", 0) else "no stream"
        raise TypeError(
            f"{task.card.id} is {kind}; a benchmark of Avalanche is made of a StreamTask, whose "
            "experiences are data sets"
        )
    if not isinstance(task.action_space, spaces.Discrete):
        raise TypeError(
            f"{task.card.id} is answered in {task.action_space}; a benchmark of Avalanche is made "
            "of a stream of classes, with a Discrete action space"
        )
    return task


def _definition(datasets: Iterable[Any], labels: list[set[int]], *, lazy: bool = False) -> Any:
    """Return a stream of Avalanche; labels are filled as the data sets are made."""
    sequence = avalanche(f"{_SCENARIOS}.lazy_dataset_sequence").LazyDatasetSequence
    data = sequence(datasets, len(labels))
    if not lazy:
        data.load_all_experiences()
    return avalanche(f"{_SCENARIOS}.dataset_scenario").StreamDef(data, labels, None, lazy)


def _items(x: Tensor, y: Tensor) -> TensorDataset:
    """Return observations with their classes, which come as integers like those of Avalanche.

    iCaRL mixes items of both, which could not be collated if ours were tensors.
    """
    if y.ndim > 1:
        return TensorDataset(x, y)
    data = avalanche("avalanche.benchmarks.utils.classification_dataset")
    found: TensorDataset = data._TensorClassificationDataset(x, y)  # noqa: SLF001 - to be the same
    return found


def _last_scored(y: Tensor) -> list[int]:
    """Return one class for each item: its own, or that of the last scored step."""
    if y.ndim == 1:
        return y.tolist()
    last = ((y != IGNORED) * torch.arange(1, y.shape[1] + 1)).argmax(dim=1)
    return y[torch.arange(len(y)), last].tolist()
