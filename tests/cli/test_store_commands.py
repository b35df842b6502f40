"""`penny store`: a person verifies, backs up and restores beside a running server."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from pennyweight.store.data_folder import DataFolder
from pennyweight.store.database import Database
from tests.store.filled import fill

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.penny import Penny


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    from pennyweight.store.blobs import BlobStore

    folder = DataFolder.open(str(tmp_path / "stored"))
    with Database.open(folder.database_url) as database:
        fill(database, BlobStore(folder.path, database))
    return folder


def test_a_store_is_verified_backed_up_and_restored(penny: Penny, folder: DataFolder, tmp_path: Path) -> None:
    stored, backup, restored = str(folder.path), str(tmp_path / "backup"), str(tmp_path / "restored")
    with folder.served():
        done = penny.run("store", "verify", "--data", stored)
        assert (done.returncode, done.stdout.splitlines()[0]) == (0, "database: ok")
        done = penny.run("store", "backup", backup, "--data", stored)
        assert done.stdout == f"Backed up to {backup}: the database and 1 blobs of 0.0 MB.\n"
    done = penny.run("store", "restore", backup, "--data", restored)
    assert (done.returncode, done.stderr) == (0, "")
    done = penny.run("store", "verify", "--json", "--data", restored)
    assert set(map(len, json.loads(done.stdout).values())) == {0}
    done = penny.run("store", "restore", backup, "--data", restored)
    assert done.returncode == 1
    assert "has a database already" in done.stderr


def test_what_is_wrong_is_told(penny: Penny, folder: DataFolder) -> None:
    for path in (folder.path / "blobs").rglob("*"):
        if path.is_file():
            path.unlink()
    done = penny.run("store", "verify", "--data", str(folder.path))
    assert done.returncode == 1
    assert "blobs: 1 wrong" in done.stdout
    assert "is missing" in done.stdout


def test_a_folder_that_is_none_is_not_made(penny: Penny, tmp_path: Path) -> None:
    for command in (["verify"], ["backup", str(tmp_path / "backup")]):
        done = penny.run("store", *command, "--data", str(tmp_path / "misspelt"))
        assert done.returncode == 1
        assert "is no data folder" in done.stderr
    assert not (tmp_path / "misspelt").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("store", "verify"),
        ("store", "backup", "BACKUP"),
        ("keys", "list"),
        ("keys", "revoke", "key_x"),
        ("usage",),
        ("cost",),
    ],
)
def test_a_database_that_is_none_is_not_made(
    penny: Penny, folder: DataFolder, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """A misspelt URL is told; neither it nor a backup of nothing comes into being."""
    backup, elsewhere = tmp_path / "backup", tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = elsewhere / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    content = other.read_bytes()
    words = [str(backup) if word == "BACKUP" else word for word in command]
    for name, told in (("misspelt.db", "there is no database"), (other.name, "nothing of Pennyweight")):
        url = f"sqlite:///{elsewhere / name}"
        done = penny.run(*words, "--data", str(folder.path), "--database", url)
        assert (done.returncode, done.stdout) == (1, "")
        assert told in done.stderr
    assert (list(elsewhere.iterdir()), other.read_bytes()) == ([other], content)
    assert not backup.exists()
