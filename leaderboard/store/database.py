"""The connection: one way to read and one way to write, for SQLite and for PostgreSQL."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from leaderboard.store.errors import InvalidEntry
from neurotasks.errors import MissingExtra

__all__ = ["Database", "migrations", "parse"]

_PATIENCE = 60.0  # seconds that a writer waits for the others
_POSTGRES = "postgresql+psycopg"
_UPGRADE_LOCK = 0x6E74  # of PostgreSQL: one process upgrades, the others wait


def parse(url: str) -> URL:
    """Return the address of a database.

    Args:
        url: `sqlite:///<path>` or `postgresql://...`.

    Raises:
        InvalidEntry: It is no such address, or one of a database in memory.
        MissingExtra: The driver for PostgreSQL is not installed.
    """
    try:
        address = make_url(url)
    except ArgumentError as error:
        raise InvalidEntry(
            f"{url!r} is no address of a database; write sqlite:///board.db or postgresql://..."
        ) from error
    kind = address.get_backend_name()
    if kind == "sqlite" and address.database and address.database != ":memory:":
        return address
    if kind == "postgresql":
        try:
            importlib.import_module("psycopg")
        except ImportError as error:
            raise MissingExtra("psycopg", "postgres") from error
        return address.set(drivername=_POSTGRES)
    raise InvalidEntry(
        f"{url!r} is no database that workers can share; "
        "write sqlite:///board.db or postgresql://..."
    )


class Database:
    """A database with short transactions.

    Args:
        url: Its address, as `parse` returns it.
        clock: Returns the time in UNIX seconds.
    """

    def __init__(self, url: URL, clock: Callable[[], float] = time.time) -> None:
        self.url, self.clock = url, clock
        self.is_sqlite = url.get_backend_name() == "sqlite"
        options: dict[str, Any] = {"pool_size": 5, "max_overflow": 20, "pool_timeout": _PATIENCE}
        if self.is_sqlite:
            Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
            options["connect_args"] = {"timeout": _PATIENCE}
        else:
            options["pool_pre_ping"] = True  # the server may have been started again
        self._engine = sa.create_engine(url, **options)
        if self.is_sqlite:
            event.listen(self._engine, "connect", _prepare)
            event.listen(self._engine, "begin", _begin)
        self._writer = self._engine.execution_options(immediate=True)
        self._turn = threading.Lock()  # SQLite lets writers in at random: here they queue

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection whose statements all see one state of the database."""
        engine = self._engine
        if not self.is_sqlite:
            engine = engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        with engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection whose changes are kept all together, or, after an error, not at all."""
        with ExitStack() as stack:
            if self.is_sqlite:
                stack.enter_context(self._turn)
            yield stack.enter_context(self._writer.begin())

    def migrate(self) -> None:
        """Bring the tables to the newest version, once however many processes ask."""
        newest = ScriptDirectory.from_config(migrations()).get_current_head()
        with self._engine.connect() as connection:
            if MigrationContext.configure(connection).get_current_revision() == newest:
                return
        with self.write() as connection:
            if not self.is_sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_UPGRADE_LOCK)))
            config = migrations()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def migrations() -> Config:
    """Return Alembic's settings, which need no file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _prepare(connection: Any, _: Any) -> None:
    """Set up a connection to SQLite; our own BEGIN replaces the driver's."""
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    """Begin; who will write says so at once, since a reader that turns writer may be refused."""
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
