"""A stored key, with its limits and its project's, as the principal it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.answers.principal import DEFAULT_PROJECT, Principal
from pennyweight.store.allowances import Allowances

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pennyweight.store.keys import Key


def principal_of(connection: Connection, key: Key) -> Principal:
    """Reads the limits; whether the key may be used is for the caller to know."""
    if key.project_id is None:
        return Principal(project=DEFAULT_PROJECT, key=key.id, scopes=key.scopes)
    allowances = Allowances().of(connection, (key.id, key.project_id))
    return Principal(project=key.project_id, key=key.id, scopes=key.scopes, allowances=allowances)
