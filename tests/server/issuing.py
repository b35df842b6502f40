"""Keys made as the command line makes them, in the database of a running server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pennyweight.answers.scopes import ADMIN_SCOPES, PROJECT_SCOPES
from pennyweight.core import Allowance
from pennyweight.store.organization import NewKey, Organization

if TYPE_CHECKING:
    from pennyweight.store.organization import IssuedKey
    from tests.server.live import LiveServer

ORGANIZATION = Organization()


def new_project(server: LiveServer, name: str = "a") -> str:
    """The id of a new project."""
    now = int(time.time())
    made = server.services.database.write_now(
        lambda link: ORGANIZATION.projects.create(link, name=name, now=now)
    )
    return made.id


def new_key(
    server: LiveServer,
    project: str = "default",
    *,
    scopes: frozenset[str] = PROJECT_SCOPES,
    expires_at: int | None = None,
    **limits: Any,
) -> IssuedKey:
    """A key of `project` with `limits` as `Allowance` has them."""
    wanted = NewKey(name="test", scopes=scopes, expires_at=expires_at)
    allowance = Allowance(subject="", **limits)
    now = int(time.time())
    return server.services.database.write_now(
        lambda link: ORGANIZATION.issue(link, project, wanted, now=now, allowance=allowance)
    )


def new_admin_key(server: LiveServer) -> str:
    """The secret of an admin key."""
    wanted = NewKey(name="admin", scopes=ADMIN_SCOPES)
    now = int(time.time())
    issued = server.services.database.write_now(lambda link: ORGANIZATION.issue_admin(link, wanted, now=now))
    return issued.secret.text
