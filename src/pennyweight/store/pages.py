"""One page of a list, by OpenAI's cursors: objects after or before a given one, in a fixed order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from sqlalchemy import tuple_

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Column, Connection, Row, Select, Table

T = TypeVar("T")
Order = Literal["asc", "desc"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """`after`, `before`: ids of objects seen; one that is not in the list (any more) stands for its end.

    With `before` alone the page is the one that ends there, otherwise the one that begins behind `after`.
    """

    after: str | None = None
    before: str | None = None
    limit: int = 20
    order: Order = "asc"


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`has_more`: further objects follow, or with `before` alone precede."""

    items: list[T]
    has_more: bool


def page_of(
    connection: Connection,
    wanted: Select[Any],
    table: Table,
    cursor: Cursor,
    made: Callable[[Row[Any]], T],
) -> Page[T]:
    """The page of `wanted`, whose rows are of `table` with `id` and `created_at`, as they were created."""
    keys = (table.c.created_at, table.c.id)
    return page_by(connection, wanted, cursor, made, own_id=table.c.id, keys=keys)


def page_by(
    connection: Connection,
    wanted: Select[Any],
    cursor: Cursor,
    made: Callable[[Row[Any]], T],
    *,
    own_id: Column[str],
    keys: Sequence[Column[Any]],
) -> Page[T]:
    """The page of `wanted` in the order of `keys`, which tell any two of its rows apart."""
    ascends = cursor.order == "asc"
    backwards = cursor.before is not None and cursor.after is None
    after, before = (_place(connection, wanted, own_id, keys, id_) for id_ in (cursor.after, cursor.before))
    here = tuple_(*keys)
    if after is not None:
        wanted = wanted.where(here > after if ascends else here < after)
    if before is not None:
        wanted = wanted.where(here < before if ascends else here > before)
    ways = [key.asc() if ascends is not backwards else key.desc() for key in keys]
    rows = connection.execute(wanted.order_by(*ways).limit(cursor.limit + 1)).all()
    found = rows[: cursor.limit]
    return Page([made(row) for row in (reversed(found) if backwards else found)], len(rows) > cursor.limit)


def _place(
    connection: Connection,
    wanted: Select[Any],
    own_id: Column[str],
    keys: Sequence[Column[Any]],
    object_id: str | None,
) -> Any:
    """The keys of an object. Looked up among what is wanted: a cursor cannot ask about objects of others."""
    if object_id is None:
        return None
    row = connection.execute(wanted.with_only_columns(*keys).where(own_id == object_id)).first()
    return None if row is None else tuple_(*row)
