"""The repository of chains: a generation and those it continues, read as one history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import literal, select, true

from pennyweight.store.generations import Generations
from pennyweight.store.items import Item
from pennyweight.store.tables.conversations import items
from pennyweight.store.tables.generations import generation_items, generations

if TYPE_CHECKING:
    from sqlalchemy import CTE, ColumnElement, Connection

    from pennyweight.store.generation import Generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """`last` continues, link by link, `root`.

    Whether `root` itself continued something its request says: a deleted parent leaves no other trace.
    """

    root: Generation
    last: Generation


class Chains:
    """Links never leave their project."""

    def get(self, connection: Connection, project_id: str, generation_id: str) -> Chain:
        """Raises NotFoundError."""
        last = Generations().get(connection, project_id, generation_id)
        links = _links(project_id, generation_id)
        root_id = connection.execute(select(links.c.id).order_by(links.c.depth.desc()).limit(1)).scalar_one()
        return Chain(root=Generations().get(connection, project_id, root_id), last=last)

    def items(self, connection: Connection, project_id: str, generation_id: str) -> list[Item]:
        """What went in and came out, from the root on."""
        return self._items(connection, project_id, generation_id, true())

    def inputs(self, connection: Connection, project_id: str, generation_id: str) -> list[Item]:
        """What went in for this answer: the same without its own output."""
        place = generation_items.c
        own_output = (place.generation_id == generation_id) & (place.role == "output")
        return self._items(connection, project_id, generation_id, ~own_output)

    def _items(
        self, connection: Connection, project_id: str, generation_id: str, wanted: ColumnElement[bool]
    ) -> list[Item]:
        links, place = _links(project_id, generation_id), generation_items.c
        rows = connection.execute(
            select(*(items.c[name] for name in Item.__slots__))
            .join(generation_items, place.item_id == items.c.id)
            .join(links, links.c.id == place.generation_id)
            .where(wanted)
            .order_by(links.c.depth.desc(), place.role, place.position)  # "input" before "output"
        )
        return [Item(**row._mapping) for row in rows]


def _links(project_id: str, generation_id: str) -> CTE:
    """Ids of the chain, the last one at depth 0."""
    own = generations.c
    first = select(own.id, own.parent_id, literal(0).label("depth")).where(
        own.project_id == project_id, own.id == generation_id
    )
    chain = first.cte("chain", recursive=True)
    further = select(own.id, own.parent_id, chain.c.depth + 1).where(
        own.project_id == project_id, own.id == chain.c.parent_id
    )
    return chain.union_all(further)
