"""The data folder: private, served by one process, and where the XDG rules say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pennyweight.errors import ConfigError
from pennyweight.store.data_folder import DataFolder, default_path
from pennyweight.store.database import Database

if TYPE_CHECKING:
    from pathlib import Path


def test_it_is_private(tmp_path: Path) -> None:
    folder = DataFolder.open(str(tmp_path / "new" / "data"))
    Database.open(folder.database_url).close()
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.path.iterdir()} == {0o600}


def test_one_server_at_a_time(tmp_path: Path) -> None:
    one, other = DataFolder.open(str(tmp_path)), DataFolder.open(str(tmp_path))
    with one.served(), pytest.raises(ConfigError, match=f"another server uses the data folder {tmp_path}"):
        other.served().__enter__()
    with other.served():
        pass


def test_where_it_is_by_default(tmp_path: Path) -> None:
    assert default_path({"XDG_DATA_HOME": str(tmp_path)}) == tmp_path / "pennyweight"
    assert default_path({"XDG_DATA_HOME": "relative"}).parts[-3:] == (".local", "share", "pennyweight")


def test_one_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="choose another with --data"):
        DataFolder.open(str(tmp_path / "file" / "data"))


def test_a_path_with_letters_that_urls_treat_specially(tmp_path: Path) -> None:
    folder = DataFolder.open(str(tmp_path / "a b?c#d%20@é"))
    Database.open(folder.database_url).close()
    assert (folder.path / "pennyweight.db").exists()
