"""The repository of service accounts: what keys of a project belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import insert, select, update

from pennyweight.errors import NotFoundError
from pennyweight.store.identifiers import new_id
from pennyweight.store.pages import Page, page_of
from pennyweight.store.tables.keys import service_accounts

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row, Select

    from pennyweight.store.pages import Cursor

Role = Literal["owner", "member", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    """`created_at` is in seconds since 1970. `role` is told and changes nothing here: scopes do."""

    id: str
    project_id: str
    name: str
    role: Role
    created_at: int


class ServiceAccounts:
    """Each belongs to one project and is found in no other."""

    def create(
        self, connection: Connection, project_id: str, *, name: str, role: Role, now: int
    ) -> ServiceAccount:
        """A new account, without a key."""
        account = ServiceAccount(
            id=new_id("svc_acct_"), project_id=project_id, name=name, role=role, created_at=now
        )
        values = {"id": account.id, "project_id": project_id, "name": name, "role": role, "created_at": now}
        connection.execute(insert(service_accounts).values(values))
        return account

    def get(self, connection: Connection, project_id: str, account_id: str) -> ServiceAccount:
        """Raises NotFoundError."""
        row = connection.execute(_wanted(project_id).where(service_accounts.c.id == account_id)).one_or_none()
        if row is None:
            raise NotFoundError(
                f"No service account has the id '{account_id:.80}'.", param="service_account_id"
            )
        return _account(row)

    def page(self, connection: Connection, project_id: str, cursor: Cursor) -> Page[ServiceAccount]:
        """Accounts that were not deleted."""
        return page_of(connection, _wanted(project_id), service_accounts, cursor, _account)

    def update(
        self, connection: Connection, project_id: str, account_id: str, *, name: str | None, role: Role | None
    ) -> ServiceAccount:
        """Change what is given. Raises NotFoundError."""
        own = self.get(connection, project_id, account_id)
        values = {"name": name or own.name, "role": role or own.role}
        connection.execute(update(service_accounts).where(service_accounts.c.id == account_id).values(values))
        return self.get(connection, project_id, account_id)

    def delete(self, connection: Connection, project_id: str, account_id: str, *, now: int) -> None:
        """Its keys are for the caller to revoke, in the same transaction. Raises NotFoundError."""
        self.get(connection, project_id, account_id)
        connection.execute(
            update(service_accounts).where(service_accounts.c.id == account_id).values(deleted_at=now)
        )


def _wanted(project_id: str) -> Select[Any]:
    of = service_accounts.c
    columns = select(of.id, of.project_id, of.name, of.role, of.created_at)
    return columns.where(of.project_id == project_id, of.deleted_at.is_(None))


def _account(row: Row[Any]) -> ServiceAccount:
    return ServiceAccount(**row._mapping)
