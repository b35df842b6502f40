"""A disk that is full, a folder that is not writable: refused, nothing half-done, and well again after."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pennyweight.errors import ConfigError, StorageFullError
from pennyweight.server.envelope import error_response
from pennyweight.store.backup import back_up
from pennyweight.store.blob import BlobUses
from pennyweight.store.blobs import BlobStore, stored_blobs
from pennyweight.store.data_folder import DATABASE_NAME, DataFolder
from pennyweight.store.database import Database
from pennyweight.store.pages import Cursor
from pennyweight.store.projects import DEFAULT_PROJECT, Projects
from pennyweight.store.restore import restore
from pennyweight.store.sqlite import copy_database
from pennyweight.store.verify import verify
from tests.store.filled import fill
from tests.store.small_disk import fill_up, small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

DISK_BYTES = 3 * 2**20


@pytest.fixture(name="small_disk")
def _small_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", num_bytes=DISK_BYTES) as disk:
        yield disk


def creation(connection: Connection) -> str:
    return Projects().create(connection, name="x" * 50_000, now=1).id


def test_a_full_disk_refuses_and_is_well_again(small_disk: Path) -> None:
    folder = DataFolder.open(str(small_disk / "data"))
    with Database.open(folder.database_url) as database:
        blobs = BlobStore(folder.path, database)
        fill(database, blobs)
        before = database.write_now(creation)
        filler = fill_up(small_disk)
        with pytest.raises(StorageFullError):
            database.write_now(creation)
        with pytest.raises(StorageFullError):
            fill(database, blobs)
        assert database.read_now(lambda c: Projects().get(c, before).id) == before
        assert all(not verdict.findings for verdict in verify(database, folder.path))
        filler.unlink()
        after = database.write_now(creation)
        fill(database, blobs)
    with Database.open(folder.database_url) as database:
        assert database.read_now(lambda c: Projects().get(c, after).id) == after
        assert all(not verdict.findings for verdict in verify(database, folder.path))
        assert len(list(stored_blobs(folder.path / "blobs"))) == 2
    assert list((folder.path / "incoming").iterdir()) == []


def test_a_disk_that_becomes_full_under_many_writers(small_disk: Path) -> None:
    """Whoever was told of success finds what was written; everybody else was told of the disk."""
    folder = DataFolder.open(str(small_disk / "data"))

    async def write_all(database: Database) -> list[object]:
        return await asyncio.gather(*(database.write(creation) for _ in range(200)), return_exceptions=True)

    with Database.open(folder.database_url) as database:
        outcomes = asyncio.run(write_all(database))
    kept = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert {type(outcome) for outcome in outcomes} <= {str, StorageFullError}
    assert len(kept) < 200
    with Database.open(folder.database_url) as database:
        for project in kept:
            database.read_now(lambda c, project=project: Projects().get(c, project))  # type: ignore[misc]


def test_a_disk_that_becomes_full_in_the_middle_of_a_write(small_disk: Path) -> None:
    """SQLite writes before it commits where much is changed; it then undoes more than that one work."""
    folder = DataFolder.open(str(small_disk / "data"))

    def much(connection: Connection) -> None:
        for _ in range(2 * DISK_BYTES // 50_000):
            creation(connection)

    async def write_all(database: Database) -> list[object]:
        works = (creation, much, creation)
        return await asyncio.gather(*(database.write(work) for work in works), return_exceptions=True)

    with Database.open(folder.database_url) as database:
        outcomes = asyncio.run(write_all(database))
        assert isinstance(outcomes[1], StorageFullError)
        kept = [outcome for outcome in outcomes if isinstance(outcome, str)]
        assert {type(outcome) for outcome in outcomes} <= {str, StorageFullError}
        names = database.read_now(lambda c: Projects().page(c, Cursor(limit=100), archived=True).items)
        assert {project.id for project in names} == {DEFAULT_PROJECT, *kept}
        database.write_now(creation)


def test_blobs_stop_at_a_full_disk_and_leave_no_rest(small_disk: Path) -> None:
    folder = DataFolder.open(str(small_disk / "data"))

    def store(blobs: BlobStore, num_bytes: int) -> None:
        with blobs.receive("default", max_bytes=2**30) as incoming:
            for _ in range(0, num_bytes, 2**16):
                incoming.write(os.urandom(2**16))
            blob = incoming.finish()
            database.write_now(lambda c: BlobUses().add(c, blob, owner_id="file-a", now=1))

    with Database.open(folder.database_url) as database:
        blobs = BlobStore(folder.path, database)
        with pytest.raises(StorageFullError):
            store(blobs, 2 * DISK_BYTES)
        assert list((folder.path / "incoming").iterdir()) == []
        store(blobs, 2**20)


def test_what_a_client_is_told() -> None:
    response = error_response(StorageFullError("It cannot be stored (disk full)."))
    assert response.status_code == 507
    assert response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("leave", [0, 8192, 200_000])
def test_copies_leave_nothing_on_a_full_disk(small_disk: Path, tmp_path: Path, leave: int) -> None:
    """A backup, what is restored from it, and the copy before a migration."""
    folder = DataFolder.open(str(tmp_path / "data"))
    with Database.open(folder.database_url) as database:
        fill(database, BlobStore(folder.path, database))
    new, elsewhere = DataFolder.open(str(small_disk / "new")), f"sqlite:///{small_disk / 'rows.db'}"
    back_up(folder, folder.database_url, tmp_path / "backup")
    before = {"new", "new/serve.lock", "new/blobs", "filler"}
    filler = fill_up(small_disk, leave=leave)
    for work in (
        lambda: back_up(folder, folder.database_url, small_disk / "backup"),
        lambda: restore(tmp_path / "backup", new, new.database_url),
        lambda: restore(tmp_path / "backup", new, elsewhere),
        lambda: copy_database(folder.path / DATABASE_NAME, small_disk / "before"),
    ):
        with pytest.raises(StorageFullError):
            work()
        assert {str(path.relative_to(small_disk)) for path in small_disk.rglob("*")} <= before
    filler.unlink()
    assert back_up(folder, folder.database_url, small_disk / "backup").num_blobs == 1
    shutil.rmtree(small_disk / "backup")
    assert restore(tmp_path / "backup", new, elsewhere).num_blobs == 1
    with Database.find(elsewhere) as database:
        assert all(not verdict.findings for verdict in verify(database, new.path))
    assert not (new.path / DATABASE_NAME).exists(), "the rows are where they were wanted"


_DENIED = """
import sys
from pathlib import Path
from pennyweight.errors import ConfigError, StorageFullError
from pennyweight.store.blobs import BlobStore
from pennyweight.store.data_folder import DATABASE_NAME, DataFolder
from pennyweight.store.database import Database
from pennyweight.store.pages import Cursor
from pennyweight.store.projects import DEFAULT_PROJECT, Projects
folder = DataFolder.open(sys.argv[1])
with Database.open(folder.database_url) as database:
    blobs = BlobStore(folder.path, database)
    for path in (folder.path, folder.path / "incoming", folder.path / "blobs"):
        path.chmod(0o500)
    try:
        with blobs.receive("default", max_bytes=9) as incoming:
            print("stored")
    except StorageFullError as error:
        print(error.status, error.message)
    database.write_now(lambda c: Projects().create(c, name="x", now=1))
    for path in (folder.path, folder.path / "incoming", folder.path / "blobs"):
        path.chmod(0o700)
    with blobs.receive("default", max_bytes=9) as incoming:
        print("stored")
folder.path.chmod(0o500)
try:
    DataFolder.open(sys.argv[1])
except ConfigError as error:
    print(error.message)
"""


def test_a_folder_that_may_not_be_written_to(tmp_path: Path) -> None:
    """Root writes anywhere, unless it gives up that right."""
    folder, program = tmp_path / "data", [sys.executable, "-c", _DENIED]
    if os.geteuid() == 0:
        if (setpriv := shutil.which("setpriv")) is None:
            pytest.skip("root cannot give up its rights here: setpriv is not installed")
        program = [setpriv, "--bounding-set=-dac_override,-dac_read_search", *program]
    done = subprocess.run([*program, str(folder)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    refused, stored, closed = done.stdout.splitlines()
    assert refused.startswith("507 It cannot be stored (Permission denied)")
    assert stored == "stored"
    assert closed == f"the data folder {folder} cannot be written to; choose another with --data"


def test_a_start_on_a_full_disk_says_so(small_disk: Path) -> None:
    fill_up(small_disk, leave=8192)
    folder = DataFolder.open(str(small_disk / "data"))
    with pytest.raises((StorageFullError, ConfigError)):
        Database.open(folder.database_url)
