"""Where pages are: on a static site as files beside each other, on a server as addresses."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Protocol
from urllib.parse import quote, urlencode

from leaderboard.collect import Row
from neurotasks.card import NAMESPACE

__all__ = ["Links", "LiveLinks", "StaticLinks", "file_name"]

_PLAIN_NAME = re.compile(r"(?!.*-[0-9a-f]{8}$)[a-z0-9][a-z0-9_-]{0,59}")  # no hash of ours


class Links(Protocol):
    """How templates name other pages; an empty address is a page that there is not."""

    live: bool
    feed: str

    def home(self) -> str:
        """Return the address of the suite."""

    def task(self, label: str, card: str = "") -> str:
        """Return the address of a task; `card` names an earlier version."""

    def agent(self, name: str) -> str:
        """Return the address of an agent."""

    def run(self, row: Row) -> str:
        """Return the address of what is known of a result."""

    def compare(self, one: str, two: str) -> str:
        """Return the address of a comparison."""

    def data(self, kind: str, label: str = "") -> str:
        """Return the address of all numbers, or those of a task, as "csv" or "json"."""

    def badge(self, agent: str, label: str = "") -> str:
        """Return the address of an agent's badge, of the suite or of a task."""


class StaticLinks:
    """Files of a static site.

    Args:
        root: The way from the page to the site's folder: empty, or "../".
        pairs: The comparisons that have a page.
    """

    live = False
    feed = ""

    def __init__(self, root: str = "", pairs: frozenset[tuple[str, str]] = frozenset()) -> None:
        self._root, self._pairs = root, pairs

    def home(self) -> str:
        """Return the address of the suite."""
        return f"{self._root}index.html"

    def task(self, label: str, card: str = "") -> str:
        """Return the address of a task; earlier versions stand on its page."""
        return f"{self._root}tasks/{label}.html{f'#card-{card}' if card else ''}"

    def agent(self, name: str) -> str:
        """Return the address of an agent."""
        return f"{self._root}agents/{file_name(name)}.html"

    def run(self, row: Row) -> str:
        """Return the address of what is known of a result."""
        r = row.result
        label = r.task.removeprefix(f"{NAMESPACE}/")
        name = f"submission-{row.submission}" if row.submission else file_name(row.agent)
        return f"{self._root}runs/{label}-{r.card}/{name}.html"

    def compare(self, one: str, two: str) -> str:
        """Return the address of a comparison, empty for a pair without one."""
        if (one, two) not in self._pairs:
            one, two = two, one
        if (one, two) not in self._pairs:
            return ""
        return f"{self._root}compare/{file_name(one)}/{file_name(two)}.html"

    def data(self, kind: str, label: str = "") -> str:
        """Return the address of all numbers, or those of a task."""
        return f"{self._root}tasks/{label}.{kind}" if label else f"{self._root}results.{kind}"

    def badge(self, agent: str, label: str = "") -> str:
        """Return the address of an agent's badge."""
        return f"{self._root}badges/{file_name(agent)}/{label or 'suite'}.svg"


class LiveLinks:
    """Addresses of a server.

    Args:
        board: Name of the board; empty for pages of no board.
    """

    live = True

    def __init__(self, board: str = "") -> None:
        self._root = f"/boards/{quote(board)}" if board else ""
        self.feed = f"{self._root}/records.atom" if board else ""

    def home(self) -> str:
        """Return the address of the suite, or of the list of boards."""
        return self._root or "/"

    def task(self, label: str, card: str = "") -> str:
        """Return the address of a task; `card` names an earlier version."""
        return f"{self._root}/tasks/{quote(label)}{f'?card={card}' if card else ''}"

    def agent(self, name: str) -> str:
        """Return the address of an agent: its name may be any text, so it is no part of a path."""
        return f"{self._root}/agent?{_name(name)}"

    def run(self, row: Row) -> str:
        """Return the address of a submission."""
        return "" if row.submission is None else f"/submissions/{row.submission}"

    def compare(self, one: str, two: str) -> str:
        """Return the address of a comparison."""
        return f"{self._root}/compare?{urlencode({'one': one, 'two': two})}"

    def data(self, kind: str, label: str = "") -> str:
        """Return the address of all numbers, or those of a task."""
        path = f"{self._root}/tasks/{quote(label)}" if label else f"{self._root}/results"
        return f"{path}.{kind}"

    def badge(self, agent: str, label: str = "") -> str:
        """Return the address of an agent's badge."""
        asked = {"agent": agent, **({"task": label} if label else {})}
        return f"{self._root}/badge.svg?{urlencode(asked)}"


@lru_cache(1 << 14)  # a page names some agents many times
def _name(name: str) -> str:
    return urlencode({"name": name})


def file_name(name: str) -> str:
    """Return a safe file name for any text, different for different texts."""
    if _PLAIN_NAME.fullmatch(name):
        return name
    stem = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "agent"
    return f"{stem}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
