"""What the API answers: each method of `Api` is one line of the table of routes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeAlias

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from leaderboard.downloads import standings, suite_line
from leaderboard.intake import board_of
from leaderboard.model import Model
from leaderboard.queries import Filters
from leaderboard.store import STATES, Account, BoardRecord, Cursor, Store, SubmissionRecord
from leaderboard.store.errors import InvalidEntry, InvalidToken
from leaderboard.web.faults import Fault
from leaderboard.web.openapi import describe
from leaderboard.web.security import Buckets, Rates, bearer, client, limit
from leaderboard.web.upload import Intake
from neurotasks.card import NAMESPACE
from neurotasks.registry import cards
from neurotasks.submission.manifest import Manifest

__all__ = ["Api"]

Answer: TypeAlias = Mapping[str, Any]
Handler: TypeAlias = Callable[[Request], Answer] | Callable[[Request], Awaitable[Answer]]

_LIMIT, _LARGEST = 100, 500


class Api:
    """Answers requests with plain values; those that write are coroutines.

    Args:
        model: What is read.
        intake: Takes submissions in.
        rates: How often one caller may write.
        title: Of the server.
    """

    def __init__(self, model: Model, intake: Intake, rates: Rates, title: str) -> None:
        self._model, self._intake, self._title = model, intake, title
        self._uploads = Buckets(rates.uploads / 60.0, rates.upload_burst)
        self._tries = Buckets(rates.joins / 60.0, int(rates.joins))

    @property
    def _store(self) -> Store:
        return self._model.store

    def boards(self, _: Request) -> Answer:
        """List the boards."""
        return {"boards": [vars(board) for board in self._store.boards.all()]}

    def board(self, request: Request) -> Answer:
        """Tell of a board."""
        board = self._board(request)
        ids = [card.id for card in self._model.cards(board)]
        return {**vars(board), "task_ids": ids}

    def suite(self, request: Request) -> Answer:
        """List the suite table."""
        board = self._board(request)
        page = _whole(request, "page", 1, 1 << 20)
        lines, more = self._model.suite(board.name, page, "")
        return {"lines": [suite_line(line) for line in lines], "more": more}

    def standings(self, request: Request) -> Answer:
        """List a task's rows."""
        board, asked = self._board(request), request.query_params
        label = asked.get("task", "").removeprefix(f"{NAMESPACE}/")
        card = self._model.card(board, label, asked.get("card", ""))
        filters = Filters(*(asked.get(key, "") for key in ("agent", "format", "verified")))
        after = Cursor.parse(asked["after"]) if asked.get("after") else None
        version = asked.get("card") or self._model.hash_of(card)
        stamps = self._model.stamps(board.name)
        table, following = self._model.table(board.name, card, version, filters, after, stamps)
        return {"rows": standings(table), "after": following or None}

    def records(self, request: Request) -> Answer:
        """List new best scores."""
        board, task = self._board(request), request.query_params.get("task")
        full = f"{NAMESPACE}/{task.removeprefix(f'{NAMESPACE}/')}" if task else None
        count = _whole(request, "limit", _LIMIT, _LARGEST)
        found = self._store.standings.records(board.name, task=full, limit=count)
        return {"records": [vars(record) for record in found]}

    def tasks(self, _: Request) -> Answer:
        """List the cards of all tasks."""
        return {"tasks": [{**card.to_dict(), "card": card.hash} for card in cards()]}

    def submissions(self, request: Request) -> Answer:
        """List submissions."""
        return {"submissions": [_submission(one) for one in self._listed(request)]}

    def results(self, request: Request) -> Answer:
        """List submissions with what each seed earned."""
        found = self._listed(request)
        runs = self._model.runs_of([one.id for one in found])
        told = []
        for one in found:
            seeds, stages = runs.get(one.id, (one.manifest.seeds, {}))
            measured = {name: {"raw": s.raw, "score": s.score, "error": s.error}
                        for name, s in stages.items()}  # fmt: skip
            told.append({**_submission(one), "seeds": seeds, "stages": measured})
        return {"results": told}

    def submission(self, request: Request) -> Answer:
        """Tell of a submission."""
        return _submission(self._model.submission(request.path_params["id"]))

    def events(self, request: Request) -> Answer:
        """List the log."""
        found = self._store.events.read(
            request.query_params.get("subject") or None,
            before=_maybe(request, "before"), limit=_whole(request, "limit", _LIMIT, _LARGEST),
        )  # fmt: skip
        return {"events": [{**vars(event), "detail": json.loads(event.detail)} for event in found]}

    def openapi(self, _: Request) -> Answer:
        """Describe the API."""
        return describe(self._title)

    async def submit(self, request: Request) -> Answer:
        """Take a submission in."""
        account = await self.account(request, bearer(request.headers))
        board = request.query_params.get("board", "")
        return _received(await self._intake.from_body(request, account, board))

    async def report(self, request: Request) -> Answer:
        """Take numbers in."""
        account = await self.account(request, bearer(request.headers))
        text = (await request.body()).decode("utf-8", errors="replace")
        manifest = await run_in_threadpool(Manifest.from_json, text)
        board = board_of(self._store, account, request.query_params.get("board", ""), manifest.task)
        return _received(
            await run_in_threadpool(self._store.submissions.report, board, account, manifest)
        )

    async def join(self, request: Request) -> Answer:
        """Make an account."""
        limit(self._tries, client(request.scope))
        told = _object(await request.body())
        token, name = told.get("token"), told.get("name")
        if not isinstance(token, str) or not isinstance(name, str):
            raise Fault(HTTPStatus.UNPROCESSABLE_ENTITY, "the body names no token or no name", "",
                        'send {"token": "...", "name": "..."}')  # fmt: skip
        account, made = await run_in_threadpool(self._store.accounts.join, token, name)
        return {"account": account.id, "name": account.name, "board": account.board, "token": made}

    async def account(self, request: Request, token: str) -> Account:
        """Return who hands in.

        Raises:
            Fault: This token, or this address after failures, asked too often.
            Denied: The token does not allow it.
        """
        address = client(request.scope)
        limit(self._tries, f"failed {address}", 0.0)
        try:
            account = await run_in_threadpool(self._store.accounts.authenticate, token, "submit")
        except InvalidToken:
            limit(self._tries, f"failed {address}")
            raise
        limit(self._uploads, f"account {account.id}")
        return account

    def _board(self, request: Request) -> BoardRecord:
        name = request.path_params.get("board") or request.query_params.get("board", "")
        return self._store.boards.get(name)

    def _listed(self, request: Request) -> list[SubmissionRecord]:
        state = request.query_params.get("state") or None
        if state is not None and state not in STATES:
            raise InvalidEntry(f"{state[:40]!r} is no state; choose of {', '.join(STATES)}")
        return list(
            self._store.submissions.page(
                self._board(request).name, agent=request.query_params.get("agent") or None,
                state=state, before=_maybe(request, "before"),
                limit=_whole(request, "limit", _LIMIT, _LARGEST),
            )
        )  # fmt: skip


def _submission(one: SubmissionRecord) -> dict[str, Any]:
    summary = {stage: {name: vars(value) for name, value in both.items()}
               for stage, both in one.summary.items()}  # fmt: skip
    return {
        "id": one.id, "url": f"/submissions/{one.id}", "board": one.board, "author": one.author,
        "task": one.task, "card": one.card, "agent": one.agent, "format": one.format,
        "state": one.state, "reason": one.reason, "stage": one.stage, "score": one.score,
        "summary": summary, "created": one.created, "finished": one.finished,
        "attempts": one.attempts,
    }  # fmt: skip


def _received(one: SubmissionRecord) -> dict[str, Any]:
    return {"id": one.id, "url": f"/submissions/{one.id}", "state": one.state}


def _object(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise Fault(HTTPStatus.UNPROCESSABLE_ENTITY, "the body is no JSON object", "",
                    "send one with Content-Type: application/json")  # fmt: skip
    return told


def _maybe(request: Request, name: str) -> int | None:
    return _whole(request, name, 1, (1 << 31) - 1) if request.query_params.get(name) else None


def _whole(request: Request, name: str, default: int, largest: int) -> int:
    """Return a whole number of the query.

    Raises:
        InvalidEntry: It is none, or out of its range.
    """
    text = request.query_params.get(name) or str(default)
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:12]) <= largest):
        raise InvalidEntry(f"{name} is {text[:40]!r}; write a whole number from 1 to {largest}")
    return int(text)
