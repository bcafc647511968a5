"""Alembic's entry: the store hands it a connection that is in a transaction."""

from alembic import context

from leaderboard.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
