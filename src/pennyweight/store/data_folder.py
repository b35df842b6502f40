"""The data folder: the database's file and the blobs, for the eyes of their owner, served by one process."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pennyweight.errors import ConfigError
from pennyweight.store.durability import make_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DATABASE_NAME = "pennyweight.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFolder:
    """`path` exists, and its mode is 0700 if we made it."""

    path: Path

    @classmethod
    def open(cls, path: str | None, environ: Mapping[str, str] | None = None) -> Self:
        """The folder `path`, made if it is not there; None: the default one. Raises ConfigError."""
        folder = default_path(os.environ if environ is None else environ) if path is None else Path(path)
        try:
            make_folder(folder.absolute())
        except OSError as error:
            raise ConfigError(
                f"the data folder {folder} cannot be made: {error.strerror}; choose another with --data"
            ) from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(f"the data folder {folder} cannot be written to; choose another with --data")
        return cls(path=folder.absolute())

    @classmethod
    def find(cls, path: str | None, environ: Mapping[str, str] | None = None) -> Self:
        """The folder `path`, which a server has used; None: the default one. Raises ConfigError."""
        folder = default_path(os.environ if environ is None else environ) if path is None else Path(path)
        if not (folder / "serve.lock").exists() and not (folder / DATABASE_NAME).exists():
            if path is None:
                raise ConfigError(
                    f"nothing is kept yet: no server has used the default folder {folder}; "
                    "start one with `penny serve`, or name its folder with --data"
                )
            raise ConfigError(f"{folder} is no data folder: no server has used it; name another with --data")
        return cls(path=folder.absolute())

    @property
    def database_url(self) -> str:
        """The database this folder holds; with PostgreSQL the folder holds the blobs alone."""
        from sqlalchemy import URL

        return URL.create("sqlite", database=str(self.path / DATABASE_NAME)).render_as_string()

    @property
    def kept_database_url(self) -> str:
        """As `database_url`, of a database that is there. Raises ConfigError."""
        if not (self.path / DATABASE_NAME).exists():
            raise ConfigError(
                f"the data folder {self.path} has no database: if its server keeps the rows in PostgreSQL, "
                "name that with --database; otherwise name another folder with --data"
            )
        return self.database_url

    @property
    def is_served(self) -> bool:
        """Whether a server uses the folder now."""
        try:
            with self.served():
                return False
        except ConfigError:
            return True

    @contextmanager
    def served(self) -> Iterator[None]:
        """Hold the folder for a server. Raises ConfigError if another one does.

        The lock ends with the process, however it ends.
        """
        descriptor = os.open(self.path / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"another server uses the data folder {self.path}; stop it, or choose another with --data"
            ) from error


def default_path(environ: Mapping[str, str]) -> Path:
    """`$XDG_DATA_HOME/pennyweight`, by default under `~/.local/share`; it need not exist."""
    base = environ.get("XDG_DATA_HOME", "")
    # a relative value is to be ignored (XDG Base Directory Specification)
    data = Path(base) if os.path.isabs(base) else Path.home() / ".local" / "share"
    return data / "pennyweight"
