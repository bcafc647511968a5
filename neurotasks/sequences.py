"""Sequences: the trials of a task one after the other, cut into pieces of equal length.

Recurrent networks are often trained on a stretch of time rather than on a trial: the trials 0, 1,
2, ... of a seed follow each other without a gap, and sequence k holds the steps from k L up to
(k + 1) L. It begins and ends where it falls, in the middle of a trial if need be. Sequence k of a
seed is one fixed thing, however large the batch and however it is drawn.

    for batch in sequences(task, batch=16, steps=100):
        batch.x, batch.y, batch.mask  # (16, 100, 3), (16, 100), (16, 100)
"""

from __future__ import annotations

from collections.abc import Iterator

from neurotasks.arrays import Array
from neurotasks.task import Batch, TrialTask

__all__ = ["sample_sequences", "sequences"]

_AHEAD = 25_600  # steps that are drawn at a time: enough to hide the calls, and still in the cache


def sample_sequences(
    task: TrialTask, numbers: int | range, steps: int, seed: int = 0, stage: str = "train"
) -> Batch:
    """Return sequences by their numbers, as `task.sample` returns trials.

    Args:
        task: The task.
        numbers: How many, counted from sequence 0, or which: a range of consecutive numbers.
        steps: Length of a sequence, L.
        seed: The seed.
        stage: "train", "validation", "test", "shift" or "private".

    Returns:
        x (S, L, *observation), y (S, L, ...) and mask (S, L), new arrays, and no table of trials.
    """
    numbers = range(numbers) if isinstance(numbers, int) else numbers
    if numbers.step != 1 or numbers.start < 0 or steps < 1:
        raise ValueError(
            f"sequences must be consecutive numbers from 0 up and hold at least one step, not "
            f"{numbers!r} of {steps} steps"
        )
    # The stage knows the length of its trials: a shifted one may be shorter than the card's.
    length = int(task.sample(range(1), seed, stage).mask.shape[1])
    return _cut(task, numbers, steps, length, (seed, stage))


def sequences(
    task: TrialTask, batch: int, steps: int, seed: int = 0, stage: str = "train"
) -> Iterator[Batch]:
    """Yield the sequences of a seed in order, for ever, some at a time.

    Several batches are drawn at once, where they are small.

    Args:
        task: The task.
        batch: How many sequences at a time, B.
        steps: Length of a sequence, L.
        seed: The seed.
        stage: "train", "validation", "test", "shift" or "private".

    Yields:
        x (B, L, *observation), y (B, L, ...) and mask (B, L); no two batches share memory.
    """
    if batch < 1 or steps < 1:
        raise ValueError(f"cannot yield {batch} sequences of {steps} steps; both must be positive")
    length = int(task.sample(range(1), seed, stage).mask.shape[1])
    some = batch * max(1, _AHEAD // (batch * steps))
    first = 0
    while True:
        block = _cut(task, range(first, first + some), steps, length, (seed, stage))
        for start in range(0, some, batch):
            yield block[start : start + batch]
        first += some


def _cut(
    task: TrialTask, numbers: range, steps: int, length: int, stream: tuple[int, str]
) -> Batch:
    """Draw the trials that some sequences touch, and cut them."""
    start, stop = numbers.start * steps, numbers.stop * steps
    trials = range(start // length, max(start, stop + length - 1) // length)
    drawn = task.sample(trials, *stream)
    skip = start - trials.start * length

    def pieces(part: Array) -> Array:
        flat = part.reshape((len(trials) * length, *part.shape[2:]))
        return flat[skip : skip + stop - start].reshape((len(numbers), steps, *part.shape[2:]))

    return Batch(pieces(drawn.x), pieces(drawn.y), pieces(drawn.mask))
