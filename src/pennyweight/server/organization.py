"""What the routes of `/v1/organization` share: one database, one clock, the reading of bodies and queries."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pennyweight.server.body import read_object
from pennyweight.server.organization_fields import read_query
from pennyweight.store.organization import Organization
from pennyweight.store.pages import Cursor

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from pennyweight.answers.field_tables import FieldTables
    from pennyweight.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """Where keys are given out."""

    database: Database
    max_body_bytes: int
    organization: Organization = field(default_factory=Organization)
    clock: Callable[[], float] = time.time

    @property
    def now(self) -> int:
        """Seconds since 1970."""
        return int(self.clock())

    async def fields(self, request: Request, table: FieldTables) -> dict[str, Any]:
        """The body, checked; an empty one has no fields."""
        if request.headers.get("content-length") == "0":
            return table.read({})
        return table.read(await read_object(request, limit=self.max_body_bytes))

    def expiry(self, fields: dict[str, Any]) -> int | None:
        """When a key made or changed now expires."""
        seconds: int | None = fields.get("expires_in_seconds")
        return None if seconds is None else self.now + seconds


def cursor_of(request: Request) -> Cursor:
    """The page that a list is asked for. Raises ParameterError."""
    query = read_query(dict(request.query_params))
    return Cursor(after=query.get("after"), limit=query.get("limit", 20), order=query.get("order", "asc"))


def wants_archived(request: Request) -> bool:
    """Whether a list of projects shall have the archived ones."""
    return bool(read_query(dict(request.query_params)).get("include_archived", False))
