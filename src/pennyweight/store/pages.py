"""One page of a list, by OpenAI's cursors: objects after a given one, in the order they were created."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from sqlalchemy import and_, or_

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Row, Select, Table

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """`after`: the id of the last object seen; one that is not in the list begins at its start."""

    after: str | None = None
    limit: int = 20
    order: Literal["asc", "desc"] = "asc"


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`has_more`: further objects follow."""

    items: list[T]
    has_more: bool


def page_of(
    connection: Connection,
    wanted: Select[Any],
    table: Table,
    cursor: Cursor,
    made: Callable[[Row[Any]], T],
) -> Page[T]:
    """The page of `wanted`, whose rows are of `table` with `id` and `created_at`."""
    created, own_id = table.c.created_at, table.c.id
    if cursor.after is not None:
        # Looked up among what is wanted: the cursor cannot ask about objects of others.
        last = connection.execute(
            wanted.with_only_columns(created).where(own_id == cursor.after)
        ).scalar_one_or_none()
        if last is not None:
            later = created > last if cursor.order == "asc" else created < last
            beside = own_id > cursor.after if cursor.order == "asc" else own_id < cursor.after
            wanted = wanted.where(or_(later, and_(created == last, beside)))
    ways = (created.asc(), own_id.asc()) if cursor.order == "asc" else (created.desc(), own_id.desc())
    rows = connection.execute(wanted.order_by(*ways).limit(cursor.limit + 1)).all()
    return Page([made(row) for row in rows[: cursor.limit]], len(rows) > cursor.limit)
