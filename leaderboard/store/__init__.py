"""The store: boards, accounts, submissions, their queue and what they earned.

    store = open_store("sqlite:///board.db")
    store.boards.open("spring", "Spring course", tasks="Orientation*")
    account, token = store.accounts.join(store.accounts.join_token("spring"), "Ada")

SQLite in write-ahead mode, or PostgreSQL; files lie in a folder beside it, each under its SHA-256.
Whatever changes is written to a log that nobody can change unseen: `store.verify()`.
"""

import importlib

from neurotasks.errors import MissingExtra

for _library in ("sqlalchemy", "alembic"):
    try:
        importlib.import_module(_library)
    except ImportError as error:
        raise MissingExtra(_library, "board") from error

from leaderboard.store.records import (  # noqa: E402 - the libraries come first
    LISTS,
    STATES,
    Account,
    Best,
    BoardRecord,
    Cursor,
    Event,
    Head,
    Job,
    Standing,
    SubmissionRecord,
    Suite,
    TaskVersion,
    Token,
    Usage,
)
from leaderboard.store.store import Store, open_store  # noqa: E402

__all__ = [
    "LISTS",
    "STATES",
    "Account",
    "Best",
    "BoardRecord",
    "Cursor",
    "Event",
    "Head",
    "Job",
    "Standing",
    "Store",
    "SubmissionRecord",
    "Suite",
    "TaskVersion",
    "Token",
    "Usage",
    "open_store",
]
