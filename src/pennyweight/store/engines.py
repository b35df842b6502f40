"""The connections of one database: one that writes, several that read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sqlalchemy import URL, Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """What differs between kinds of database.

    `gate` is held while the schema is looked at and changed: by one process at a time. `copy` keeps the
    database as it is before a migration to the named revision, where that is ours to do.
    """

    url: URL
    writing: Engine
    reading: Engine
    gate: Callable[[], AbstractContextManager[None]]
    copy: Callable[[str], None]

    def dispose(self) -> None:
        """Close every connection."""
        self.writing.dispose()
        self.reading.dispose()
