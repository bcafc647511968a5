"""The Atom feed of new records."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape

from leaderboard.numbers import plain
from leaderboard.store import Best, BoardRecord
from neurotasks.card import NAMESPACE

__all__ = ["atom"]


def atom(board: BoardRecord, records: Iterable[Best], base: str) -> bytes:
    """Return the feed (RFC 4287).

    Args:
        board: Whose records.
        records: Newest first.
        base: Address of the server, without a slash at its end.
    """
    records = list(records)
    updated = _date(records[0].created if records else board.created)
    address = f"{base}/boards/{board.name}"
    entries = "".join(_entry(record, board.name, base) for record in records)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<feed xmlns="http://www.w3.org/2005/Atom">\n'
        f"<title>{_text(board.title)}: new records</title>\n"
        f"<id>{_text(address)}</id>\n<updated>{updated}</updated>\n"
        f'<link href="{_text(address)}"/>\n'
        f'<link rel="self" href="{_text(address)}/records.atom"/>\n{entries}</feed>\n'
    ).encode()


def _entry(record: Best, board: str, base: str) -> str:
    label = record.task.removeprefix(f"{NAMESPACE}/")
    address = f"{base}/submissions/{record.submission}"
    before = "" if record.previous is None else f", after {plain(record.previous, 4)}"
    said = f"{record.agent} by {record.author} earns {plain(record.score, 4)} on {label}{before}."
    return (
        f"<entry><title>{_text(f'{label}: {record.agent} {plain(record.score, 4)}')}</title>"
        f"<id>{_text(f'{base}/boards/{board}/records/{record.id}')}</id>"
        f"<updated>{_date(record.created)}</updated>"
        f"<author><name>{_text(record.author)}</name></author>"
        f'<link href="{_text(address)}"/><summary>{_text(said)}</summary></entry>\n'
    )


def _text(text: str) -> str:
    return escape("".join(c for c in text if c.isprintable()))


def _date(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
