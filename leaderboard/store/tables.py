"""The tables. Times are UNIX seconds, JSON is canonical text, scores are means over seeds."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

__all__ = [
    "accounts",
    "artefacts",
    "boards",
    "chain",
    "events",
    "files",
    "joins",
    "metadata",
    "records",
    "results",
    "sizes",
    "standings",
    "submissions",
    "suites",
    "tasks",
    "tokens",
]

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

boards = Table(
    "boards",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("title", Text, nullable=False),
    Column("tasks", Text, nullable=False),
    Column("opens", Double),
    Column("closes", Double),
    Column("valid_quota", Integer, nullable=False),
    Column("total_quota", Integer, nullable=False),
    Column("minimum_seeds", Integer, nullable=False),
    Column("secret", String(64), nullable=False),
    Column("created", Double, nullable=False),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("board", ForeignKey("boards.name")),
    Column("name", String(64), nullable=False),
    Column("created", Double, nullable=False),
    Column("revoked", Double),
    UniqueConstraint("board", "name"),
)
Index(
    "ix_accounts_of_no_board",  # where the constraint holds nothing: NULLs are never equal
    accounts.c.name,
    unique=True,
    sqlite_where=text("board IS NULL"),
    postgresql_where=text("board IS NULL"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("key", String(16), primary_key=True),
    Column("hash", String(64), nullable=False),
    Column("account", ForeignKey("accounts.id"), nullable=False, index=True),
    Column("label", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("expires", Double),
    Column("revoked", Double),
)

joins = Table(
    "joins",
    metadata,
    Column("key", String(16), primary_key=True),
    Column("hash", String(64), nullable=False),
    Column("board", ForeignKey("boards.name"), nullable=False, index=True),
    Column("uses", Integer, nullable=False),
    Column("created", Double, nullable=False),
    Column("expires", Double),
    Column("revoked", Double),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("card", String(16), primary_key=True),
    Column("facts", Text, nullable=False),
    Column("created", Double, nullable=False),
)

submissions = Table(
    "submissions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("board", ForeignKey("boards.name"), nullable=False),
    Column("account", ForeignKey("accounts.id"), nullable=False),
    Column("task", String(128), nullable=False),
    Column("card", String(16), nullable=False),
    Column("agent", String(100), nullable=False),
    Column("format", String(16), nullable=False),
    Column("kind", String(16), nullable=False),  # a model, or a claim without one
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),  # why it failed, or why it has no rank
    Column("released", Integer, nullable=False),  # whether its scores may be shown
    Column("content", String(64), nullable=False),
    Column("manifest", Text, nullable=False),
    Column("seeds", Integer, nullable=False),
    Column("parameters", BigInteger, nullable=False),
    Column("samples", BigInteger, nullable=False),
    Column("flops", BigInteger, nullable=False),
    Column("cpu_seconds", Double, nullable=False),
    Column("energy_kwh", Double, nullable=False),
    Column("stage", String(16)),  # that the score stands on
    Column("score", Double),
    Column("summary", Text, nullable=False),
    Column("details", Text, nullable=False),  # what the task tells of the stage test besides
    Column("created", Double, nullable=False),
    Column("finished", Double),
    Column("attempts", Integer, nullable=False),
    Column("lease", Integer, nullable=False),  # number of the last one: it only ever rises
    Column("worker", Text, nullable=False),
    Column("due", Double),  # when it may be claimed; NULL when there is nothing left to do
    ForeignKeyConstraint(["task", "card"], ["tasks.id", "tasks.card"]),
)
Index("ix_submissions_due", submissions.c.due)
Index("ix_submissions_quota", *(submissions.c[n] for n in ("board", "task", "account", "kind")))
Index("ix_submissions_board", submissions.c.board, submissions.c.id)
Index("ix_submissions_agent", submissions.c.board, submissions.c.agent, submissions.c.id)
Index("ix_submissions_account", submissions.c.account, submissions.c.id)
Index(
    "ix_submissions_content",
    *(submissions.c[name] for name in ("board", "task", "account", "kind", "content")),
    unique=True,
    sqlite_where=text("state <> 'failed'"),
    postgresql_where=text("state <> 'failed'"),
)

artefacts = Table(
    "artefacts",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("created", Double, nullable=False),
)

files = Table(
    "files",
    metadata,
    Column("submission", ForeignKey("submissions.id"), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("stage", String(16)),  # of measured items; NULL for what was handed in
    Column("sha256", ForeignKey("artefacts.sha256"), nullable=False),
)

results = Table(
    "results",
    metadata,
    Column("submission", ForeignKey("submissions.id"), primary_key=True),
    Column("stage", String(16), primary_key=True),
    Column("seed", BigInteger, primary_key=True),
    Column("place", Integer, nullable=False),  # of the seed in the manifest
    Column("raw", Double, nullable=False),
    Column("score", Double, nullable=False),
    Column("error", Double),
)

standings = Table(
    "standings",
    metadata,
    Column("board", ForeignKey("boards.name"), primary_key=True),
    Column("task", String(128), primary_key=True),
    Column("card", String(16), primary_key=True),
    Column("list", String(16), primary_key=True),  # ranked, unranked or self-reported
    Column("account", ForeignKey("accounts.id"), primary_key=True),
    Column("agent", String(100), primary_key=True),
    Column("submission", ForeignKey("submissions.id"), nullable=False),
    Column("stage", String(16), nullable=False),
    Column("score", Double, nullable=False),
    Column("low", Double, nullable=False),
    Column("high", Double, nullable=False),
)
Index(
    "ix_standings_order",
    *(standings.c[name] for name in ("board", "task", "card", "list")),
    standings.c.score.desc(),
    standings.c.submission,
)
Index("ix_standings_agent", standings.c.board, standings.c.agent)
Index("ix_standings_submission", standings.c.submission)

sizes = Table(
    "sizes",  # counted as rows are entered, so that no page counts them
    metadata,
    Column("board", ForeignKey("boards.name"), primary_key=True),
    Column("task", String(128), primary_key=True),
    Column("card", String(16), primary_key=True),
    Column("list", String(16), primary_key=True),
    Column("rows", Integer, nullable=False),
    Column("last", Integer, nullable=False),  # submission entered last: it never comes again
)

suites = Table(
    "suites",
    metadata,
    Column("board", ForeignKey("boards.name"), primary_key=True),
    Column("account", ForeignKey("accounts.id"), primary_key=True),
    Column("agent", String(100), primary_key=True),
    Column("tasks", Integer, nullable=False),
    Column("score", Double, nullable=False),
    Column("low", Double, nullable=False),
    Column("high", Double, nullable=False),
)
Index("ix_suites_order", suites.c.board, suites.c.tasks.desc(), suites.c.score.desc())

records = Table(
    "records",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("board", ForeignKey("boards.name"), nullable=False),
    Column("submission", ForeignKey("submissions.id"), nullable=False),
    Column("score", Double, nullable=False),
    Column("previous", Double),
    Column("created", Double, nullable=False),
)
Index("ix_records_board", records.c.board, records.c.id)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", String(32), nullable=False),
    Column("subject", String(128), nullable=False),
    Column("detail", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)
Index("ix_events_subject", events.c.subject, events.c.id)

chain = Table(
    "chain",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # one row, of id 1
    Column("length", Integer, nullable=False),
    Column("hash", String(64), nullable=False),
)
