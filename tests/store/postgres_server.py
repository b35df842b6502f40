"""A PostgreSQL of the tests' own: Debian's programs, an unprivileged user, a free port, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import NullPool, create_engine, text

from pennyweight.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE_S = 60.0
_UNPRIVILEGED = ("postgres", "nobody")


@dataclass(slots=True, kw_only=True)
class PostgresServer:
    """`new_database` makes a database with our schema; `stop` and `start` are an outage."""

    programs: Path
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    _databases: list[str] = field(default_factory=list)

    def url(self, database: str) -> str:
        return f"postgresql://penny@127.0.0.1:{self.port}/{database}"

    def new_database(self, *, migrated: bool = True) -> str:
        """The URL of a fresh database."""
        if not self._databases:
            self._administer("CREATE DATABASE migrated")
            Database.open(self.url("migrated")).close()
        name = f"test_{len(self._databases)}"
        self._databases.append(name)
        self._administer(f"CREATE DATABASE {name}" + (" TEMPLATE migrated" if migrated else ""))
        return self.url(name)

    def start(self) -> None:
        """Start and wait until it answers."""
        options = ["-D", "data", "-k", str(self.folder), "-p", str(self.port), "-c", "fsync=off"]
        log = (self.folder / "log").open("ab")
        command = [str(self.programs / "postgres"), *options, "-c", "listen_addresses=127.0.0.1"]
        self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, **_identity())
        log.close()
        ready = [str(self.programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        deadline = time.monotonic() + _PATIENCE_S
        while subprocess.run(ready, check=False).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text(errors="replace"))
            time.sleep(0.05)

    def stop(self) -> None:
        """Cut every connection and end it."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(_PATIENCE_S)
            self.process = None

    def _administer(self, statement: str) -> None:
        url = self.url("postgres").replace("postgresql:", "postgresql+psycopg:")
        engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A running server; the test is skipped where there cannot be one."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not installed:
        pytest.skip("PostgreSQL is not installed (Debian's package postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="pennyweight-postgres-"))
    try:
        if identity := _identity():
            os.chown(folder, identity["user"], identity["group"])
        command = [str(installed[-1].with_name("initdb")), "-D", "data", "-U", "penny", "-A", "trust", "-N"]
        made = subprocess.run(
            [*command, "-E", "UTF8", "--locale=C"], cwd=folder, check=False, capture_output=True, **identity
        )
        if made.returncode != 0:
            pytest.skip(f"PostgreSQL cannot be started here: {made.stderr.decode(errors='replace')[-300:]}")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        server = PostgresServer(programs=installed[-1].parent, folder=folder, port=port)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _identity() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: who it runs as instead."""
    if os.geteuid() != 0:
        return {}
    known = {user.pw_name: user for user in pwd.getpwall()}
    for name in _UNPRIVILEGED:
        if name in known:
            return {"user": known[name].pw_uid, "group": known[name].pw_gid, "extra_groups": []}
    pytest.skip("there is no unprivileged user to run PostgreSQL as")
