"""What a store refuses, one exception for each way.

    StoreError
    ├── UnknownBoard          there is no such board
    ├── UnknownSubmission     there is no such submission
    ├── InvalidEntry          a name, a date or a number that no row can hold
    ├── NameTaken             another board or account has this name
    ├── Denied
    │   ├── InvalidToken      unknown, forged, expired, revoked or used up
    │   └── MissingScope      a good token that does not allow this
    ├── Refused               a submission that the board does not take
    │   ├── BoardClosed       before it opens or after it closes
    │   ├── WrongTask         a task or a card that is not the board's
    │   ├── QuotaExceeded     too many of this account on this task
    │   └── DuplicateSubmission   the same content was handed in before
    ├── StaleLease            a job that was given to another worker since
    ├── CorruptArtefact       a kept file that is missing or changed
    ├── NotEmpty              a restore into a store that holds something
    └── CorruptBackup         a backup that cannot be restored

Every message names the thing, the value and the cure.
"""

from __future__ import annotations

from neurotasks.errors import NeurotasksError

__all__ = [
    "BoardClosed",
    "CorruptArtefact",
    "CorruptBackup",
    "Denied",
    "DuplicateSubmission",
    "InvalidEntry",
    "InvalidToken",
    "MissingScope",
    "NameTaken",
    "NotEmpty",
    "QuotaExceeded",
    "Refused",
    "StaleLease",
    "StoreError",
    "UnknownBoard",
    "UnknownSubmission",
    "WrongTask",
]


class StoreError(NeurotasksError):
    """The root of what a store refuses."""


class UnknownBoard(StoreError, LookupError):
    """There is no such board."""


class UnknownSubmission(StoreError, LookupError):
    """There is no such submission."""


class InvalidEntry(StoreError, ValueError):
    """A name, a date or a number that no row can hold."""


class NameTaken(StoreError, ValueError):
    """Another board or account has this name."""


class Denied(StoreError, PermissionError):
    """Who asks may not do this."""


class InvalidToken(Denied):
    """A token that is unknown, forged, expired, revoked or used up."""


class MissingScope(Denied):
    """A good token that does not allow this."""


class Refused(StoreError, ValueError):
    """A submission that the board does not take."""


class BoardClosed(Refused):
    """A submission before the board opens or after it closes."""


class WrongTask(Refused):
    """A task that is not the board's, or a card that is not the present one."""


class QuotaExceeded(Refused):
    """Too many submissions of this account to this task."""


class DuplicateSubmission(Refused):
    """The same content was handed in before.

    Attributes:
        first: Id of the submission that came first.
    """

    def __init__(self, message: str, first: int) -> None:
        super().__init__(message)
        self.first = first


class StaleLease(StoreError):
    """A job that was given to another worker since, or has ended."""


class CorruptArtefact(StoreError, ValueError):
    """A kept file that is missing or changed."""


class NotEmpty(StoreError, FileExistsError):
    """A restore into a store that holds something."""


class CorruptBackup(StoreError, ValueError):
    """A backup that cannot be restored."""
