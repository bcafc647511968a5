"""One exception for each way in which things go wrong.

    NeurotasksError
    ├── CardError            a task declares something impossible
    │   └── DuplicateTask    two tasks claim one id
    ├── UnknownTask          no task has this id
    ├── UnknownStage         the task has no such stage or split
    ├── NoIdealObserver      nobody knows the best possible answer
    ├── InvalidSeed          a seed that the generator cannot take
    ├── InvalidAction        an answer of the wrong shape, type or value
    ├── NonCausalAgent       an agent that looks ahead in a trial
    ├── MissingExtra         an optional library is not installed
    ├── DataError
    │   ├── MissingData      a recorded data set is not in the cache
    │   └── CorruptData      a file is not the one that was published
    ├── CorruptResult        a result file that cannot be read
    ├── CorruptSubmission    a submission that no board can take
    ├── NoResults            a folder without a single result
    └── UnwritableFolder     a folder that cannot be written

Every message names the thing, the value and the cure.
"""

from __future__ import annotations

__all__ = [
    "CardError",
    "CorruptData",
    "CorruptResult",
    "CorruptSubmission",
    "DataError",
    "DuplicateTask",
    "InvalidAction",
    "InvalidSeed",
    "MissingData",
    "MissingExtra",
    "NeurotasksError",
    "NoIdealObserver",
    "NoResults",
    "NonCausalAgent",
    "UnknownStage",
    "UnknownTask",
    "UnwritableFolder",
]


class NeurotasksError(Exception):
    """The root: catch it to catch all of ours."""


class CardError(NeurotasksError, ValueError):
    """A task declares something impossible; raised when its file is imported."""


class DuplicateTask(CardError):
    """Two tasks claim one id."""


class UnknownTask(NeurotasksError, LookupError):
    """No task has this id."""


class UnknownStage(NeurotasksError, LookupError):
    """The task has no such stage or split."""


class NoIdealObserver(NeurotasksError, LookupError):
    """Nobody knows the best possible answer: the data are recorded, or the body is too complex."""


class InvalidSeed(NeurotasksError, ValueError):
    """A seed that the generator cannot take."""


class InvalidAction(NeurotasksError, ValueError):
    """An answer of the wrong shape, type or value."""


class NonCausalAgent(NeurotasksError, ValueError):
    """An agent whose answer at a step depends on later steps."""


class MissingExtra(NeurotasksError, ImportError):
    """An optional library is not installed."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(
            f"{library} is not installed; it comes with the extra {extra!r}: "
            f"pip install 'neurotasks[{extra}]'"
        )
        self.library, self.extra = library, extra

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str]]:
        """Pickle as its arguments: a worker process hands it to the one that asked."""
        return type(self), (self.library, self.extra)


class DataError(NeurotasksError):
    """Something is wrong with a recorded data set."""


class MissingData(DataError, FileNotFoundError):
    """A recorded data set is not in the cache."""


class CorruptData(DataError, ValueError):
    """A file is not the one that was published."""


class CorruptResult(NeurotasksError, ValueError):
    """A result file that cannot be read."""


class CorruptSubmission(NeurotasksError, ValueError):
    """A submission that no board can take."""


class NoResults(NeurotasksError, FileNotFoundError):
    """A folder without a single result."""


class UnwritableFolder(NeurotasksError, OSError):
    """A folder that cannot be written."""
