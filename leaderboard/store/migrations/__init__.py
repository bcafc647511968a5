"""How the tables came to be what they are, in steps that Alembic runs."""
