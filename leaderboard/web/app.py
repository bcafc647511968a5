"""The application: addresses, and what stands around every answer."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, TypeAlias
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from leaderboard.kept import Kept
from leaderboard.model import Model
from leaderboard.render import asset
from leaderboard.store import Store, SubmissionRecord
from leaderboard.store.errors import Denied, UnknownSubmission
from leaderboard.web import export
from leaderboard.web.api import Api
from leaderboard.web.faults import Fault, fault_of
from leaderboard.web.observe import Observed, Seen
from leaderboard.web.routes import ROUTES, ApiRoute
from leaderboard.web.security import Guard, Rates, bearer
from leaderboard.web.upload import Intake
from leaderboard.web.views import Views, compact
from neurotasks.errors import NeurotasksError
from neurotasks.submission.manifest import NAME

__all__ = ["Site", "create_app"]

Content: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, str]], bytes]
"""Returns a page, given the parts of its path with the server's address, and its query."""

_HTML = "text/html; charset=utf-8"
_JSON = "application/json"
_CSV = "text/csv; charset=utf-8"
_PAGES = 300  # kept until the log grows: some 50 MB
_FIELD = 4096  # bytes of a field of the form


def create_app(
    store: Store, title: str = "neurotasks leaderboard", rates: Rates | None = None
) -> ASGIApp:
    """Return the application.

    Args:
        store: What it serves; it is not closed at the end.
        title: Of the server.
        rates: How often one caller may ask.
    """
    return Site(store, title, rates or Rates()).app()


class Site:
    """All that answers.

    Args:
        store: What is served.
        title: Of the server.
        rates: How often one caller may ask.
    """

    def __init__(self, store: Store, title: str, rates: Rates) -> None:
        self.store, self._title, self._rates = store, title, rates
        self._assets = {name: asset(name).encode() for name in ("style.css", "script.js")}
        files = {name: f"/{name}?v={_digest(text)[:12]}" for name, text in self._assets.items()}
        self._views = Views(Model(store), title, (files["style.css"], files["script.js"]))
        self._intake = Intake(store)
        self._api = Api(self._views.model, self._intake, rates, title)
        self._kept = Kept(_PAGES)
        self._seen = Seen()

    def app(self) -> ASGIApp:
        """Return the application with its layers."""
        inner = Starlette(
            routes=list(self._routes()),
            exception_handlers={
                Fault: self._fault,  # type: ignore[dict-item]
                NeurotasksError: self._refusal,  # type: ignore[dict-item]
                HTTPException: self._http,  # type: ignore[dict-item]
                Exception: self._broken,
            },
        )
        return Observed(Guard(inner, self._rates), self._seen)

    def _routes(self) -> Iterator[Route]:
        views = self._views
        task = "/boards/{board}/tasks/{label}"
        pages: dict[str, tuple[str, Content]] = {
            "/": (_HTML, lambda _p, _q: views.boards()),
            "/boards/{board}": (_HTML, lambda p, q: views.index(p["board"], q)),
            "/boards/{board}/agent": (
                _HTML, lambda p, q: views.agent(p["board"], q.get("name", ""))),
            "/boards/{board}/compare": (
                _HTML,
                lambda p, q: views.compare(p["board"], q.get("one", ""), q.get("two", ""))),
            "/boards/{board}/records.atom": (
                "application/atom+xml; charset=utf-8",
                lambda p, _q: views.feed(p["board"], p["base"])),
            "/boards/{board}/badge.svg": (
                "image/svg+xml",
                lambda p, q: views.badge(p["board"], q.get("agent", ""), q.get("task", ""))),
            f"{task}.csv": (
                _CSV, lambda p, q: views.task_data(p["board"], p["label"], "csv", q)),
            f"{task}.json": (
                _JSON, lambda p, q: views.task_data(p["board"], p["label"], "json", q)),
            task: (_HTML, lambda p, q: views.task(p["board"], p["label"], q)),
            "/submissions/{id:int}": (_HTML, lambda p, _q: views.run(p["id"])),
            "/submit": (_HTML, lambda _p, _q: views.show("submit.html.j2", fault=None)),
            "/api": (_HTML, lambda _p, _q: views.show("api.html.j2", routes=ROUTES)),
        }  # fmt: skip
        for place, (media, content) in pages.items():
            yield Route(place, self._page(media, _of_address(content)))
        for route in ROUTES:
            pattern = route.path.replace("{id}", "{id:int}")
            yield Route(pattern, self._answer(route), methods=[route.method], name=route.name)
        yield Route("/submit", self._form, methods=["POST"])
        yield Route("/boards/{board}/results.{kind}", self._everything)
        yield Route("/submissions/{id:int}/files/{name}", self._file)
        yield Route("/healthz", self._health)
        yield Route("/metrics", self._metrics)
        for name, media in (("style.css", "text/css"), ("script.js", "text/javascript")):
            yield Route(f"/{name}", self._asset(name, media))

    def _page(
        self, media: str, content: Callable[[Request], bytes]
    ) -> Callable[[Request], Response]:
        """Return what answers with a page, kept until the log grows."""

        def answer(request: Request) -> Response:
            key = (request.url.path, request.url.query, request.headers.get("host", ""))
            head = self._views.model.head()
            body, tag = self._kept.get(key, head, lambda: _tagged(content(request)))
            return _conditional(request, body, tag, media)

        return answer

    def _answer(
        self, route: ApiRoute
    ) -> Callable[[Request], Response] | Callable[[Request], Awaitable[Response]]:
        """Return what answers for a line of the table of routes."""
        handler = getattr(self._api, route.name)

        async def answer(request: Request) -> Response:
            told = await handler(request)
            headers = {"Location": told["url"]} if "url" in told else {}
            headers["Cache-Control"] = "no-store"
            return Response(compact(told), route.status, headers, _JSON)

        if route.method == "GET":
            return self._page(_JSON, lambda request: compact(handler(request)))
        return answer

    async def _form(self, request: Request) -> Response:
        """Take a submission from the form, and lead to its page."""
        request = self._intake.bounded(request)
        try:
            record = await self._from_form(request)
        except (NeurotasksError, Fault) as error:
            fault = error if isinstance(error, Fault) else fault_of(error)
            page = await run_in_threadpool(self._views.show, "submit.html.j2", fault=str(fault))
            return Response(page, fault.status, fault.headers, _HTML)
        return RedirectResponse(f"/submissions/{record.id}", HTTPStatus.SEE_OTHER)

    async def _from_form(self, request: Request) -> SubmissionRecord:
        async with request.form(max_files=1, max_fields=3, max_part_size=_FIELD) as form:
            token, file, board = form.get("token"), form.get("file"), form.get("board")
            if not isinstance(token, str) or file is None or isinstance(file, str):
                raise Fault(HTTPStatus.UNPROCESSABLE_ENTITY, "the form lacks a token or a file",
                            "", "fill in both")  # fmt: skip
            account = await self._api.account(request, token.strip())
            named = board.strip() if isinstance(board, str) else ""
            return await self._intake.from_file(file.file, account, named)

    def _everything(self, request: Request) -> Response:
        """Stream all tables of a board."""
        board = self.store.boards.get(_path(request, "board"))
        kinds = {"csv": (_CSV, export.csv_lines), "json": (_JSON, export.json_lines)}
        if _path(request, "kind") not in kinds:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        media, lines = kinds[_path(request, "kind")]
        name = f'attachment; filename="{board.name}.{_path(request, "kind")}"'
        return StreamingResponse(lines(self.store, board.name), 200, {"Content-Disposition": name},
                                 media)  # fmt: skip

    def _file(self, request: Request) -> Response:
        """Hand out what was handed in: the manifest to all, a model of an open board to its author.

        So nobody in a class hands in what a neighbour has trained.
        """
        record = self._views.model.submission(request.path_params["id"])
        name = _path(request, "name")
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
        if name == NAME:
            return Response(record.manifest.to_json(), 200, headers, _JSON)
        sha256 = self.store.submissions.files(record.id).get(name)
        if sha256 is None:
            raise UnknownSubmission(f"submission {record.id} has no file {name[:80]!r}; "
                                    "its page lists them")  # fmt: skip
        board = self.store.boards.get(record.board)
        if board.closes is not None and self.store.database.clock() < board.closes:
            account = self.store.accounts.authenticate(bearer(request.headers), "submit")
            if account.id != record.account:
                raise Denied(f"{name} is another account's until board {board.name!r} closes; "
                             "come back then")  # fmt: skip
        return FileResponse(self.store.artefacts.path(sha256), headers=headers,
                            media_type="application/octet-stream")  # fmt: skip

    def _health(self, _: Request) -> Response:
        """Answer once the database does."""
        head = self.store.events.head()
        body = compact(
            {"state": "ok", "events": head.length, "waiting": self.store.queue.waiting()}
        )
        return Response(body, 200, {"Cache-Control": "no-store"}, _JSON)

    def _metrics(self, _: Request) -> Response:
        text = self._seen.text(self.store)
        return Response(text, 200, {"Cache-Control": "no-store"}, "text/plain; version=0.0.4")

    def _asset(self, name: str, media: str) -> Callable[[Request], Response]:
        body, tag = _tagged(self._assets[name])

        def answer(request: Request) -> Response:
            forever = "public, max-age=31536000, immutable"
            return _conditional(request, body, tag, f"{media}; charset=utf-8", forever)

        return answer

    async def _fault(self, request: Request, fault: Fault) -> Response:
        wants = request.headers.get("accept", "")
        if request.url.path.startswith("/api/") or "text/html" not in wants:
            return Response(compact(fault.to_dict()), fault.status, fault.headers, _JSON)
        page = await run_in_threadpool(self._views.show, "error.html.j2", fault=fault)
        return Response(page, fault.status, fault.headers, _HTML)

    async def _refusal(self, request: Request, error: NeurotasksError) -> Response:
        return await self._fault(request, fault_of(error))

    async def _http(self, request: Request, error: HTTPException) -> Response:
        cure = {404: "begin at /", 405: "see /api for what it takes"}.get(
            error.status_code, "look at /api"
        )
        fault = Fault(error.status_code, str(error.detail).lower(), request.url.path, cure,
                      dict(error.headers or {}))  # fmt: skip
        return await self._fault(request, fault)

    async def _broken(self, request: Request, _: Exception) -> Response:
        """Answer where the server is at fault: the log has the trace, the caller has none."""
        fault = Fault(HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed", "",
                      "try again, or tell who runs it")  # fmt: skip
        return await self._fault(request, fault)


def _path(request: Request, name: str) -> str:
    return str(request.path_params[name])


def _of_address(content: Content) -> Callable[[Request], bytes]:
    """Return what renders a page of a request."""

    def rendered(request: Request) -> bytes:
        base = str(request.base_url).rstrip("/")
        return content({**request.path_params, "base": base}, dict(request.query_params))

    return rendered


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _tagged(body: bytes) -> tuple[bytes, str]:
    return body, f'"{_digest(body)[:32]}"'


def _conditional(
    request: Request, body: bytes, tag: str, media: str, cache: str = "no-cache"
) -> Response:
    """Return a page, or only that the caller's copy is still good."""
    headers: dict[str, Any] = {"ETag": tag, "Cache-Control": cache}
    known = request.headers.get("if-none-match", "")
    if tag in [part.strip().removeprefix("W/") for part in known.split(",")]:
        return Response(None, HTTPStatus.NOT_MODIFIED, headers)
    return Response(body, 200, headers, media)
