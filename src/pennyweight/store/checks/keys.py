"""Keys: whose they are, whether they could still open what is closed, and that no secret stands in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, get_args

from sqlalchemy import func, select

from pennyweight.store.key_secrets import PREFIXES, SHOWN
from pennyweight.store.service_accounts import Role
from pennyweight.store.tables.keys import api_keys, service_accounts
from pennyweight.store.tables.projects import projects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Row, Select

    from pennyweight.store.checks.check import Finding, Scope

_DIGEST: Final = re.compile("[0-9a-f]{64}")


def check_keys(scope: Scope) -> Iterator[Finding]:
    """Archived projects and deleted accounts have no key that opens anything."""
    of = api_keys.c
    owned: Select[Any] = (
        select(
            *(of[name] for name in ("id", "project_id", "digest", "redacted", "scopes", "revoked_at")),
            service_accounts.c.project_id.label("account_project"),
            service_accounts.c.deleted_at,
            projects.c.archived_at,
        )
        .outerjoin(service_accounts, service_accounts.c.id == of.service_account_id)
        .outerjoin(projects, projects.c.id == of.project_id)
    )
    for row in scope.connection.execute(owned):
        for problem in _problems(row):
            yield f"{row.id} {problem}"
    odd = select(func.count()).where(service_accounts.c.role.not_in(get_args(Role)))
    if number := scope.connection.execute(odd).scalar_one():
        yield f"{number} service accounts have an unknown role"


def _problems(row: Row[Any]) -> Iterator[str]:
    if row.account_project != row.project_id:
        yield f"is of {row.project_id}, its service account of {row.account_project}"
    if row.revoked_at is None and row.archived_at is not None:
        yield "still opens an archived project"
    if row.revoked_at is None and row.deleted_at is not None:
        yield "still opens what a deleted service account did"
    if not _DIGEST.fullmatch(row.digest):
        yield "has a digest that is no SHA-256"
    prefix = PREFIXES["admin" if row.project_id is None else "project"]
    if not (row.redacted.startswith(f"{prefix}...") and len(row.redacted) == len(prefix) + 3 + SHOWN):
        yield f"is shown as {row.redacted[:12]!r}, which is not how a key of its kind is shown"
    if row.scopes.split(" ") != sorted(set(row.scopes.split())):
        yield f"has scopes that cannot be read, {row.scopes!r}"
