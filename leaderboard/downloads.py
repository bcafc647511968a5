"""Numbers for other programs: results and standings as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from leaderboard.collect import Board, Row, Table
from leaderboard.summary import Overall
from neurotasks.results import Result
from neurotasks.scores import Interval

__all__ = [
    "as_csv",
    "as_json",
    "cell",
    "results_csv",
    "results_json",
    "standing",
    "standings",
    "suite_line",
]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS = (
    "task", "card", "current", "agent", "stage", "seed", "raw", "score", "parameters", "samples",
    "flops", "seconds", "cpu_seconds", "energy_kwh", "energy_method", "hardware", "commit",
)  # fmt: skip


def results_csv(board: Board) -> str:
    """Return every result as lines of text, one for each stage and seed."""
    hashes = {table.card.id: table.card.hash for table in board.tables}
    lines = (
        (
            r.task, r.card, hashes.get(r.task) == r.card, r.agent, name, seed, raw, score,
            r.parameters, r.samples, r.flops, r.seconds, r.cpu_seconds, r.energy_kwh,
            r.energy_method, r.hardware, r.commit,
        )
        for r in (record.result for record in board.records)
        for name, stage in r.stages.items()
        for seed, raw, score in zip(r.seeds, stage.raw, stage.score, strict=True)
    )  # fmt: skip
    return as_csv(_COLUMNS, lines)


def results_json(board: Board) -> bytes:
    """Return every result as it was read, one on a line."""
    lines = (
        json.dumps(_plain(record.result), sort_keys=True, allow_nan=False, default=dict)
        for record in board.records
    )
    return ("[\n" + ",\n".join(lines) + "\n]\n").encode()


def _plain(result: Result) -> dict[str, Any]:
    return {**vars(result), "stages": {n: vars(stage) for n, stage in result.stages.items()}}


def standings(table: Table) -> list[dict[str, Any]]:
    """Return the rows of a task's tables as plain values."""
    lists = {"ranked": table.rows, "unranked": table.unranked, "self-reported": table.reported}
    return [
        {"list": "anchor" if row.is_anchor else name, **standing(row)}
        for name, rows in lists.items()
        for row in rows
    ]


def standing(row: Row) -> dict[str, Any]:
    """Return a row as plain values, the same names for every row of a task."""
    r = row.result
    values: dict[str, Any] = {
        "task": r.task, "card": r.card, "rank": row.rank,
        "best_rank": None if row.places is None else row.places.best,
        "worst_rank": None if row.places is None else row.places.worst, "tie_group": row.group,
        "agent": row.agent, "author": row.author, "submission": row.submission, "stage": row.stage,
        **_ends("score", row.score), "raw": row.raws[row.stage].mean,
    }  # fmt: skip
    for stage in ("test", "shift", "private"):
        values[f"{stage}_score"] = row.scores[stage].mean if stage in row.scores else None
    return {
        **values, "seeds": row.score.runs, "parameters": r.parameters, "samples": r.samples,
        "flops": r.flops, "cpu_seconds": r.cpu_seconds, "energy_kwh": r.energy_kwh,
    }  # fmt: skip


def suite_line(line: Overall) -> dict[str, Any]:
    """Return a line of the suite table as plain values."""
    return {
        "rank": line.rank, "best_rank": None if line.places is None else line.places.best,
        "worst_rank": None if line.places is None else line.places.worst, "tie_group": line.group,
        "agent": line.agent, "author": line.author, "tasks": line.tasks,
        **_ends("score", line.score),
    }  # fmt: skip


def as_csv(columns: Sequence[str], lines: Iterable[Iterable[Any]]) -> str:
    """Return a table as text; no value is taken for a formula by a spreadsheet."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for line in lines:
        writer.writerow([cell(value) if isinstance(value, str) else value for value in line])
    return buffer.getvalue()


def as_json(value: Any) -> bytes:
    """Return a value as readable JSON."""
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def cell(text: str) -> str:
    """Return text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _ends(name: str, value: Interval) -> dict[str, float]:
    return {name: value.mean, f"{name}_low": value.low, f"{name}_high": value.high}
