"""The database itself: its own check of its pages and indexes, where it has one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.store.checks.check import Finding, Scope


def check_database(scope: Scope) -> Iterator[Finding]:
    """SQLite's `integrity_check`; PostgreSQL has its checksums and `pg_amcheck`."""
    if scope.connection.dialect.name == "sqlite":
        for (line,) in scope.connection.execute(text("PRAGMA integrity_check")):
            if line != "ok":
                yield str(line)
