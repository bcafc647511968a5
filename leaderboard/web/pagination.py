"""Addresses of a page's neighbours, and of the same page in another order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlencode

from leaderboard.collect import Row
from leaderboard.model import PAGE
from leaderboard.pages import Pager

__all__ = ["cursor_pager", "number_pager", "sort_links", "sorted_rows"]

_KEYS: Mapping[str, Callable[[Row], float | str]] = {
    "agent": lambda row: row.agent.lower(),
    "author": lambda row: row.author.lower(),
    "seeds": lambda row: -row.score.runs,
    **{
        name: (lambda row, name=name: -float(getattr(row.result, name)))  # type: ignore[misc]
        for name in ("parameters", "samples", "flops", "cpu_seconds", "energy_kwh")
    },
    **{
        stage: (lambda row, stage=stage: -row.scores[stage].mean if stage in row.scores else 1e300)  # type: ignore[misc]
        for stage in ("test", "shift", "private")
    },
}


def sort_links(path: str, asked: Mapping[str, str]) -> dict[str, str]:
    """Return the address of a page in each order."""
    rest = {key: value for key, value in asked.items() if key != "sort" and value}
    return {
        key: f"{path}?{urlencode({**rest, **({} if key == 'rank' else {'sort': key})})}"
        for key in ("rank", *_KEYS)
    }


def sorted_rows(rows: Sequence[Row], key: str) -> tuple[Row, ...]:
    """Return the rows of a page in another order; an unknown key changes nothing."""
    return tuple(sorted(rows, key=_KEYS[key])) if key in _KEYS else tuple(rows)


def cursor_pager(path: str, asked: Mapping[str, str], following: str, total: int) -> Pager:
    """Return the neighbours of a page that a cursor begins."""
    rest = {key: value for key, value in asked.items() if key != "after" and value}
    return Pager(
        "Pages of the ranking",
        f"{total:,} in all, {PAGE} on a page",
        f"{path}?{urlencode(rest)}" if asked.get("after") else "", "First page",
        f"{path}?{urlencode({**rest, 'after': following})}" if following else "",
    )  # fmt: skip


def number_pager(path: str, asked: Mapping[str, str], page: int, more: bool) -> Pager:  # noqa: FBT001 - a fact
    """Return the neighbours of a page that has a number."""
    rest = {key: value for key, value in asked.items() if key != "page" and value}

    def address(number: int) -> str:
        return f"{path}?{urlencode({**rest, 'page': str(number)})}"

    return Pager(
        "Pages of the suite", f"page {page}", address(page - 1) if page > 1 else "", "Previous",
        address(page + 1) if more else "", "Next",
    )  # fmt: skip
