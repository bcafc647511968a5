"""The description of the API (OpenAPI 3.1), written from the table of routes."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from leaderboard.web.routes import ROUTES, ApiRoute, Parameter

__all__ = ["SCHEMAS", "describe"]

_TEXT: dict[str, Any] = {"type": "string"}
_NUMBER: dict[str, Any] = {"type": "number"}
_COUNT: dict[str, Any] = {"type": "integer"}
_MAYBE: dict[str, Any] = {"type": ["number", "null"]}
_MAYBE_COUNT: dict[str, Any] = {"type": ["integer", "null"]}
_MAYBE_TEXT: dict[str, Any] = {"type": ["string", "null"]}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(items: str | dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": _ref(items) if isinstance(items, str) else items}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


_BOARD = _object(
    name=_TEXT, title=_TEXT, tasks=_TEXT, opens=_MAYBE, closes=_MAYBE, valid_quota=_COUNT,
    total_quota=_COUNT, minimum_seeds=_COUNT, created=_NUMBER,
)  # fmt: skip
_SUBMISSION = _object(
    id=_COUNT, url=_TEXT, board=_TEXT, author=_TEXT, task=_TEXT, card=_TEXT, agent=_TEXT,
    format=_TEXT, state=_TEXT, reason=_TEXT, stage=_MAYBE_TEXT, score=_MAYBE,
    summary={"type": "object"}, created=_NUMBER, finished=_MAYBE, attempts=_COUNT,
)  # fmt: skip
_STANDING = _object(
    list=_TEXT, task=_TEXT, card=_TEXT, rank=_MAYBE_COUNT, best_rank=_MAYBE_COUNT,
    worst_rank=_MAYBE_COUNT, tie_group=_MAYBE_COUNT, agent=_TEXT, author=_TEXT,
    submission=_MAYBE_COUNT, stage=_TEXT, score=_NUMBER, score_low=_NUMBER, score_high=_NUMBER,
    raw=_NUMBER, test_score=_MAYBE, shift_score=_MAYBE, private_score=_MAYBE, seeds=_COUNT,
    parameters=_COUNT, samples=_COUNT, flops=_COUNT, cpu_seconds=_NUMBER, energy_kwh=_NUMBER,
)  # fmt: skip
_LINE = _object(
    rank=_MAYBE_COUNT, best_rank=_MAYBE_COUNT, worst_rank=_MAYBE_COUNT, tie_group=_MAYBE_COUNT,
    agent=_TEXT, author=_TEXT, tasks=_COUNT, score=_NUMBER, score_low=_NUMBER, score_high=_NUMBER,
)  # fmt: skip
_BEST = _object(
    id=_COUNT, task=_TEXT, card=_TEXT, agent=_TEXT, author=_TEXT, submission=_COUNT,
    score=_NUMBER, previous=_MAYBE, created=_NUMBER,
)  # fmt: skip
_EVENT = _object(
    id=_COUNT, at=_NUMBER, actor=_TEXT, action=_TEXT, subject=_TEXT, detail={"type": "object"},
    previous=_TEXT, hash=_TEXT,
)  # fmt: skip
_STAGE = _object(raw=_list(_NUMBER), score=_list(_NUMBER), error=_list(_NUMBER))

SCHEMAS: dict[str, dict[str, Any]] = {
    "Fault": _object(error=_TEXT, status=_COUNT, thing=_TEXT, value=_TEXT, cure=_TEXT),
    "BoardFacts": _BOARD,
    "Boards": _object(boards=_list("BoardFacts")),
    "Board": {"allOf": [_ref("BoardFacts"), _object(task_ids=_list(_TEXT))]},
    "Line": _LINE,
    "Suite": _object(lines=_list("Line"), more={"type": "boolean"}),
    "Standing": _STANDING,
    "Standings": _object(rows=_list("Standing"), after=_MAYBE_TEXT),
    "Best": _BEST,
    "Records": _object(records=_list("Best")),
    "Tasks": _object(tasks=_list({"type": "object"})),
    "Submission": _SUBMISSION,
    "Submissions": _object(submissions=_list("Submission")),
    "Stage": _STAGE,
    "Result": {
        "allOf": [
            _ref("Submission"),
            _object(
                seeds=_list(_COUNT),
                stages={"type": "object", "additionalProperties": _ref("Stage")},
            ),
        ]
    },
    "Results": _object(results=_list("Result")),
    "Received": _object(id=_COUNT, url=_TEXT, state=_TEXT),
    "Joining": _object(token=_TEXT, name=_TEXT),
    "Joined": _object(account=_COUNT, name=_TEXT, board=_TEXT, token=_TEXT),
    "Event": _EVENT,
    "Events": _object(events=_list("Event")),
    "Manifest": {"type": "object", "description": "As `neurotasks pack` writes it."},
    "Archive": {"type": "string", "format": "binary"},
    "Description": {"type": "object"},
}


def describe(title: str) -> dict[str, Any]:
    """Return the description as plain JSON types."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1", "description": (
            "Times are UNIX seconds (UTC). Scores are 0 at chance and 1 at the ceiling."
        )},
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }  # fmt: skip


def _operation(route: ApiRoute) -> dict[str, Any]:
    answers = {str(route.status): _answer(HTTPStatus(route.status).phrase, route.gives)}
    for status in sorted({*route.faults, 429}):
        answers[str(status)] = _answer(HTTPStatus(status).phrase, "Fault")
    told: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [_parameter(route, parameter) for parameter in route.parameters],
        "responses": answers,
    }
    if route.takes:
        media, schema = route.takes
        told["requestBody"] = {"required": True, "content": {media: {"schema": _ref(schema)}}}
    if route.scope:
        told["security"] = [{"token": []}]
        told["description"] = (
            f"The token must allow `{route.scope}`; one that allows `admin` may hand in too, "
            "as the account that it belongs to."
        )
    return told


def _parameter(route: ApiRoute, parameter: Parameter) -> dict[str, Any]:
    place = "path" if f"{{{parameter.name}}}" in route.path else "query"
    return {
        "name": parameter.name, "in": place, "required": parameter.required,
        "description": parameter.words, "schema": {"type": parameter.kind},
    }  # fmt: skip


def _answer(words: str, schema: str) -> dict[str, Any]:
    return {"description": words, "content": {"application/json": {"schema": _ref(schema)}}}
