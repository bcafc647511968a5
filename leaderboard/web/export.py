"""A board as one stream, whatever its size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from leaderboard import queries
from leaderboard.collect import Row
from leaderboard.downloads import as_csv, standing
from leaderboard.store import LISTS, Cursor, Store

__all__ = ["csv_lines", "json_lines"]

_ROWS = 500  # read at once


def csv_lines(store: Store, board: str) -> Iterator[str]:
    """Yield all tables of a board as CSV, a part at a time."""
    first = True
    for rows in _rows(store, board):
        text = as_csv(tuple(rows[0]), (row.values() for row in rows))
        yield text if first else text.split("\n", 1)[1]
        first = False


def json_lines(store: Store, board: str) -> Iterator[str]:
    """Yield all tables of a board as one JSON list, a part at a time."""
    before = "["
    for rows in _rows(store, board):
        for row in rows:
            yield before + json.dumps(row, allow_nan=False)
            before = ",\n"
    yield "]\n" if before != "[" else "[]\n"


def _rows(store: Store, board: str) -> Iterator[list[dict[str, Any]]]:
    for task, card, list_, _ in sorted(
        store.standings.tables(board), key=lambda key: (key[0], key[1], LISTS.index(key[2]))
    ):
        rank, after = 0, None
        while rows := queries.rows_of(store, board, task, card, list_, after=after, limit=_ROWS):
            told = []
            for rank, row in enumerate(rows, start=rank + 1):  # noqa: B020 - goes on
                told.append({"list": list_, **standing(row),
                             "rank": rank if list_ == "ranked" else None})  # fmt: skip
            yield told
            after = _cursor(rows[-1], rank)


def _cursor(row: Row, rank: int) -> Cursor:
    return Cursor(rank, row.score.mean, row.submission or 0)
