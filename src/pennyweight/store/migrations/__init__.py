"""Revisions of the schema, oldest first. Known without Alembic, which is imported only to run them."""

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007")
HEAD = REVISIONS[-1]
