"""Who made what is answered later, as they stand now: what was allowed then may not be any more."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pennyweight.answers.principal import Principal
from pennyweight.answers.scopes import EVERY_SCOPE, grants
from pennyweight.store.allowances import Allowances
from pennyweight.store.keys import Keys
from pennyweight.store.projects import Projects

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from pennyweight.store.keys import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why nothing more is asked on behalf of a maker: a code and a sentence for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """A project and, if there was one, the key that asked for something. `principal` has today's limits."""

    principal: Principal
    is_archived: bool
    key: Key | None

    def stop(self, noun: str, scopes: Iterable[str]) -> Stop | None:
        """Why nothing may be asked now for what is called `noun` and needs `scopes`; None: go on."""
        if self.is_archived:
            return Stop(code="project_archived", message=f"The project of this {noun} was archived.")
        if self.key is None:
            return None
        made = f"The API key that made this {noun}"
        if self.key.revoked_at is not None:
            return Stop(code="api_key_revoked", message=f"{made} was revoked.")
        if self.key.expires_at is not None and self.key.expires_at <= time.time():
            return Stop(code="api_key_expired", message=f"{made} has expired.")
        for scope in scopes:
            if not grants(self.key.scopes, scope):
                message = f"{made} no longer has the scope {scope}."
                return Stop(code="insufficient_permissions", message=message)
        return None


def maker_of(connection: Connection, project_id: str, key_id: str | None) -> Maker:
    """As they are now. Raises NotFoundError for a key or project that never was."""
    key = None if key_id is None else Keys().find(connection, key_id)
    subjects = (project_id,) if key is None else (key.id, project_id)
    principal = Principal(
        project=project_id,
        key=key_id,
        scopes=EVERY_SCOPE if key is None else key.scopes,
        allowances=Allowances().of(connection, subjects),
    )
    is_archived = Projects().get(connection, project_id).archived_at is not None
    return Maker(principal=principal, is_archived=is_archived, key=key)
