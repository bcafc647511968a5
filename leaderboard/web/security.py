"""What keeps a server safe: headers, and limits on how much and how often."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeAlias

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leaderboard.web.faults import Fault

__all__ = ["HEADERS", "Buckets", "Guard", "Rates", "bearer"]

Clock: TypeAlias = Callable[[], float]

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""Of every answer. Nothing may come from elsewhere, run inline, or be framed."""

_KEPT = 20_000  # buckets: more callers than a board has
_SMALL = 64 << 10  # bytes of a body that is no submission


@dataclass(frozen=True)
class Rates:
    """How often one caller may ask.

    Attributes:
        reads: Requests a second from an address.
        burst: How many at once.
        uploads: Submissions a minute of a token.
        upload_burst: How many at once.
        joins: Attempts a minute at tokens: those that failed, and joining.
    """

    reads: float = 50.0
    burst: int = 400
    uploads: float = 30.0
    upload_burst: int = 30
    joins: float = 20.0


class Buckets:
    """Token buckets by key, in memory: each fills at a rate and every request takes one.

    Args:
        rate: Tokens a second.
        size: How many a bucket holds.
        clock: Returns seconds that never go back.
    """

    def __init__(self, rate: float, size: int, clock: Clock = time.monotonic) -> None:
        self._rate, self._size, self._clock = rate, float(size), clock
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, key: str, cost: float = 1.0) -> float:
        """Take from a bucket; return 0, or after how many seconds it would hold enough."""
        now = self._clock()
        held, last = self._held.pop(key, (self._size, now))
        held = min(self._size, held + (now - last) * self._rate)
        missing = cost - held
        self._held[key] = (held if missing > 0 else held - cost, now)
        if len(self._held) > _KEPT:
            self._held.popitem(last=False)  # the one that was idle longest: it is full by now
        return max(0.0, missing / self._rate)


class Guard:
    """The outermost layer: headers, limits, and an answer even where something breaks.

    Args:
        app: What answers.
        rates: How often one caller may ask.
        clock: Returns seconds that never go back.
        patience: Seconds that a small body may take.
    """

    def __init__(
        self, app: ASGIApp, rates: Rates, clock: Clock = time.monotonic, patience: float = 10.0
    ) -> None:
        self._app, self._patience = app, patience
        self._reads = Buckets(rates.reads, rates.burst, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        wait = self._reads.wait(client(scope))
        if wait:
            await _refuse(_too_often(wait), scope, receive, with_headers)
            return
        if scope["method"] not in ("GET", "HEAD") and not _is_upload(scope):
            try:
                receive = await self._small(scope, receive)
            except Fault as fault:
                await _refuse(fault, scope, receive, with_headers)
                return
        await self._app(scope, receive, with_headers)

    async def _small(self, scope: Scope, receive: Receive) -> Receive:
        """Read a small body whole, within bounds of size and time."""
        length = Headers(scope=scope).get("content-length", "0")
        cure, close = f"send at most {_SMALL:,} bytes", {"Connection": "close"}
        status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        too_large = Fault(status, "the body is too large", length, cure, close)
        if not length.isdecimal() or int(length) > _SMALL:
            raise too_large
        body, more = bytearray(), True
        try:
            async with asyncio.timeout(self._patience):
                while more:
                    message = await receive()
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > _SMALL:
                        raise too_large
        except TimeoutError:
            raise Fault(
                HTTPStatus.REQUEST_TIMEOUT, "the body came too slowly", f"{len(body)} bytes",
                f"send it within {self._patience:g} seconds", {"Connection": "close"},
            ) from None  # fmt: skip
        whole: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        return replay


def client(scope: Scope) -> str:
    """Return who asks: the address of the connection."""
    return scope["client"][0] if scope.get("client") else "local"


def bearer(headers: Headers) -> str:
    """Return the bearer token of a request.

    Raises:
        Fault: There is none.
    """
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise Fault(
            HTTPStatus.UNAUTHORIZED, "the request shows no token", "",
            "send the header `Authorization: Bearer TOKEN`", {"WWW-Authenticate": "Bearer"},
        )  # fmt: skip
    return token.strip()


def limit(buckets: Buckets, key: str, cost: float = 1.0) -> None:
    """Take from a bucket.

    Raises:
        Fault: It holds too little; the answer says when to come again.
    """
    wait = buckets.wait(key, cost)
    if wait:
        raise _too_often(wait)


def _too_often(wait: float) -> Fault:
    seconds = max(1, round(wait + 0.5))
    return Fault(HTTPStatus.TOO_MANY_REQUESTS, "too many requests", "",
                 f"wait {seconds} s", {"Retry-After": str(seconds)})  # fmt: skip


def _is_upload(scope: Scope) -> bool:
    """Return whether the body is a submission, which is read by its own bounds."""
    return (scope["method"], scope["path"]) in {("POST", "/api/submissions"), ("POST", "/submit")}


async def _refuse(fault: Fault, scope: Scope, receive: Receive, send: Any) -> None:
    answer = JSONResponse(fault.to_dict(), fault.status, headers=fault.headers)
    await answer(scope, receive, send)
