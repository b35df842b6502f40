"""How a file leaves its vector stores: at once for everybody; its rows are removed by `Removal`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import update

from pennyweight.store.tables.vector_stores import vector_store_files as table
from pennyweight.store.vector_store import FileState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection

_ENDS_WORK: Final = {"lease_expires_at": None, "fence": table.c.fence + 1}  # its worker finds its lease lost


def leave(connection: Connection, which: ColumnElement[bool]) -> None:
    """Files in stores are deleted from them."""
    leaving = update(table).where(which, table.c.state != FileState.DELETING)
    connection.execute(leaving.values(state=FileState.DELETING, **_ENDS_WORK))


def cancel(connection: Connection, which: ColumnElement[bool]) -> None:
    """Files that are not read yet never will be; they are still told of."""
    unread = update(table).where(which, table.c.state == FileState.IN_PROGRESS)
    connection.execute(unread.values(state=FileState.CANCELLED, **_ENDS_WORK))


def leave_all_stores(connection: Connection, project_id: str, file_ids: Sequence[str]) -> None:
    """The files themselves are deleted."""
    leave(connection, (table.c.project_id == project_id) & table.c.id.in_(file_ids))
