"""Handing in: a body is read within bounds of size and time, unpacked, checked and queued."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import IO

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive

from leaderboard.intake import take
from leaderboard.store import Account, Store, SubmissionRecord
from leaderboard.web.faults import Fault
from neurotasks.submission.problem import LARGEST_SUBMISSION

__all__ = ["LARGEST_BODY", "Intake", "bounded"]

LARGEST_BODY = LARGEST_SUBMISSION + (1 << 20)
"""Bytes of an archive: the files and what the archive adds."""

_SILENCE = 15.0  # seconds without a byte
_GRACE = 10.0  # seconds before the rate counts
_SLOWEST = 16 << 10  # bytes a second
_READERS = 16  # bodies that are read at once
_INSPECTORS = 2  # submissions that are inspected at once: each may take memory


class Intake:
    """Takes submissions in.

    Args:
        store: Where they are queued.
        silence: Seconds that a body may be silent.
        slowest: Bytes a second that it must bring after a grace.
    """

    def __init__(self, store: Store, silence: float = _SILENCE, slowest: float = _SLOWEST) -> None:
        self._store, self._silence, self._slowest = store, silence, slowest
        self._readers = asyncio.Semaphore(_READERS)
        self._inspectors = asyncio.Semaphore(_INSPECTORS)

    def bounded(self, request: Request) -> Request:
        """Return a request whose body ends with a fault where it is too long or too slow.

        Raises:
            Fault: It says before that it is too long.
        """
        return bounded(request, self._silence, self._slowest)

    async def from_body(self, request: Request, account: Account, board: str) -> SubmissionRecord:
        """Take in the archive that a body is.

        Raises:
            Fault: It is too long or too slow.
            CorruptSubmission: Something is wrong with the submission.
            StoreError: The board does not take it.
        """
        async with self._readers:
            with tempfile.NamedTemporaryFile(prefix="body-", suffix=".zip") as file:
                async for part in _parts(self.bounded(request)):
                    file.write(part)  # a part is small: the system's cache takes it at once
                file.flush()
                return await self._queue(Path(file.name), account, board)

    async def from_file(self, source: IO[bytes], account: Account, board: str) -> SubmissionRecord:
        """Take in the archive that a form held.

        Raises:
            CorruptSubmission: Something is wrong with the submission.
            StoreError: The board does not take it.
        """
        with tempfile.NamedTemporaryFile(prefix="form-", suffix=".zip") as file:
            await run_in_threadpool(shutil.copyfileobj, source, file)
            file.flush()
            return await self._queue(Path(file.name), account, board)

    async def _queue(self, archive: Path, account: Account, board: str) -> SubmissionRecord:
        async with self._inspectors:
            return await run_in_threadpool(take, self._store, archive, account, board)


async def _parts(request: Request) -> AsyncIterator[bytes]:
    try:
        async for part in request.stream():
            if part:
                yield part
    except ClientDisconnect:
        raise Fault(
            HTTPStatus.BAD_REQUEST, "the body ended early", "", "hand it in again"
        ) from None


def bounded(request: Request, silence: float, slowest: float) -> Request:
    """Return a request whose body ends with a fault where it is too long or too slow.

    Args:
        request: As it came.
        silence: Seconds without a byte.
        slowest: Bytes a second, after a grace.

    Raises:
        Fault: It says before that it is too long.
    """
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > LARGEST_BODY:
        raise _too_large(length)
    return Request(request.scope, _Bounded(request.receive, silence, slowest))


class _Bounded:
    """Receives a body and counts."""

    def __init__(self, receive: Receive, silence: float, slowest: float) -> None:
        self._receive, self._silence, self._slowest = receive, silence, slowest
        self._began, self._bytes = time.monotonic(), 0

    async def __call__(self) -> Message:
        try:
            async with asyncio.timeout(self._silence):
                message = await self._receive()
        except TimeoutError:
            raise _too_slow(self._bytes) from None
        self._bytes += len(message.get("body", b""))
        if self._bytes > LARGEST_BODY:
            raise _too_large(str(self._bytes))
        counted = time.monotonic() - self._began - _GRACE
        if message.get("more_body", False) and counted * self._slowest > self._bytes:
            raise _too_slow(self._bytes)
        return message


def _too_large(length: str) -> Fault:
    return Fault(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too large", f"{length} bytes",
        f"a submission has at most {LARGEST_SUBMISSION:,} bytes", {"Connection": "close"},
    )  # fmt: skip


def _too_slow(count: int) -> Fault:
    return Fault(
        HTTPStatus.REQUEST_TIMEOUT, "the body comes too slowly", f"{count:,} bytes so far",
        f"send at least {_SLOWEST:,} bytes a second", {"Connection": "close"},
    )  # fmt: skip
