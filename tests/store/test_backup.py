"""A backup taken while others write is one moment; restored it is the same store, on either database."""

from __future__ import annotations

import shutil
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from pennyweight.errors import ConfigError
from pennyweight.store.backup import back_up
from pennyweight.store.blob import Blob, BlobUses
from pennyweight.store.blobs import BlobStore, stored_blobs
from pennyweight.store.copying import DamagedBlobError
from pennyweight.store.data_folder import DataFolder
from pennyweight.store.database import Database
from pennyweight.store.restore import restore
from pennyweight.store.tables import metadata
from pennyweight.store.verify import verify
from tests.store.filled import add_run, fill
from tests.store.tuned import add_tuning

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from tests.store.postgres_server import PostgresServer


def rows_of(database: Database) -> dict[str, list[tuple[object, ...]]]:
    def read(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in metadata.sorted_tables
        }

    return database.read_now(read)


@pytest.fixture
def folder(tmp_path: Path, database_url: str) -> DataFolder:
    """A data folder with everything in it; its database may be elsewhere."""
    folder = DataFolder.open(str(tmp_path))
    with Database.open(database_url) as database:
        fill(database, BlobStore(folder.path, database))
        database.write_now(add_run)
        database.write_now(add_tuning)
    return folder


def new_url(kind: str, target: DataFolder, request: pytest.FixtureRequest) -> str:
    if kind == "sqlite":
        return target.database_url
    postgres: PostgresServer = request.getfixturevalue("postgres")
    return postgres.new_database()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_backup_restored_is_the_same_store(
    kind: str, folder: DataFolder, database_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    copied = back_up(folder, database_url, tmp_path / "backup")
    assert copied.num_blobs == len(list(stored_blobs(tmp_path / "backup" / "blobs"))) > 0
    target = DataFolder.open(str(tmp_path / "restored"))
    url = new_url(kind, target, request)
    assert restore(tmp_path / "backup", target, url) == copied
    with Database.open(database_url) as original, Database.open(url) as restored:
        assert rows_of(restored) == rows_of(original)
        assert all(rows_of(restored)[name] for name in ("run_steps", "items", "blob_uses", "api_keys"))
        assert {verdict.name: verdict.findings for verdict in verify(restored, target.path)} == {
            verdict.name: [] for verdict in verify(original, folder.path)
        }
        fill(restored, BlobStore(target.path, restored))  # and it goes on counting
    assert not list(target.path.glob("restore.db*"))


def test_a_backup_is_a_data_folder(folder: DataFolder, database_url: str, tmp_path: Path) -> None:
    back_up(folder, database_url, tmp_path / "backup")
    files = [path for path in (tmp_path / "backup").rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    with (
        Database.open(database_url) as original,
        Database.open(DataFolder.open(str(tmp_path / "backup")).database_url) as backup,
    ):
        assert rows_of(backup) == rows_of(original)
        assert all(not verdict.findings for verdict in verify(backup, tmp_path / "backup"))


def test_while_others_write_and_delete_it_is_one_moment(database_url: str, tmp_path: Path) -> None:
    folder, uses, stop = DataFolder.open(str(tmp_path)), BlobUses(), Event()

    def come_and_go() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            owner = f"file-{number}"
            with blobs.receive("default", max_bytes=99) as incoming:
                incoming.write(b"%d" % number)
                blob = incoming.finish()
                database.write_now(lambda c, b=blob, o=owner: uses.add(c, b, owner_id=o, now=1))  # type: ignore[misc]
            if number > 3:
                old = database.write_now(lambda c, n=number: uses.drop(c, "default", f"file-{n - 3}"))  # type: ignore[misc]
                blobs.collect(old[0])

    with Database.open(database_url) as database:
        blobs = BlobStore(folder.path, database)
        thread = Thread(target=come_and_go)
        thread.start()
        try:
            for number in range(5):
                back_up(folder, database_url, tmp_path / f"backup-{number}")
        finally:
            stop.set()
            thread.join()
    for number in range(5):
        with Database.open(DataFolder.open(str(tmp_path / f"backup-{number}")).database_url) as backup:
            assert all(not verdict.findings for verdict in verify(backup, tmp_path / f"backup-{number}"))


def test_what_cannot_be_backed_up_or_restored(folder: DataFolder, database_url: str, tmp_path: Path) -> None:
    back_up(folder, database_url, tmp_path / "backup")
    with pytest.raises(ConfigError, match="there already"):
        back_up(folder, database_url, tmp_path / "backup")
    with pytest.raises(ConfigError, match="is no backup"):
        restore(tmp_path / "blobs", DataFolder.open(str(tmp_path / "new")), "sqlite:///unused")
    with pytest.raises(ConfigError, match=r"has a database already|is not empty"):
        restore(tmp_path / "backup", folder, database_url)
    target = DataFolder.open(str(tmp_path / "served"))
    with target.served(), pytest.raises(ConfigError, match="another server"):
        restore(tmp_path / "backup", target, target.database_url)


def test_a_damaged_blob_is_named(folder: DataFolder, database_url: str, tmp_path: Path) -> None:
    blob: Blob = next(stored_blobs(folder.path / "blobs"))
    path = folder.path / "blobs" / blob.project_id / blob.sha256[:2] / blob.sha256
    path.write_bytes(b"something else")
    with pytest.raises(DamagedBlobError, match=f"{blob.sha256} is damaged"):
        back_up(folder, database_url, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()
    path.unlink()
    with pytest.raises(DamagedBlobError, match=f"{blob.sha256} is missing"):
        back_up(folder, database_url, tmp_path / "backup")


def test_one_that_was_cut_off_is_begun_anew(folder: DataFolder, database_url: str, tmp_path: Path) -> None:
    (tmp_path / "backup.incoming" / "blobs" / "half").mkdir(parents=True)
    back_up(folder, database_url, tmp_path / "backup")
    assert not (tmp_path / "backup.incoming").exists()
    assert not (tmp_path / "backup" / "blobs" / "half").exists()
    shutil.rmtree(tmp_path / "backup")
