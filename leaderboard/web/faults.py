"""What a server answers when it cannot do what was asked: a sentence, never a trace."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from leaderboard.store.errors import (
    BoardClosed,
    Denied,
    DuplicateSubmission,
    InvalidEntry,
    InvalidToken,
    MissingScope,
    NameTaken,
    QuotaExceeded,
    Refused,
    StoreError,
    UnknownBoard,
    UnknownSubmission,
)
from neurotasks.errors import CorruptSubmission, NeurotasksError, UnknownTask

__all__ = ["Fault", "fault_of"]

_STATUS: tuple[tuple[type[NeurotasksError], HTTPStatus], ...] = (
    (UnknownBoard, HTTPStatus.NOT_FOUND),
    (UnknownSubmission, HTTPStatus.NOT_FOUND),
    (UnknownTask, HTTPStatus.NOT_FOUND),
    (InvalidToken, HTTPStatus.UNAUTHORIZED),
    (MissingScope, HTTPStatus.FORBIDDEN),
    (Denied, HTTPStatus.FORBIDDEN),
    (BoardClosed, HTTPStatus.FORBIDDEN),
    (QuotaExceeded, HTTPStatus.TOO_MANY_REQUESTS),
    (DuplicateSubmission, HTTPStatus.CONFLICT),
    (NameTaken, HTTPStatus.CONFLICT),
    (Refused, HTTPStatus.UNPROCESSABLE_ENTITY),
    (InvalidEntry, HTTPStatus.UNPROCESSABLE_ENTITY),
    (CorruptSubmission, HTTPStatus.UNPROCESSABLE_ENTITY),
)
_CURES: dict[type[NeurotasksError], str] = {
    UnknownBoard: "choose one from the list of boards",  # a reader can open none
}
_LONGEST = 80  # characters of a value that is told back


class Fault(Exception):
    """A request that cannot be answered.

    Args:
        status: The status of the answer.
        thing: What is wrong.
        value: What it is.
        cure: What to do.
        headers: Further headers of the answer.
    """

    def __init__(
        self, status: int, thing: str, value: str, cure: str, headers: dict[str, str] | None = None
    ) -> None:
        self.status, self.thing, self.cure = status, thing, cure
        self.value = value if len(value) <= _LONGEST else f"{value[: _LONGEST - 1]}\u2026"
        self.headers = headers or {}
        super().__init__(f"{thing}: {self.value}; {cure}" if value else f"{thing}; {cure}")

    def to_dict(self) -> dict[str, Any]:
        """Return the answer's content; `error` is all of it in one sentence."""
        return {
            "error": str(self), "status": self.status, "thing": self.thing, "value": self.value,
            "cure": self.cure,
        }  # fmt: skip


def fault_of(error: NeurotasksError) -> Fault:
    """Return what to answer where the store or the suite refuses.

    Their messages end with the cure, after the last semicolon or colon.
    """
    known = (status for kind, status in _STATUS if isinstance(error, kind))
    status = next(known, HTTPStatus.INTERNAL_SERVER_ERROR)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, StoreError):
        status = HTTPStatus.UNPROCESSABLE_ENTITY
    message = " ".join(str(error).split())
    what, _, cure = message.rpartition("; ")
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}
    found = Fault(status, _thing(error), "", _CURES.get(type(error), cure) or message, headers)
    found.value, found.args = what or message, (message,)
    return found


def _thing(error: NeurotasksError) -> str:
    """Return the name of an exception in words: "UnknownBoard" is "unknown board"."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__).lower()
