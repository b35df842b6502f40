"""The repository of assistants."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from pennyweight.errors import NotFoundError
from pennyweight.store.idempotent_answers import forget_answers
from pennyweight.store.pages import page_of
from pennyweight.store.tables.assistants import assistants as table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement, Connection, Row

    from pennyweight.store.pages import Cursor, Page

_COLUMNS = [table.c[name] for name in ("id", "settings", "created_at")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assistant:
    """`settings` are the fields that people gave; the time is in seconds since 1970."""

    id: str
    settings: Mapping[str, Any]
    created_at: int


class Assistants:
    """What belongs to another project is not found."""

    def add(self, connection: Connection, project_id: str, new: Assistant) -> None:
        """Store a new one."""
        values = {"id": new.id, "project_id": project_id, "created_at": new.created_at}
        connection.execute(insert(table).values(**values, settings=json.dumps(dict(new.settings))))

    def get(self, connection: Connection, project_id: str, assistant_id: str) -> Assistant:
        """Raises NotFoundError."""
        wanted = select(*_COLUMNS).where(*_named(project_id, assistant_id))
        row = connection.execute(wanted).one_or_none()
        if row is None:
            raise _not_found(assistant_id)
        return _made(row)

    def change(
        self, connection: Connection, project_id: str, assistant_id: str, changes: Mapping[str, Any]
    ) -> Assistant:
        """Replace some of its settings; None takes one away. Raises NotFoundError."""
        merged = {**self.get(connection, project_id, assistant_id).settings, **changes}
        kept = {name: value for name, value in merged.items() if value is not None}
        connection.execute(
            update(table).where(*_named(project_id, assistant_id)).values(settings=json.dumps(kept))
        )
        return self.get(connection, project_id, assistant_id)

    def page(self, connection: Connection, project_id: str, cursor: Cursor) -> Page[Assistant]:
        """One page of the project's."""
        wanted = select(*_COLUMNS).where(table.c.project_id == project_id)
        return page_of(connection, wanted, table, cursor, _made)

    def delete(self, connection: Connection, project_id: str, assistant_id: str) -> None:
        """Its runs stay. Raises NotFoundError."""
        gone = connection.execute(delete(table).where(*_named(project_id, assistant_id)))
        if gone.rowcount == 0:
            raise _not_found(assistant_id)
        forget_answers(connection, [assistant_id])


def _made(row: Row[Any]) -> Assistant:
    return Assistant(id=row.id, settings=json.loads(row.settings), created_at=row.created_at)


def _named(project_id: str, assistant_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return table.c.project_id == project_id, table.c.id == assistant_id


def _not_found(assistant_id: str) -> NotFoundError:
    return NotFoundError(f"No assistant found with id '{assistant_id:.80}'.", param="assistant_id")
