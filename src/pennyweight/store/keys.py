"""The repository of keys: of a project's service accounts, and of administrators (`project_id` None)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, exists, insert, select, update

from pennyweight.errors import NotFoundError
from pennyweight.store.identifiers import new_id
from pennyweight.store.pages import Page, page_of
from pennyweight.store.tables.keys import api_keys
from pennyweight.store.tables.projects import projects

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement, Connection

    from pennyweight.store.key_secrets import KeySecret
    from pennyweight.store.pages import Cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Times are seconds since 1970. A revoked key is kept: rows of usage name it."""

    id: str
    project_id: str | None
    service_account_id: str | None
    name: str
    redacted: str
    scopes: frozenset[str]
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    last_used_at: int | None


class Keys:
    """Every method that is given a project finds keys of that project alone; None: admin keys alone."""

    def create(
        self,
        connection: Connection,
        project_id: str | None,
        *,
        secret: KeySecret,
        name: str,
        scopes: Collection[str],
        now: int,
        expires_at: int | None = None,
        service_account_id: str | None = None,
    ) -> Key:
        """A new key; its secret is not stored."""
        key = Key(
            id=new_id("key_"),
            project_id=project_id,
            service_account_id=service_account_id,
            name=name,
            redacted=secret.redacted,
            scopes=frozenset(scopes),
            created_at=now,
            expires_at=expires_at,
            revoked_at=None,
            last_used_at=None,
        )
        connection.execute(
            insert(api_keys).values(
                id=key.id,
                project_id=project_id,
                service_account_id=service_account_id,
                name=name,
                digest=secret.digest,
                redacted=secret.redacted,
                scopes=_scopes_text(scopes),
                created_at=now,
                expires_at=expires_at,
            )
        )
        return key

    def any(self, connection: Connection) -> bool:
        """Whether a key was ever created: from then on every request needs one."""
        return bool(connection.execute(select(exists(select(api_keys.c.id)))).scalar())

    def by_digest(self, connection: Connection, digest: str) -> Key | None:
        """The usable key with this secret; whether it has expired is for the caller's clock to say."""
        wanted = (
            select(api_keys)
            .outerjoin(projects, projects.c.id == api_keys.c.project_id)
            .where(
                api_keys.c.digest == digest, api_keys.c.revoked_at.is_(None), projects.c.archived_at.is_(None)
            )
        )
        row = connection.execute(wanted).one_or_none()
        return None if row is None else _key(row)

    def get(self, connection: Connection, project_id: str | None, key_id: str) -> Key:
        """Raises NotFoundError, for a revoked key too."""
        wanted = select(api_keys).where(api_keys.c.id == key_id, _in(project_id))
        row = connection.execute(wanted.where(api_keys.c.revoked_at.is_(None))).one_or_none()
        if row is None:
            raise NotFoundError(f"No API key has the id '{key_id:.80}'.", param="key_id")
        return _key(row)

    def page(self, connection: Connection, project_id: str | None, cursor: Cursor) -> Page[Key]:
        """Keys that are not revoked."""
        wanted = select(api_keys).where(_in(project_id), api_keys.c.revoked_at.is_(None))
        return page_of(connection, wanted, api_keys, cursor, _key)

    def everything(self, connection: Connection) -> list[Key]:
        """Keys of all projects and administrators, revoked ones included, oldest first."""
        return [_key(row) for row in connection.execute(select(api_keys).order_by(api_keys.c.created_at))]

    def find(self, connection: Connection, key_id: str) -> Key:
        """A key of whatever project, for whoever owns the database. Raises NotFoundError."""
        row = connection.execute(select(api_keys).where(api_keys.c.id == key_id)).one_or_none()
        if row is None:
            raise NotFoundError(f"No API key has the id '{key_id:.80}'; `penny keys list` shows them all.")
        return _key(row)

    def update(
        self,
        connection: Connection,
        project_id: str | None,
        key_id: str,
        *,
        scopes: Collection[str] | None,
        expires_at: int | None,
    ) -> Key:
        """Change what is given. Raises NotFoundError."""
        self.get(connection, project_id, key_id)
        values: dict[str, Any] = {}
        if scopes is not None:
            values["scopes"] = _scopes_text(scopes)
        if expires_at is not None:
            values["expires_at"] = expires_at
        if values:
            connection.execute(
                update(api_keys).where(api_keys.c.id == key_id, _in(project_id)).values(values)
            )
        return self.get(connection, project_id, key_id)

    def revoke(self, connection: Connection, project_id: str | None, key_id: str, *, now: int) -> None:
        """From the commit on the key opens nothing. Raises NotFoundError."""
        self.get(connection, project_id, key_id)
        _revoke(connection, api_keys.c.id == key_id, now)

    def revoke_of_project(self, connection: Connection, project_id: str, *, now: int) -> None:
        """Revoke every key of a project."""
        _revoke(connection, api_keys.c.project_id == project_id, now)

    def revoke_of_account(self, connection: Connection, account_id: str, *, now: int) -> None:
        """Revoke every key of a service account."""
        _revoke(connection, api_keys.c.service_account_id == account_id, now)

    def used(self, connection: Connection, times: dict[str, int]) -> None:
        """Write down when keys (by id) were last used."""
        for key_id, last_used_at in times.items():
            connection.execute(
                update(api_keys).where(api_keys.c.id == key_id).values(last_used_at=last_used_at)
            )


def _in(project_id: str | None) -> ColumnElement[bool]:
    return api_keys.c.project_id.is_(None) if project_id is None else api_keys.c.project_id == project_id


def _revoke(connection: Connection, which: ColumnElement[bool], now: int) -> None:
    usable = api_keys.c.revoked_at.is_(None)
    connection.execute(update(api_keys).where(which, usable).values(revoked_at=now))


def _scopes_text(scopes: Collection[str]) -> str:
    return " ".join(sorted(scopes))


def _key(row: Row[Any]) -> Key:
    return Key(
        id=row.id,
        project_id=row.project_id,
        service_account_id=row.service_account_id,
        name=row.name,
        redacted=row.redacted,
        scopes=frozenset(row.scopes.split()),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
