"""Backup and restore: one archive of all rows and files, the same for both databases.

    store.json              version of the tables, end of the log, rows of each table
    tables/<table>.jsonl    the rows
    artefacts/<sha256>      the files

The rows are read in one transaction, which sees one state while the server runs; files never
change. The archive holds secrets: only its owner may read it.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Table

from leaderboard.store.errors import CorruptBackup, NotEmpty
from leaderboard.store.events import canonical
from leaderboard.store.store import Store
from leaderboard.store.tables import artefacts, boards, chain, events, metadata
from leaderboard.store.verify import faults

__all__ = ["backup", "restore"]

_FACTS = "store.json"
_ROWS = 1000  # inserted at once
_LARGEST_FACTS = 1 << 20


def backup(store: Store, path: Path) -> int:
    """Write everything into one archive, whole or not at all; return its size in bytes.

    Raises:
        CorruptArtefact: A kept file is missing or changed.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            with tarfile.open(fileobj=file, mode="w") as archive, store.database.read() as reader:
                _write_rows(archive, reader, path.parent)
                for sha256 in reader.execute(sa.select(artefacts.c.sha256)).scalars().all():
                    _add(archive, f"artefacts/{sha256}", store.artefacts.read(sha256))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path.stat().st_size


def _write_rows(archive: tarfile.TarFile, connection: Connection, folder: Path) -> None:
    head = connection.execute(sa.select(chain)).one()
    facts = {
        "revision": _revision(connection),
        "head": [head.length, head.hash],
        "rows": {
            table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar()
            for table in metadata.sorted_tables
        },
    }
    _add(archive, _FACTS, canonical(facts).encode())
    for table in metadata.sorted_tables:
        with tempfile.TemporaryFile(dir=folder) as file:
            options = {"yield_per": _ROWS}
            with connection.execute(sa.select(table), execution_options=options) as rows:
                file.writelines(canonical(list(row)).encode() + b"\n" for row in rows)
            member = tarfile.TarInfo(f"tables/{table.name}.jsonl")
            member.size = file.tell()
            file.seek(0)
            archive.addfile(member, file)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def restore(path: Path, store: Store) -> None:
    """Fill an empty store from an archive, whole or not at all.

    Raises:
        NotEmpty: The store holds something.
        CorruptBackup: The archive is not whole, was changed, or is of another version.
    """
    with store.database.write() as connection:
        for table in (boards, events):
            if connection.execute(sa.select(table).limit(1)).first():
                raise NotEmpty(
                    f"{store.database.url.database} holds {table.name} already; "
                    "restore into a new database"
                )
        try:
            with tarfile.open(path, mode="r:") as archive:
                head = _read(archive, connection, store)
        except (tarfile.TarError, KeyError, ValueError, TypeError, sa.exc.SQLAlchemyError) as error:
            raise CorruptBackup(
                f"{path} is no backup that can be read: {error}; take another"
            ) from error
        _set_sequences(connection)
        found = next(faults(connection, store.artefacts), None)
        end = connection.execute(sa.select(chain)).one()
        if found or [end.length, end.hash] != head:
            raise CorruptBackup(f"{path} was changed: {found or 'its log ends elsewhere'}")


def _read(archive: tarfile.TarFile, connection: Connection, store: Store) -> Any:
    """Insert all rows and keep all files; return the end of the log."""
    facts = json.loads(_content(archive, archive.getmember(_FACTS)).read(_LARGEST_FACTS))
    if facts["revision"] != _revision(connection):
        raise CorruptBackup(
            f"it is of version {facts['revision']}, this store of {_revision(connection)}; "
            "restore it with the suite that wrote it"
        )
    connection.execute(sa.delete(chain))
    for table in metadata.sorted_tables:
        member = archive.getmember(f"tables/{table.name}.jsonl")
        count = 0
        for rows in _rows(_content(archive, member), table):
            connection.execute(sa.insert(table), rows)
            count += len(rows)
        promised = facts["rows"][table.name]
        if count != promised:
            raise CorruptBackup(f"table {table.name} has {count} rows, not {promised}")
    for member in archive:
        if member.name.startswith("artefacts/"):
            sha256, _ = store.artefacts.put(_content(archive, member))
            if member.name != f"artefacts/{sha256}":
                raise CorruptBackup(f"{member.name} was changed: its SHA-256 is {sha256}")
    return facts["head"]


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> BinaryIO:
    file = archive.extractfile(member) if member.isreg() else None
    if file is None:
        raise CorruptBackup(f"{member.name[:80]!r} is no plain file")
    return file  # type: ignore[return-value]


def _rows(file: BinaryIO, table: Table) -> Iterator[list[dict[str, Any]]]:
    names, rows = [column.name for column in table.columns], []
    for line in file:
        rows.append(dict(zip(names, json.loads(line), strict=True)))
        if len(rows) == _ROWS:
            yield rows
            rows = []
    if rows:
        yield rows


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _set_sequences(connection: Connection) -> None:
    """Let PostgreSQL count on from the restored ids; SQLite does so by itself."""
    if connection.dialect.name == "sqlite":
        return
    for table in metadata.sorted_tables:
        column = table.autoincrement_column
        if column is not None:
            sequence = sa.func.pg_get_serial_sequence(table.name, column.name)
            highest = sa.select(sa.func.coalesce(sa.func.max(column), 0) + 1).scalar_subquery()
            connection.execute(sa.select(sa.func.setval(sequence, highest, sa.false())))
