"""The hostile corpus: every attack on a submission, each of another kind or in another place."""

from __future__ import annotations

from itertools import chain

from tests.leaderboard import attacks_files, attacks_graphs, attacks_runs, attacks_text
from tests.leaderboard.attacks import Case

__all__ = ["Case", "cases"]

_PARTS = (attacks_text, attacks_files, attacks_graphs, attacks_runs)


def cases() -> list[Case]:
    """Return all attacks."""
    return list(chain.from_iterable(part.cases() for part in _PARTS))
