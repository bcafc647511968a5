"""What an operator sees of a server: a log line for each answer, and counts for Prometheus."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leaderboard.store import Store

__all__ = ["Observed", "Seen"]

_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)  # seconds
_log = logging.getLogger("leaderboard.web")


class Seen:
    """How many requests were answered, how, and how long that took."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: Counter[tuple[str, int]] = Counter()
        self._within: Counter[float] = Counter()
        self._seconds = 0.0
        self._began = time.time()

    def note(self, method: str, status: int, seconds: float) -> None:
        """Count an answer."""
        known = method if method in ("GET", "HEAD", "POST") else "other"
        with self._lock:
            self._answers[known, status] += 1
            self._seconds += seconds
            for bound in _BOUNDS:
                self._within[bound] += seconds <= bound

    def text(self, store: Store) -> str:
        """Return all counts in Prometheus' text format."""
        with self._lock:
            answers, within, seconds = dict(self._answers), dict(self._within), self._seconds
        total = sum(answers.values())
        lines = ["# HELP leaderboard_requests_total Answered requests.",
                 "# TYPE leaderboard_requests_total counter"]  # fmt: skip
        lines += [
            f'leaderboard_requests_total{{method="{method}",status="{status}"}} {count}'
            for (method, status), count in sorted(answers.items())
        ]
        lines += ["# HELP leaderboard_request_seconds Time to answer.",
                  "# TYPE leaderboard_request_seconds histogram"]  # fmt: skip
        lines += [
            f'leaderboard_request_seconds_bucket{{le="{bound:g}"}} {within.get(bound, 0)}'
            for bound in _BOUNDS
        ]
        lines += [f'leaderboard_request_seconds_bucket{{le="+Inf"}} {total}',
                  f"leaderboard_request_seconds_sum {seconds:.6f}",
                  f"leaderboard_request_seconds_count {total}"]  # fmt: skip
        for name, words, value in (
            ("queue_waiting", "Submissions that wait for a worker.", store.queue.waiting()),
            ("queue_running", "Submissions that a worker has.", store.queue.running()),
            ("log_events", "Events in the log.", store.events.head().length),
            ("start_time_seconds", "When the server began.", round(self._began, 3)),
        ):
            full = f"leaderboard_{name}"
            lines += [f"# HELP {full} {words}", f"# TYPE {full} gauge", f"{full} {value}"]
        return "\n".join(lines) + "\n"


class Observed:
    """Counts and logs every answer; tokens and bodies are never logged.

    Args:
        app: What answers.
        seen: Where to count.
    """

    def __init__(self, app: ASGIApp, seen: Seen) -> None:
        self._app, self._seen = app, seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            seconds = time.perf_counter() - began
            self._seen.note(scope["method"], status, seconds)
            client = scope["client"][0] if scope.get("client") else ""
            told = {"method": scope["method"], "path": scope["path"], "status": status,
                    "milliseconds": round(1000 * seconds, 2), "client": client}  # fmt: skip
            _log.info("answered", extra={"told": told})
