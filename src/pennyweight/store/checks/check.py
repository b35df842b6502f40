"""The shape of a check: it looks at one moment of the store and yields what is wrong, a sentence each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from pennyweight.store.database import Database

Finding = str
"""One thing that is wrong, with the id of what it is wrong with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """`connection` sees one moment; `database` sees what has become of it since; blobs are in `folder`."""

    connection: Connection
    database: Database
    folder: Path


Check = Callable[[Scope], Iterator[Finding]]
