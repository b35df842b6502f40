"""The repository of projects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from pennyweight.errors import NotFoundError
from pennyweight.store.identifiers import new_id
from pennyweight.store.pages import Page, page_of
from pennyweight.store.tables.projects import projects

if TYPE_CHECKING:
    from typing import Any

    from sqlalchemy import Connection, Row

    from pennyweight.store.pages import Cursor

DEFAULT_PROJECT = "default"
"""Exists from the start; the only one while there are no keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """Times are seconds since 1970."""

    id: str
    name: str
    created_at: int
    archived_at: int | None


class Projects:
    """Who owns what is stored."""

    def create(self, connection: Connection, *, name: str, now: int) -> Project:
        """A new project with an identifier of its own."""
        project = Project(id=new_id("proj_"), name=name, created_at=now, archived_at=None)
        connection.execute(insert(projects).values(id=project.id, name=name, created_at=now))
        return project

    def get(self, connection: Connection, project_id: str) -> Project:
        """Raises NotFoundError."""
        row = connection.execute(select(projects).where(projects.c.id == project_id)).one_or_none()
        if row is None:
            raise NotFoundError(f"No project has the id '{project_id:.80}'.", param="project_id")
        return _project(row)

    def named(self, connection: Connection, id_or_name: str) -> Project:
        """The project with this id, or the one active project with this name. Raises NotFoundError."""
        of = projects.c
        by_name = (of.name == id_or_name) & of.archived_at.is_(None)
        rows = connection.execute(select(projects).where((of.id == id_or_name) | by_name)).all()
        if len(rows) != 1:
            what = "No project has" if not rows else "Several projects have"
            raise NotFoundError(f"{what} the id or name '{id_or_name:.80}'; give an id.")
        return _project(rows[0])

    def page(self, connection: Connection, cursor: Cursor, *, archived: bool) -> Page[Project]:
        """All projects; archived ones if asked for."""
        wanted = select(projects)
        if not archived:
            wanted = wanted.where(projects.c.archived_at.is_(None))
        return page_of(connection, wanted, projects, cursor, _project)

    def rename(self, connection: Connection, project_id: str, *, name: str | None) -> Project:
        """None: leave it. Raises NotFoundError."""
        if name is not None:
            connection.execute(update(projects).where(projects.c.id == project_id).values(name=name))
        return self.get(connection, project_id)

    def archive(self, connection: Connection, project_id: str, *, now: int) -> Project:
        """Its keys are for the caller to revoke, in the same transaction. Raises NotFoundError."""
        active = (projects.c.id == project_id) & projects.c.archived_at.is_(None)
        connection.execute(update(projects).where(active).values(archived_at=now))
        return self.get(connection, project_id)


def _project(row: Row[Any]) -> Project:
    return Project(**row._mapping)
