"""Every row that names another finds it. The database holds this; a copy of files need not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import exists, func, select

from pennyweight.store.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.store.checks.check import Finding, Scope


def check_references(scope: Scope) -> Iterator[Finding]:
    """Foreign keys, counted anew."""
    for table in metadata.sorted_tables:
        for constraint in table.foreign_key_constraints:
            other = constraint.referred_table.alias("other")
            pairs = [(key.parent, other.c[key.column.name]) for key in constraint.elements]
            found = exists().select_from(other).where(*(own == its for own, its in pairs))
            dangling = select(func.count()).select_from(table)
            dangling = dangling.where(*(own.is_not(None) for own, _ in pairs), ~found)
            number = scope.connection.execute(dangling).scalar_one()
            if number:
                wanted = constraint.referred_table.name
                yield f"{number} rows of {table.name} name a row of {wanted} that is not there"
