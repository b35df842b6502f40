"""Blobs: whole or not there, one per content and project, gone when nothing uses them, kept by a backup."""

from __future__ import annotations

import errno
import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from pennyweight.errors import StorageFullError
from pennyweight.store.blob import Blob, BlobUses
from pennyweight.store.blobs import BlobStore, keeping, stored_blobs
from pennyweight.store.durability import storing
from pennyweight.store.incoming import ContentTooLargeError
from pennyweight.store.projects import DEFAULT_PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Connection

    from pennyweight.store.database import Database

NOW = 1_700_000_000
uses = BlobUses()


@pytest.fixture
def blobs(tmp_path: Path, database: Database) -> BlobStore:
    return BlobStore(tmp_path, database)


def stored(blobs: BlobStore, database: Database, owner: str, data: bytes) -> Blob:
    with blobs.receive(DEFAULT_PROJECT, max_bytes=100) as incoming:
        incoming.write(data)
        blob = incoming.finish()
        database.write_now(lambda connection: uses.add(connection, blob, owner_id=owner, now=NOW))
    return blob


def dropped(owner: str) -> Callable[[Connection], list[Blob]]:
    return lambda connection: uses.drop(connection, DEFAULT_PROJECT, owner)


def files_under(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_what_is_stored_is_read(blobs: BlobStore, database: Database, tmp_path: Path) -> None:
    blob = stored(blobs, database, "file-a", b"abc")
    assert blob.sha256 == hashlib.sha256(b"abc").hexdigest()
    with blobs.open(blob) as file:
        assert file.read() == b"abc"
    assert blobs.path(blob) == tmp_path / "blobs" / "default" / blob.sha256[:2] / blob.sha256
    assert blobs.path(blob).stat().st_mode & 0o777 == 0o600
    assert database.read_now(lambda c: uses.of(c, DEFAULT_PROJECT, "file-a")) == blob
    assert database.read_now(lambda c: uses.of(c, "proj_other", "file-a")) is None
    assert files_under(tmp_path / "incoming") == []


def test_equal_content_is_one_blob_until_nothing_uses_it(blobs: BlobStore, database: Database) -> None:
    blob = stored(blobs, database, "file-a", b"abc")
    assert stored(blobs, database, "file-b", b"abc") == blob
    assert database.write_now(dropped("file-a")) == [blob]
    assert not blobs.collect(blob)
    assert blobs.path(blob).exists()
    database.write_now(dropped("file-b"))
    assert blobs.collect(blob)
    assert not blobs.path(blob).exists()


def test_another_project_drops_nothing(blobs: BlobStore, database: Database) -> None:
    stored(blobs, database, "file-a", b"abc")
    assert database.write_now(lambda c: uses.drop(c, "proj_other", "file-a")) == []


def test_content_that_is_too_large_leaves_nothing(blobs: BlobStore, tmp_path: Path) -> None:
    def store_too_much() -> None:
        with blobs.receive(DEFAULT_PROJECT, max_bytes=100) as incoming:
            incoming.write(b"x" * 60)
            incoming.write(b"x" * 41)

    with pytest.raises(ContentTooLargeError, match="100 bytes"):
        store_too_much()
    assert files_under(tmp_path / "blobs") + files_under(tmp_path / "incoming") == []


def test_a_row_that_cannot_be_written_leaves_nothing(blobs: BlobStore, tmp_path: Path) -> None:
    def store_and_fail() -> None:
        with blobs.receive(DEFAULT_PROJECT, max_bytes=100) as incoming:
            incoming.write(b"abc")
            incoming.finish()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store_and_fail()
    assert files_under(tmp_path / "blobs") == []


def test_a_blob_on_its_way_is_not_swept(blobs: BlobStore, database: Database) -> None:
    with blobs.receive(DEFAULT_PROJECT, max_bytes=100) as incoming:
        incoming.write(b"abc")
        blob = incoming.finish()
        assert blobs.sweep() == 0
        assert not blobs.collect(blob)
        database.write_now(lambda connection: uses.add(connection, blob, owner_id="file-a", now=NOW))
    assert blobs.sweep() == 0


def test_what_is_deleted_while_blobs_are_looked_through_is_passed_over(
    blobs: BlobStore, database: Database, tmp_path: Path
) -> None:
    """Somebody deletes a file while the housekeeper, or a check, goes through the folder."""
    for content in (b"a", b"b"):
        stored(blobs, database, f"file-{content.decode()}", content)
    every = stored_blobs(tmp_path / "blobs")
    first = next(every)
    for path in files_under(tmp_path / "blobs"):
        if path.name != first.sha256:
            path.unlink()
    assert list(every) == []


def test_rubbish_of_a_killed_process_is_cleared(tmp_path: Path, blobs: BlobStore, database: Database) -> None:
    kept = stored(blobs, database, "file-a", b"abc")
    rubbish = Blob(project_id=DEFAULT_PROJECT, sha256="0" * 64, num_bytes=1)
    blobs.path(rubbish).parent.mkdir()
    blobs.path(rubbish).write_bytes(b"x")
    (tmp_path / "incoming" / "half").write_bytes(b"x")
    again = BlobStore(tmp_path, database)
    assert again.sweep() == 1
    assert list(stored_blobs(tmp_path / "blobs")) == [kept]
    assert files_under(tmp_path / "incoming") == []


def test_a_backup_keeps_what_it_has_yet_to_copy(blobs: BlobStore, database: Database, tmp_path: Path) -> None:
    blob = stored(blobs, database, "file-a", b"abc")
    database.write_now(dropped("file-a"))
    with keeping(tmp_path / "blobs"):
        assert not blobs.collect(blob)
    assert blobs.path(blob).exists()
    assert blobs.sweep() == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_a_disk_that_refuses(number: int) -> None:
    with pytest.raises(StorageFullError, match=os.strerror(number)), storing():
        raise OSError(number, os.strerror(number))


def test_other_failures_are_not_the_disks() -> None:
    with pytest.raises(FileNotFoundError), storing():
        raise FileNotFoundError(errno.ENOENT, "gone")
