"""The repository of items: what went in and came out, kept as it was on the wire, and where it stands.

An item is written once. It may stand in a conversation and in generations; when the last of them is deleted
the item is deleted with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import delete, exists, func, insert, select

from pennyweight.errors import NotFoundError
from pennyweight.store.tables.conversations import conversation_items, items
from pennyweight.store.tables.generations import generation_items

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy import Connection, Select

Role = Literal["input", "output"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """`wire` is the JSON text as it was received or sent; the time is in seconds since 1970."""

    id: str
    type: str
    wire: str
    created_at: int


_COLUMNS = [items.c[name] for name in Item.__slots__]


class Items:
    """Callers have looked up the conversation or the generation in its project."""

    def add(self, connection: Connection, project_id: str, new: Sequence[Item]) -> None:
        """Store items, which then must be given a place."""
        rows = [{name: getattr(item, name) for name in item.__slots__} for item in new]
        if rows:
            connection.execute(insert(items), [row | {"project_id": project_id} for row in rows])

    def give(self, connection: Connection, generation_id: str, role: Role, item_ids: Sequence[str]) -> None:
        """Append items to the input or output of a generation."""
        place = generation_items.c
        held = (place.generation_id == generation_id, place.role == role)
        first = connection.execute(
            select(func.coalesce(func.max(place.position) + 1, 0)).where(*held)
        ).scalar_one()
        rows = [
            {"generation_id": generation_id, "role": role, "position": position, "item_id": item_id}
            for position, item_id in enumerate(item_ids, first)
        ]
        if rows:
            connection.execute(insert(generation_items), rows)

    def of(self, connection: Connection, project_id: str, generation_id: str, role: Role) -> list[Item]:
        """The input or output of a generation, in order."""
        wanted = _held(project_id, generation_id, role).order_by(generation_items.c.position)
        return [Item(**row._mapping) for row in connection.execute(wanted)]

    def find(self, connection: Connection, project_id: str, item_ids: Collection[str]) -> dict[str, Item]:
        """Those of `item_ids` that the project has, by id."""
        found = {}
        for some in _portions(sorted(item_ids)):
            rows = select(*_COLUMNS).where(items.c.project_id == project_id, items.c.id.in_(some))
            found.update({row.id: Item(**row._mapping) for row in connection.execute(rows)})
        return found

    def require(self, connection: Connection, project_id: str, item_ids: Iterable[str]) -> None:
        """Raise NotFoundError unless the project has them all."""
        wanted = set(item_ids)
        for item_id in sorted(wanted - self.find(connection, project_id, wanted).keys()):
            raise NotFoundError(f"Item with id '{item_id:.80}' not found.")

    def delete_unplaced(self, connection: Connection, item_ids: Collection[str]) -> None:
        """Delete those of `item_ids` that stand nowhere any more."""
        placed = [
            exists().where(table.c.item_id == items.c.id) for table in (conversation_items, generation_items)
        ]
        for some in _portions(sorted(item_ids)):
            connection.execute(delete(items).where(items.c.id.in_(some), ~placed[0], ~placed[1]))


def _held(project_id: str, generation_id: str, role: Role) -> Select[Any]:
    place = generation_items.c
    joined = select(*_COLUMNS).join(generation_items, place.item_id == items.c.id)
    return joined.where(
        items.c.project_id == project_id, place.generation_id == generation_id, place.role == role
    )


def _portions(ids: Sequence[str], size: int = 500) -> list[Sequence[str]]:
    """A statement takes a limited number of values."""
    return [ids[start : start + size] for start in range(0, len(ids), size)]
