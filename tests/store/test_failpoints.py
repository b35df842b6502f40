"""Every failpoint is reached by a real process, which dies there; what it acknowledged is still there."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import pennyweight
from pennyweight.store.backup import back_up
from pennyweight.store.blobs import BlobStore, stored_blobs
from pennyweight.store.data_folder import DataFolder
from pennyweight.store.database import Database
from pennyweight.store.failpoints import FAILPOINTS, failpoint
from pennyweight.store.projects import Projects
from pennyweight.store.restore import restore
from tests.jobs import places
from tests.store.test_database import count

if TYPE_CHECKING:
    from tests.store.postgres_server import PostgresServer

# What a process does until it dies; it prints each thing it may rely on.
_WRITING = """
import sys
from pennyweight.store.database import Database
from pennyweight.store.projects import Projects
database = Database.open(sys.argv[1])
for number in range(10):
    database.write_now(lambda c: Projects().create(c, name=str(number), now=1))
    print("written", flush=True)
"""
_MIGRATING = """
import sys
from pennyweight.store import migrate, migrations
from pennyweight.store.database import Database
migrations.REVISIONS, migrations.HEAD = (*migrations.REVISIONS, "9998"), "9998"
migrate.upgrade = lambda connection: None
Database.open(sys.argv[1])
"""
_STORING = """
import sys
from pathlib import Path
from pennyweight.store.blob import BlobUses
from pennyweight.store.backup import back_up
from pennyweight.store.blobs import BlobStore
from pennyweight.store.database import Database
database, uses = Database.open(sys.argv[1]), BlobUses()
blobs = BlobStore(Path(database.url.database).parent, database)
with blobs.receive("default", max_bytes=9) as incoming:
    incoming.write(b"abc")
    blob = incoming.finish()
    database.write_now(lambda c: uses.add(c, blob, owner_id="file-a", now=1))
database.write_now(lambda c: uses.drop(c, "default", "file-a"))
blobs.collect(blob)
"""
_BACKING_UP = """
import sys
from pathlib import Path
from pennyweight.store.backup import back_up
from pennyweight.store.data_folder import DataFolder
folder = DataFolder.open(str(Path(sys.argv[1].removeprefix("sqlite:///")).parent))
back_up(folder, folder.database_url, folder.path / "backup")
"""
_RESTORING = (
    _BACKING_UP
    + """
from pennyweight.store.restore import restore
new = DataFolder.open(str(folder.path / "restored"))
restore(folder.path / "backup", new, new.database_url)
"""
)
_MOVING = """
import sys
from pennyweight.store.backup import back_up
from pennyweight.store.data_folder import DataFolder
from pennyweight.store.restore import restore
folder = DataFolder.open(sys.argv[1])
back_up(folder, sys.argv[2], folder.path / "backup")
restore(folder.path / "backup", DataFolder.open(sys.argv[3]), sys.argv[4])
"""
_PROGRAMS = {
    "backup.placed": _BACKING_UP,
    "database.restored": _RESTORING,
    "blob.synced": _STORING,
    "blob.placed": _STORING,
    "blob.removed": _STORING,
    "database.committed": _WRITING,
    "database.copied": _MIGRATING,
    "database.migrated": _MIGRATING,
}


def killed(program: str, failpoint: str, *arguments: str) -> list[str]:
    """The lines a process printed before it died at `failpoint`."""
    environ = os.environ | {"PENNYWEIGHT_FAILPOINT": failpoint}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, env=environ, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout.splitlines()


def test_every_failpoint_has_a_test_that_kills_there() -> None:
    listed = [name for names in vars(places).values() if isinstance(names, tuple) for name in names]
    assert sorted(listed) == sorted(FAILPOINTS), "each in one list"
    assert set(places.PROGRAMS) <= set(_PROGRAMS)


def test_every_write_names_its_failpoint() -> None:
    """One without a name would be killed at `database.committed` alone, which proves nothing of it."""
    writes = [
        (path.name, call.lineno, {keyword.arg for keyword in call.keywords})
        for path in Path(pennyweight.__file__).parent.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and _is_write(call.func)
    ]
    assert len(writes) > 80
    assert [place for *place, keywords in writes if "at" not in keywords] == []


def _is_write(called: ast.expr) -> bool:
    """`write_now` of anything, or `write` of something called a database."""
    if not isinstance(called, ast.Attribute):
        return False
    owner = called.value
    name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
    return called.attr == "write_now" or (called.attr == "write" and name in ("database", "_database"))


@pytest.mark.parametrize("name", _PROGRAMS)
def test_it_dies_there_and_the_next_start_works(name: str, sqlite_url: str, tmp_path: Path) -> None:
    killed(_PROGRAMS[name], name, sqlite_url)
    with Database.open(sqlite_url) as database:
        assert database.read_now(count) >= 1
        BlobStore(tmp_path, database).sweep()
    assert not list(stored_blobs(tmp_path / "blobs"))
    assert not list((tmp_path / "incoming").iterdir())


@pytest.mark.parametrize("name", places.POSTGRESQL)
def test_killed_between_postgresql_and_a_file(name: str, postgres: PostgresServer, tmp_path: Path) -> None:
    """A backup is whole or not there, and so are the rows that one restores."""
    source, target = postgres.new_database(), postgres.new_database()
    folder, new = DataFolder.open(str(tmp_path / "old")), DataFolder.open(str(tmp_path / "new"))
    with Database.open(source) as database:
        database.write_now(lambda c: Projects().create(c, name="kept", now=1))
    killed(_MOVING, name, str(folder.path), source, str(new.path), target)
    backup = folder.path / "backup"
    with Database.open(target) as database:
        rows = database.read_now(count)
    if name == "backup.filled":
        assert (backup.exists(), rows) == (False, 1)
        back_up(folder, source, backup)
        restore(backup, new, target)
    with Database.open(target) as database:
        assert database.read_now(count) == 2


@pytest.mark.parametrize("hit", [1, 4])
def test_nothing_acknowledged_is_lost(hit: int, sqlite_url: str) -> None:
    printed = killed(_WRITING, f"database.committed@{hit}", sqlite_url)
    assert len(printed) == hit - 1
    with Database.open(sqlite_url) as database:
        assert database.read_now(count) == 1 + hit  # the last one was durable, though nobody was told


def test_without_the_variable_nothing_happens() -> None:
    failpoint("database.committed")


def test_an_unlisted_name_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        failpoint("no.such.place")
