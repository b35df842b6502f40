"""`verify`: every promise of the store derived anew from what is there. Also beside a running server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from pennyweight.store.checks import CHECKS, Scope

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from pennyweight.store.checks import Check
    from pennyweight.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one check found; nothing is good."""

    name: str
    findings: list[str]


def verify(database: Database, folder: Path) -> list[Verdict]:
    """A verdict for each check, all on the same moment. `folder` is the data folder."""

    def look(connection: Connection) -> list[Verdict]:
        scope = Scope(connection=connection, database=database, folder=folder)
        return [Verdict(name=name, findings=_findings(check, scope)) for name, check in CHECKS]

    return database.read_now(look)


def _findings(check: Check, scope: Scope) -> list[str]:
    try:
        return list(check(scope))
    except DBAPIError as error:  # a damaged file may not even be read
        return [f"the database cannot be read: {error.orig}"]
