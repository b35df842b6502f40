"""One page of a list, by OpenAI's cursors: objects after or before a given one, in a fixed order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from sqlalchemy import tuple_

from pennyweight.errors import InvalidRequestError
from pennyweight.store.identifiers import may_be_made

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Column, Connection, Row, Select, Table

T = TypeVar("T")
Order = Literal["asc", "desc"]


class CursorError(InvalidRequestError):
    """`param`, which is `after` or `before`, names no object of the list (any more)."""

    code = "invalid_value"

    def __init__(self, param: str, object_id: str) -> None:
        super().__init__(
            f"'{param}': this list has no object with the id {object_id!r:.120} (any more); "
            f"begin again without '{param}'.",
            param=param,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """`after`, `before`: ids of objects seen; for one that is not in the list there is no page.

    But after one that may have been deleted since, the list begins again: who deletes page by page gets on.
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
    """The page of `wanted`, whose rows are of `table` with `id` and `created_at`, as they were created.

    Raises CursorError.
    """
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
    """The page of `wanted` in the order of `keys`, which tell any two of its rows apart.

    Raises CursorError.
    """
    ascends = cursor.order == "asc"
    backwards = cursor.before is not None and cursor.after is None
    after = _place(connection, wanted, own_id, keys, "after", cursor.after)
    before = _place(connection, wanted, own_id, keys, "before", cursor.before)
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
    param: str,
    object_id: str | None,
) -> Any:
    """The keys of an object. Looked up among what is wanted: a cursor cannot ask about objects of others."""
    if object_id is None:
        return None
    if "\0" in object_id:  # PostgreSQL would not even compare it
        raise CursorError(param, object_id)
    row = connection.execute(wanted.with_only_columns(*keys).where(own_id == object_id)).first()
    if row is None:
        if param == "after" and may_be_made(object_id):
            return None
        raise CursorError(param, object_id)
    return tuple_(*row)
