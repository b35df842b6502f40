"""The repository of projects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from pennyweight.errors import NotFoundError
from pennyweight.store.identifiers import new_id
from pennyweight.store.tables.projects import projects

if TYPE_CHECKING:
    from sqlalchemy import Connection

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
            raise NotFoundError(f"No project has the id '{project_id}'.")
        return Project(**row._mapping)
