"""What concerns several repositories: keys come with an account; archives and deletions take keys along."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pennyweight.core import Allowance
from pennyweight.errors import InvalidRequestError
from pennyweight.store.allowances import Allowances
from pennyweight.store.key_secrets import new_secret
from pennyweight.store.keys import Keys
from pennyweight.store.projects import DEFAULT_PROJECT, Projects
from pennyweight.store.service_accounts import ServiceAccounts

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

    from pennyweight.store.key_secrets import KeySecret
    from pennyweight.store.keys import Key
    from pennyweight.store.projects import Project
    from pennyweight.store.service_accounts import Role, ServiceAccount


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """How a key is wanted. `expires_at` is in seconds since 1970; None: it does not expire."""

    name: str
    scopes: Collection[str]
    expires_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A key with its secret, which nobody will see again."""

    key: Key
    secret: KeySecret


class Organization:
    """Each method is one transaction's work; `now` is in seconds since 1970."""

    def __init__(self) -> None:
        self.projects = Projects()
        self.accounts = ServiceAccounts()
        self.keys = Keys()
        self.allowances = Allowances()

    def issue(
        self,
        connection: Connection,
        project_id: str,
        wanted: NewKey,
        *,
        now: int,
        account: ServiceAccount | None = None,
        allowance: Allowance | None = None,
    ) -> IssuedKey:
        """A key of `account`, by default of a new one of the same name, with limits of its own.

        Raises NotFoundError or InvalidRequestError for a project that cannot have keys.
        """
        self.check_active(connection, project_id)
        if account is None:
            account = self.accounts.create(connection, project_id, name=wanted.name, role="member", now=now)
        secret = new_secret("project")
        key = self.keys.create(
            connection,
            project_id,
            secret=secret,
            name=wanted.name,
            scopes=wanted.scopes,
            now=now,
            expires_at=wanted.expires_at,
            service_account_id=account.id,
        )
        if allowance is not None:
            self.allowances.put(connection, replace(allowance, subject=key.id))
        return IssuedKey(key=key, secret=secret)

    def issue_admin(self, connection: Connection, wanted: NewKey, *, now: int) -> IssuedKey:
        """An admin key."""
        secret = new_secret("admin")
        key = self.keys.create(
            connection,
            None,
            secret=secret,
            name=wanted.name,
            scopes=wanted.scopes,
            now=now,
            expires_at=wanted.expires_at,
        )
        return IssuedKey(key=key, secret=secret)

    def create_account(
        self, connection: Connection, project_id: str, *, name: str, role: Role, now: int
    ) -> ServiceAccount:
        """An account without a key. Raises as `issue` does."""
        self.check_active(connection, project_id)
        return self.accounts.create(connection, project_id, name=name, role=role, now=now)

    def delete_account(self, connection: Connection, project_id: str, account_id: str, *, now: int) -> None:
        """The account and its keys. Raises NotFoundError."""
        self.accounts.delete(connection, project_id, account_id, now=now)
        self.keys.revoke_of_account(connection, account_id, now=now)

    def archive(self, connection: Connection, project_id: str, *, now: int) -> Project:
        """No key of the project opens anything any more; what it stored stays.

        Raises NotFoundError, and InvalidRequestError for the default project.
        """
        if project_id == DEFAULT_PROJECT:
            raise InvalidRequestError("The default project cannot be archived.", param="project_id")
        self.keys.revoke_of_project(connection, project_id, now=now)
        return self.projects.archive(connection, project_id, now=now)

    def allowance(self, connection: Connection, project_id: str) -> Allowance:
        """How much a project may use, be it limited or not. Raises NotFoundError."""
        self.projects.get(connection, project_id)
        return next(iter(self.allowances.of(connection, (project_id,))), Allowance(subject=project_id))

    def check_active(self, connection: Connection, project_id: str) -> None:
        """Raises NotFoundError, and InvalidRequestError for an archived project."""
        if self.projects.get(connection, project_id).archived_at is not None:
            raise InvalidRequestError(f"The project '{project_id}' is archived.", param="project_id")
