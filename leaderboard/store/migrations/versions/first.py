"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ZERO = "0" * 64
_FIXED = ("events", "tasks")  # what is written there once stays


def upgrade() -> None:
    """Make them."""
    _people()
    _work()
    _tables()
    _log()
    op.execute(f"INSERT INTO chain (id, length, hash) VALUES (1, 0, '{_ZERO}')")  # noqa: S608 - ours
    for table in _FIXED:
        if op.get_bind().dialect.name == "sqlite":
            _fix_sqlite(table)
        else:
            _fix_postgres(table)


def downgrade() -> None:
    """Refuse: there is nothing older, and no log is deleted."""
    raise NotImplementedError("there is no older version; restore a backup into an older one")


def _fix_sqlite(table: str) -> None:
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} are never changed'); END"
        )


def _fix_postgres(table: str) -> None:
    op.execute(
        f"CREATE FUNCTION {table}_fixed() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} are never changed'; END $$"
    )
    for verbs, each in (("UPDATE OR DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
        op.execute(
            f"CREATE TRIGGER {table}_no_{each.lower()} BEFORE {verbs} ON {table} "
            f"FOR EACH {each} EXECUTE FUNCTION {table}_fixed()"
        )


def _people() -> None:
    """Boards and who hands in."""
    op.create_table(
        "boards",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("tasks", sa.Text(), nullable=False),
        sa.Column("opens", sa.Double(), nullable=True),
        sa.Column("closes", sa.Double(), nullable=True),
        sa.Column("valid_quota", sa.Integer(), nullable=False),
        sa.Column("total_quota", sa.Integer(), nullable=False),
        sa.Column("minimum_seeds", sa.Integer(), nullable=False),
        sa.Column("secret", sa.String(length=64), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_boards")),
    )
    op.create_table(
        "accounts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("board", sa.String(length=64), nullable=True),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("revoked", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["board"], ["boards.name"], name=op.f("fk_accounts_board")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("board", "name", name=op.f("uq_accounts_board_name")),
    )
    op.create_index(
        "ix_accounts_of_no_board",
        "accounts",
        ["name"],
        unique=True,
        sqlite_where=sa.text("board IS NULL"),
        postgresql_where=sa.text("board IS NULL"),
    )
    op.create_table(
        "tokens",
        sa.Column("key", sa.String(length=16), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("account", sa.Integer(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=True),
        sa.Column("revoked", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"], name=op.f("fk_tokens_account")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_tokens")),
    )
    op.create_index(op.f("ix_tokens_account"), "tokens", ["account"], unique=False)
    op.create_table(
        "joins",
        sa.Column("key", sa.String(length=16), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("board", sa.String(length=64), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=True),
        sa.Column("revoked", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["board"], ["boards.name"], name=op.f("fk_joins_board")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_joins")),
    )
    op.create_index(op.f("ix_joins_board"), "joins", ["board"], unique=False)


def _work() -> None:
    """What was handed in and what it earned."""
    op.create_table(
        "tasks",
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("card", sa.String(length=16), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", "card", name=op.f("pk_tasks")),
    )
    op.create_table(
        "submissions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("board", sa.String(length=64), nullable=False),
        sa.Column("account", sa.Integer(), nullable=False),
        sa.Column("task", sa.String(length=128), nullable=False),
        sa.Column("card", sa.String(length=16), nullable=False),
        sa.Column("agent", sa.String(length=100), nullable=False),
        sa.Column("format", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("released", sa.Integer(), nullable=False),
        sa.Column("content", sa.String(length=64), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("seeds", sa.Integer(), nullable=False),
        sa.Column("parameters", sa.BigInteger(), nullable=False),
        sa.Column("samples", sa.BigInteger(), nullable=False),
        sa.Column("flops", sa.BigInteger(), nullable=False),
        sa.Column("cpu_seconds", sa.Double(), nullable=False),
        sa.Column("energy_kwh", sa.Double(), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=True),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("finished", sa.Double(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("due", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"], name=op.f("fk_submissions_account")),
        sa.ForeignKeyConstraint(["board"], ["boards.name"], name=op.f("fk_submissions_board")),
        sa.ForeignKeyConstraint(
            ["task", "card"], ["tasks.id", "tasks.card"], name=op.f("fk_submissions_task_card")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submissions")),
    )
    op.create_index("ix_submissions_account", "submissions", ["account", "id"], unique=False)
    op.create_index("ix_submissions_agent", "submissions", ["board", "agent", "id"], unique=False)
    op.create_index("ix_submissions_board", "submissions", ["board", "id"], unique=False)
    op.create_index(
        "ix_submissions_content",
        "submissions",
        ["board", "task", "account", "kind", "content"],
        unique=True,
        sqlite_where=sa.text("state <> 'failed'"),
        postgresql_where=sa.text("state <> 'failed'"),
    )
    op.create_index("ix_submissions_due", "submissions", ["due"], unique=False)
    op.create_index(
        "ix_submissions_quota", "submissions", ["board", "task", "account", "kind"], unique=False
    )
    op.create_table(
        "artefacts",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_artefacts")),
    )
    op.create_table(
        "files",
        sa.Column("submission", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["sha256"], ["artefacts.sha256"], name=op.f("fk_files_sha256")),
        sa.ForeignKeyConstraint(
            ["submission"], ["submissions.id"], name=op.f("fk_files_submission")
        ),
        sa.PrimaryKeyConstraint("submission", "name", name=op.f("pk_files")),
    )
    op.create_table(
        "results",
        sa.Column("submission", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("raw", sa.Double(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("error", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["submission"], ["submissions.id"], name=op.f("fk_results_submission")
        ),
        sa.PrimaryKeyConstraint("submission", "stage", "seed", name=op.f("pk_results")),
    )


def _tables() -> None:
    """What pages show."""
    op.create_table(
        "standings",
        sa.Column("board", sa.String(length=64), nullable=False),
        sa.Column("task", sa.String(length=128), nullable=False),
        sa.Column("card", sa.String(length=16), nullable=False),
        sa.Column("list", sa.String(length=16), nullable=False),
        sa.Column("account", sa.Integer(), nullable=False),
        sa.Column("agent", sa.String(length=100), nullable=False),
        sa.Column("submission", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"], name=op.f("fk_standings_account")),
        sa.ForeignKeyConstraint(["board"], ["boards.name"], name=op.f("fk_standings_board")),
        sa.ForeignKeyConstraint(
            ["submission"], ["submissions.id"], name=op.f("fk_standings_submission")
        ),
        sa.PrimaryKeyConstraint(
            "board", "task", "card", "list", "account", "agent", name=op.f("pk_standings")
        ),
    )
    op.create_index("ix_standings_agent", "standings", ["board", "agent"], unique=False)
    op.create_index(
        "ix_standings_order",
        "standings",
        ["board", "task", "card", "list", sa.literal_column("score DESC"), "submission"],
        unique=False,
    )
    op.create_index("ix_standings_submission", "standings", ["submission"], unique=False)
    op.create_table(
        "sizes",
        sa.Column("board", sa.String(length=64), nullable=False),
        sa.Column("task", sa.String(length=128), nullable=False),
        sa.Column("card", sa.String(length=16), nullable=False),
        sa.Column("list", sa.String(length=16), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["board"], ["boards.name"], name=op.f("fk_sizes_board")),
        sa.PrimaryKeyConstraint("board", "task", "card", "list", name=op.f("pk_sizes")),
    )
    op.create_table(
        "suites",
        sa.Column("board", sa.String(length=64), nullable=False),
        sa.Column("account", sa.Integer(), nullable=False),
        sa.Column("agent", sa.String(length=100), nullable=False),
        sa.Column("tasks", sa.Integer(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"], name=op.f("fk_suites_account")),
        sa.ForeignKeyConstraint(["board"], ["boards.name"], name=op.f("fk_suites_board")),
        sa.PrimaryKeyConstraint("board", "account", "agent", name=op.f("pk_suites")),
    )
    op.create_index(
        "ix_suites_order",
        "suites",
        ["board", sa.literal_column("tasks DESC"), sa.literal_column("score DESC")],
        unique=False,
    )
    op.create_table(
        "records",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("board", sa.String(length=64), nullable=False),
        sa.Column("submission", sa.Integer(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("previous", sa.Double(), nullable=True),
        sa.Column("created", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["board"], ["boards.name"], name=op.f("fk_records_board")),
        sa.ForeignKeyConstraint(
            ["submission"], ["submissions.id"], name=op.f("fk_records_submission")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_records")),
    )
    op.create_index("ix_records_board", "records", ["board", "id"], unique=False)


def _log() -> None:
    """The log."""
    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=128), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index("ix_events_subject", "events", ["subject", "id"], unique=False)
    op.create_table(
        "chain",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chain")),
    )
