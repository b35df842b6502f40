"""The rows of usage that a database holds, one by one; the product only ever sums them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from pennyweight.store.tables.usage import usage
from pennyweight.store.usage import UsageRow

if TYPE_CHECKING:
    from sqlalchemy import Connection


def kept_usage(connection: Connection, project_id: str) -> list[UsageRow]:
    """All rows of one project, oldest first."""
    columns = [usage.c[name] for name in UsageRow.__dataclass_fields__]
    chosen = select(*columns).where(usage.c.project_id == project_id).order_by(usage.c.id)
    return [UsageRow(**row._mapping) for row in connection.execute(chosen)]
