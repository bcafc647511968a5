"""The table of the API: what each address takes and gives. Routes and description come from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["ROUTES", "ApiRoute", "Parameter"]

Kind = Literal["string", "integer"]


@dataclass(frozen=True)
class Parameter:
    """A part of an address: in its path where braces name it, else in its query."""

    name: str
    words: str
    kind: Kind = "string"
    required: bool = False


@dataclass(frozen=True)
class ApiRoute:
    """One operation.

    Attributes:
        method: GET or POST.
        path: With names in braces.
        name: Name of the method of `Api` that answers.
        summary: What it does.
        gives: Schema of the answer: a name in `openapi.SCHEMAS`.
        status: Status of the answer.
        parameters: What the address may hold.
        takes: Media type and schema of the body; empty for none.
        scope: What the bearer token must allow; empty where none is asked for.
        faults: Further statuses that it may answer with.
    """

    method: Literal["GET", "POST"]
    path: str
    name: str
    summary: str
    gives: str
    status: int = 200
    parameters: tuple[Parameter, ...] = ()
    takes: tuple[str, str] | tuple[()] = ()
    scope: str = ""
    faults: tuple[int, ...] = field(default=())


_BOARD = Parameter("board", "Name of a board", required=True)
_ID = Parameter("id", "Number of a submission", "integer", required=True)
_LIMIT = Parameter("limit", "How many at most: 1 to 500, 100 if not told", "integer")
_BEFORE = Parameter("before", "Only those with a lower number: that of the last one of the page "
                    "before", "integer")  # fmt: skip

ROUTES: tuple[ApiRoute, ...] = (
    ApiRoute("GET", "/api/boards", "boards", "List the boards", "Boards"),
    ApiRoute("GET", "/api/boards/{board}", "board", "Tell of a board and its tasks", "Board",
             parameters=(_BOARD,), faults=(404,)),
    ApiRoute("GET", "/api/boards/{board}/suite", "suite", "List the suite table", "Suite",
             parameters=(_BOARD, Parameter("page", "From 1, 50 lines each", "integer")),
             faults=(404, 422)),
    ApiRoute("GET", "/api/boards/{board}/standings", "standings",
             "List a task's ranked, unranked and self-reported rows", "Standings",
             parameters=(_BOARD, Parameter("task", "Id or label of a task", required=True),
                         Parameter("card", "Hash of an earlier card"),
                         Parameter("agent", "What the agent's name begins with"),
                         Parameter("format", "onnx, weights or predictions"),
                         Parameter("verified", "yes or no"),
                         Parameter("after", "`after` of the page before")),
             faults=(404, 422)),
    ApiRoute("GET", "/api/boards/{board}/records", "records", "List new best scores", "Records",
             parameters=(_BOARD, Parameter("task", "Id or label of a task"), _LIMIT),
             faults=(404, 422)),
    ApiRoute("GET", "/api/tasks", "tasks", "List the cards of all tasks", "Tasks"),
    ApiRoute("GET", "/api/results", "results",
             "List submissions with what each seed earned, newest first", "Results",
             parameters=(_BOARD, Parameter("agent", "Name of an agent"), _BEFORE, _LIMIT),
             faults=(404, 422)),
    ApiRoute("GET", "/api/submissions", "submissions", "List submissions, newest first",
             "Submissions",
             parameters=(_BOARD, Parameter("agent", "Name of an agent"),
                         Parameter("state", "queued, running, verified, self-reported or failed"),
                         _BEFORE, _LIMIT), faults=(404, 422)),
    ApiRoute("POST", "/api/submissions", "submit",
             "Hand in a submission: the archive that `neurotasks submit` sends", "Received", 201,
             parameters=(Parameter("board", "Name of a board, for accounts of no board"),),
             takes=("application/zip", "Archive"), scope="submit",
             faults=(401, 403, 404, 408, 409, 413, 422, 429)),
    ApiRoute("POST", "/api/reports", "report",
             "Report numbers without a model: they stand apart and have no rank", "Received", 201,
             parameters=(Parameter("board", "Name of a board, for accounts of no board"),),
             takes=("application/json", "Manifest"), scope="submit",
             faults=(401, 403, 404, 408, 409, 413, 422, 429)),
    ApiRoute("GET", "/api/submissions/{id}", "submission", "Tell of a submission", "Submission",
             parameters=(_ID,), faults=(404, 422)),
    ApiRoute("POST", "/api/join", "join", "Make an account with a join token", "Joined", 201,
             takes=("application/json", "Joining"), faults=(401, 409, 413, 422, 429)),
    ApiRoute("GET", "/api/events", "events", "List the log, newest first", "Events",
             parameters=(Parameter("subject", "Such as `submission 17`"), _BEFORE, _LIMIT),
             faults=(422,)),
    ApiRoute("GET", "/api/openapi.json", "openapi", "Describe this API", "Description"),
)  # fmt: skip
