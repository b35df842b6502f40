"""One file per revision, as Alembic wants them."""
