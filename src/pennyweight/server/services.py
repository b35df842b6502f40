"""What the routes share beside the engine: the store and what is built on it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.config import Settings
    from pennyweight.store.blobs import BlobStore
    from pennyweight.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Handed to the routes that need one of them."""

    database: Database
    blobs: BlobStore


@contextmanager
def open_services(settings: Settings) -> Iterator[Services]:
    """Open the data folder for one server, and close it afterwards. Raises ConfigError, StorageFullError.

    The store is imported here: a tenth of a second that happens while the server already listens.
    """
    from pennyweight.store.blobs import BlobStore
    from pennyweight.store.data_folder import DataFolder
    from pennyweight.store.database import Database

    folder = DataFolder.open(settings.data)
    with folder.served(), Database.open(settings.database or folder.database_url) as database:
        blobs = BlobStore(folder.path, database)
        blobs.sweep()
        yield Services(database=database, blobs=blobs)
