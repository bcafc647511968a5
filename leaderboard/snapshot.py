"""A board of a store as it stands now, whole, for a static site or a printed ranking."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from leaderboard import queries
from leaderboard.collect import Board, Record, Row, Table, placed
from leaderboard.store import BoardRecord, Cursor, Store
from neurotasks.card import TaskCard
from neurotasks.registry import cards

__all__ = ["snapshot"]

_ROWS = 500  # read at once


def snapshot(store: Store, board: BoardRecord) -> Board:
    """Return all tables of a board, each result with its provenance."""
    tables = []
    for card in cards():
        if board.takes(card.id):
            present = {name: tuple(_rows(store, board.name, card, card.hash, name))
                       for name in ("ranked", "unranked", "self-reported")}  # fmt: skip
            old = [v.card for v in store.boards.versions(card.id) if v.card != card.hash]
            earlier = tuple(
                row for version in old for row in _rows(store, board.name, card, version, "ranked")
            )
            tables.append(Table(card, _ranked(present["ranked"]), present["unranked"],
                                present["self-reported"], earlier))  # fmt: skip
    records = tuple(
        row.record for table in tables
        for row in (*table.rows, *table.unranked, *table.reported, *table.earlier)
    )  # fmt: skip
    return Board(tuple(tables), (), records)


def _rows(store: Store, board: str, card: TaskCard, version: str, list_: str) -> Iterator[Row]:
    after: Cursor | None = None
    while found := queries.rows_of(store, board, card.id, version, list_, after=after, limit=_ROWS):
        runs = queries.measured(store, [row.submission or 0 for row in found])
        for row in found:
            number = row.submission or 0
            submission = store.submissions.get(number)
            _, stages = runs.get(number, ((), {}))
            result = submission.result(stages)
            yield replace(row, record=Record(Path("submissions", str(number)), result))
        after = Cursor(1, found[-1].score.mean, found[-1].submission or 0)


def _ranked(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """Return rows, which come best first, with ranks and tie groups."""
    told = placed([row.score for row in rows]) if rows else []
    return tuple(
        replace(row, rank=rank, places=places, group=group)
        for rank, (row, (places, group)) in enumerate(zip(rows, told, strict=True), start=1)
    )
