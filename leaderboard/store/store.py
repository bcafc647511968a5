"""The store as a whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from leaderboard.store.accounts import Accounts
from leaderboard.store.artefacts import Artefacts
from leaderboard.store.boards import Boards
from leaderboard.store.database import Database, parse
from leaderboard.store.errors import InvalidEntry
from leaderboard.store.events import Events
from leaderboard.store.queue import Queue
from leaderboard.store.records import Head
from leaderboard.store.standings import Standings
from leaderboard.store.submissions import Submissions
from leaderboard.store.verify import faults

__all__ = ["Store", "open_store"]


class Store:
    """Everything that a board keeps. Threads may share it; each process opens its own.

    Args:
        database: Where the rows are.
        artefacts: Where the files are.

    Attributes:
        boards: Opens and reads boards.
        accounts: Accounts and tokens.
        submissions: Takes submissions in and reads them.
        queue: Gives them to workers.
        standings: The tables.
        events: The log.
    """

    def __init__(self, database: Database, artefacts: Artefacts) -> None:
        self.database, self.artefacts = database, artefacts
        self.boards = Boards(database)
        self.accounts = Accounts(database)
        self.submissions = Submissions(database, artefacts)
        self.queue = Queue(database, artefacts)
        self.standings = Standings(database)
        self.events = Events(database)

    def verify(self, anchor: Head | None = None, *, files: bool = True) -> list[str]:
        """Return all that was changed behind the store's back; nothing if all is whole.

        Args:
            anchor: `events.head()` as it was kept elsewhere: without it nobody can tell a log that
                was written anew from the first event on.
            files: Whether to read all kept files through.
        """
        with self.database.read() as connection:
            return list(faults(connection, self.artefacts if files else None, anchor))

    def close(self) -> None:
        """Close all connections."""
        self.database.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all connections."""
        self.close()


def open_store(
    url: str, artefacts: Path | None = None, clock: Callable[[], float] = time.time
) -> Store:
    """Open a store; make its tables where there are none, and bring old ones up to date.

    Args:
        url: `sqlite:///<path>` or `postgresql://...`.
        artefacts: Folder of the kept files; beside the database of SQLite if not named.
        clock: Returns the time in UNIX seconds.

    Raises:
        InvalidEntry: The address is none, or no folder is named for PostgreSQL.
        MissingExtra: The driver for PostgreSQL is not installed.
    """
    address = parse(url)
    if artefacts is None:
        if address.get_backend_name() != "sqlite":
            raise InvalidEntry("PostgreSQL keeps rows alone; name a folder for the artefacts too")
        artefacts = Path(f"{address.database}.artefacts")
    database = Database(address, clock)
    database.migrate()
    return Store(database, Artefacts(artefacts))
