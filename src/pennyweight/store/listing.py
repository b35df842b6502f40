"""One page of a list of a project's objects, as OpenAI's `after`, `limit` and `order` ask for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import select, tuple_

from pennyweight.errors import NotFoundError

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, RowMapping, Table

Order = Literal["asc", "desc"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """`after` is the id of the last object of the page before."""

    limit: int
    after: str | None = None
    order: Order = "desc"


def read_page(
    connection: Connection, table: Table, condition: ColumnElement[bool], page: Page
) -> tuple[list[RowMapping], bool]:
    """Rows of `table` by creation, and whether there are more. NotFoundError for a strange `after`."""
    place = tuple_(table.c.created_at, table.c.id)
    chosen = select(table).where(condition)
    if page.after is not None:
        cursor = connection.execute(
            select(table.c.created_at, table.c.id).where(condition, table.c.id == page.after)
        ).one_or_none()
        if cursor is None:
            raise NotFoundError(f"There is no '{page.after:.80}' to list after.", param="after")
        start: Any = tuple_(cursor.created_at, cursor.id)
        chosen = chosen.where(place > start if page.order == "asc" else place < start)
    columns = (table.c.created_at, table.c.id)
    ordered = chosen.order_by(*(c if page.order == "asc" else c.desc() for c in columns))
    rows = [row._mapping for row in connection.execute(ordered.limit(page.limit + 1))]
    return rows[: page.limit], len(rows) > page.limit
